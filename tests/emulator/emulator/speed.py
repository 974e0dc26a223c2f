"""Speed only: nothing here changes an answer.

- Queries sorted and walked the whole table for each page, so a walk over n items cost n * n. Now moto is given only the
  items that can be in the answer, in order; what the answer is, it still decides.
- Answers with items were compared with the service's model, attribute by attribute: more than all the rest of a call.
- Each request listed moto's source folders.
"""

import base64
import functools
import json

import moto.backends as backends
from moto.dynamodb.comparisons import get_comparison_func
from moto.dynamodb.models.dynamo_type import DynamoType
from moto.dynamodb.models.table import Table
from moto.dynamodb.responses import DynamoResult

from .patching import replaces

# Their results are in the form of the protocol already, but for binary values.
_ITEMS = {"Query", "Scan", "GetItem", "BatchGetItem", "TransactGetItems"}


@replaces(backends, "list_of_moto_modules")
def _listed_once(before):
    return functools.cache(lambda: tuple(before()))


def _text(value):
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    raise TypeError(f"{type(value)} in an answer with items")


@replaces(DynamoResult, "execute_result")
def _as_it_is(before):
    def execute_result(self, context):
        if context.operation_model.name not in _ITEMS:
            return before(self, context)
        told = {name: value for name, value in self.result.items() if value is not None}
        return 200, {"Content-Type": "application/x-amz-json-1.0"}, json.dumps(told, default=_text)

    return execute_result


def _plain(value):
    return value.value if value.type == "S" else value.cast_value


def _partition(table, hash_key, index, conditions):
    if index is None:
        found = table.items.get(hash_key)
        if found is None:
            return []
        return list(found.values()) if table.range_key_attr else [found]
    names = [part["AttributeName"] for part in index.schema]
    wanted = [(name, value.type, _plain(value)) for name, value in conditions]
    rows = table.items.values()
    every = (item for row in rows for item in row.values()) if table.range_key_attr else iter(rows)
    return [
        item for item in every
        if all(name in item.attrs for name in names)
        and all(item.attrs[name].type == kind and _plain(item.attrs[name]) == value for name, kind, value in wanted)
    ]


@replaces(Table, "all_items")
def _only_what_is_asked_for(before):
    def all_items(self):
        narrowed = getattr(self, "_narrowed", None)
        return before(self) if narrowed is None else narrowed

    return all_items


@replaces(Table, "query")
def _look_at_few(before):
    def query(self, hash_key, range_comparison, range_objs, limit, exclusive_start_key, scan_index_forward,
              projection_expressions, index_name=None, *arguments, **named):
        conditions = named.get("hash_key_conditions") or []
        ranges = named.get("range_key_conditions") or []
        index = self.get_index(index_name) if index_name in {each.name for each in self.all_indexes()} else None
        # Anything unusual is left to moto as it is.
        known = {"hash_key_conditions", "range_key_conditions", "consistent_read", "filter_expression"}
        if hash_key is None or len(conditions) != 1 or len(ranges) > 1 or set(named) - known or (index_name and not index):
            return before(self, hash_key, range_comparison, range_objs, limit, exclusive_start_key, scan_index_forward,
                          projection_expressions, index_name, *arguments, **named)
        found = _partition(self, hash_key, index, conditions)
        order = [part["AttributeName"] for part in index.schema if part["KeyType"] == "RANGE"] if index else []
        order += [name for name in (self.hash_key_attr, self.range_key_attr) if name and name not in order]
        if ranges:
            name, matches = ranges[0][0], get_comparison_func(range_comparison)
            bounds = [_plain(value) for value in range_objs]
            found = [item for item in found if matches(_plain(item.attrs[name]), *bounds)]
        keyed = [([_plain(item.attrs[name]) for name in order], item) for item in found]
        if exclusive_start_key is not None:
            start = [_plain(DynamoType(exclusive_start_key[name])) for name in order]
            keyed = [pair for pair in keyed if (pair[0] > start if scan_index_forward else pair[0] < start)]
        keyed.sort(key=lambda pair: pair[0], reverse=not scan_index_forward)
        # One more than asked for: with it moto knows that there is a next page.
        self._narrowed = [item for _, item in (keyed[:limit + 1] if limit else keyed)]
        try:
            return before(self, hash_key, range_comparison, range_objs, limit, exclusive_start_key, scan_index_forward,
                          projection_expressions, index_name, *arguments, **named)
        finally:
            self._narrowed = None

    return query
