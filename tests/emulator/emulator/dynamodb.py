"""DynamoDB: moto's is not safe with threads, and accepts what AWS refuses.

- A cancelled transaction put back copies of whole tables and with them undid writes of others that had been
  acknowledged; several requests at once ended in 500s. Now one lock, and only the touched items are put back.
- ClientRequestToken was ignored: a repeated transaction was applied twice.
- BatchWriteItem took more than 25 items; index keys of the wrong type were taken.
"""

import copy
import json
import threading
import time

import moto.dynamodb.models as models
from moto.core.responses import ActionResult
from moto.dynamodb.exceptions import ERROR_TYPE_PREFIX, DynamodbException, MockValidationException
from moto.dynamodb.models import DynamoDBBackend
from moto.dynamodb.models.dynamo_type import DynamoType
from moto.dynamodb.models.table import Table
from moto.dynamodb.responses import DynamoHandler

from .patching import existing, replaces

_lock = threading.RLock()
_TOKENS_KEPT = 600.0
_tokens = {}


@replaces(DynamoHandler, "call_action")
def _one_at_a_time(before):
    def call_action(self):
        with _lock:
            return before(self)

    return call_action


class _CopyButNotTables:
    """moto copies tables before a transaction; with the lock and the undo below that is needless, and very slow."""

    def __getattr__(self, name):
        return getattr(copy, name)

    @staticmethod
    def deepcopy(thing, memo=None):
        return thing if isinstance(thing, Table) else copy.deepcopy(thing, memo)


existing(models, "copy")
models.copy = _CopyButNotTables()


def _remove(table, key):
    hash_value = DynamoType(key[table.hash_key_attr])
    if table.range_key_attr:
        table.items[hash_value].pop(DynamoType(key[table.range_key_attr]), None)
    else:
        table.items.pop(hash_value, None)


def _put_back(table, key, old):
    if old is None:
        _remove(table, key)
    elif table.range_key_attr:
        table.items[old.hash_key][old.range_key] = old
    else:
        table.items[old.hash_key] = old


@replaces(DynamoDBBackend, "transact_write_items")
def _undo_only_what_was_touched(before):
    def transact_write_items(self, transact_items):
        touched, streams = [], []
        for item in transact_items:
            ((operation, spec),) = item.items()
            table = self.tables.get(spec.get("TableName"))
            source = spec.get("Item" if operation == "Put" else "Key") or {}
            names = [name for name in (table.hash_key_attr, table.range_key_attr) if name] if table else []
            # What has no table or no whole key is refused before anything is written.
            if table is None or any(name not in source for name in names):
                continue
            key = {name: source[name] for name in names}
            touched.append((table, key, copy.deepcopy(self.get_item(table.name, key))))
            if table.stream_shard is not None:
                streams.append((table.stream_shard, len(table.stream_shard.items)))
        try:
            return before(self, transact_items)
        except Exception:
            for table, key, old in touched:
                _put_back(table, key, old)
            for shard, length in streams:
                del shard.items[length:]
            raise

    return transact_write_items


class IdempotentParameterMismatch(DynamodbException):
    """The same token for another transaction."""

    def __init__(self):
        super().__init__(ERROR_TYPE_PREFIX + "IdempotentParameterMismatchException", "another transaction has this token")


@replaces(DynamoHandler, "transact_write_items")
def _once_per_token(before):
    def transact_write_items(self):
        token = self.body.get("ClientRequestToken")
        if not token:
            return before(self)
        key = (self.current_account, self.region, token)
        asked = json.dumps(self.body["TransactItems"], sort_keys=True, default=str)
        seen = _tokens.get(key)
        if seen and time.time() - seen[1] < _TOKENS_KEPT:
            if seen[0] != asked:
                raise IdempotentParameterMismatch()
            return ActionResult({})
        result = before(self)
        _tokens[key] = (asked, time.time())
        return result

    return transact_write_items


@replaces(DynamoHandler, "batch_write_item")
def _at_most_25(before):
    def batch_write_item(self):
        if sum(len(requests) for requests in self.body["RequestItems"].values()) > 25:
            raise MockValidationException("Too many items requested for the BatchWriteItem call")
        return before(self)

    return batch_write_item


@replaces(Table, "put_item")
def _index_keys_have_their_type(before):
    def put_item(self, item_attrs, *arguments, **named):
        types = {attr["AttributeName"]: attr["AttributeType"] for attr in self.attr}
        for index in list(self.global_indexes) + list(self.indexes):
            for part in index.schema:
                name = part["AttributeName"]
                value = item_attrs.get(name)
                if value is not None and types.get(name) not in value:
                    raise MockValidationException(
                        "One or more parameter values were invalid: Type mismatch for Index Key "
                        f"{name} Expected: {types.get(name)} Actual: {next(iter(value))} IndexName: {index.name}"
                    )
        return before(self, item_attrs, *arguments, **named)

    return put_item


