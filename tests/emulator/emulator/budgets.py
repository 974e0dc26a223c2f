"""Budgets: the tags of a budget."""

import json

from moto.budgets.responses import BudgetsResponse

from .patching import adds, replaces

_tags = {}


@adds(BudgetsResponse, "list_tags_for_resource")
def _list(self):
    return json.dumps({"ResourceTags": _tags.get(self._get_param("ResourceARN"), [])})


@adds(BudgetsResponse, "tag_resource")
def _tag(self):
    given = self._get_param("ResourceTags") or []
    names = {tag["Key"] for tag in given}
    arn = self._get_param("ResourceARN")
    _tags[arn] = [tag for tag in _tags.get(arn, []) if tag["Key"] not in names] + given
    return "{}"


@adds(BudgetsResponse, "untag_resource")
def _untag(self):
    names, arn = set(self._get_param("ResourceTagKeys") or []), self._get_param("ResourceARN")
    _tags[arn] = [tag for tag in _tags.get(arn, []) if tag["Key"] not in names]
    return "{}"


@replaces(BudgetsResponse, "create_budget")
def _keep(before):
    def create_budget(self):
        answer = before(self)
        name = self._get_param("Budget")["BudgetName"]
        arn = f"arn:{self.partition}:budgets::{self._get_param('AccountId')}:budget/{name}"
        _tags[arn] = self._get_param("ResourceTags") or []
        return answer

    return create_budget
