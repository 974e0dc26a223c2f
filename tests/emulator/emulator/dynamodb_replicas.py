"""DynamoDB global tables: moto ignores UpdateTable.ReplicaUpdates, and Terraform then waits for ever.

The replicas share one store of items.
"""

import copy

from moto.dynamodb.models import dynamodb_backends
from moto.dynamodb.models.table import Table
from moto.dynamodb.responses import DynamoHandler

from .patching import replaces


@replaces(DynamoHandler, "update_table")
def _replicas(before):
    def update_table(self):
        updates = self.body.get("ReplicaUpdates") or []
        if not updates:
            return before(self)
        table = self.dynamodb_backend.get_table(self.body["TableName"])
        group = table.__dict__.setdefault("_replicas", {self.region: table})
        for update in updates:
            ((operation, spec),) = update.items()
            region = spec["RegionName"]
            there = dynamodb_backends[self.current_account][region]
            if operation == "Create":
                replica = copy.copy(table)
                replica.region_name = region
                replica.table_arn = table.table_arn.replace(f":{table.region_name}:", f":{region}:", 1)
                replica.continuous_backups = copy.deepcopy(table.continuous_backups)
                if spec.get("KMSMasterKeyId"):
                    replica.sse_specification = {**(table.sse_specification or {}), "Enabled": True,
                                                 "KMSMasterKeyId": spec["KMSMasterKeyId"]}
                replica._replicas = group
                group[region] = replica
                there.tables[table.name] = replica
            elif operation == "Delete":
                group.pop(region, None)
                there.tables.pop(table.name, None)
        return before(self)

    return update_table


@replaces(Table, "describe")
def _describe_replicas(before):
    def describe(self, base_key="TableDescription"):
        described = before(self, base_key)
        others = [region for region in getattr(self, "_replicas", {}) if region != self.region_name]
        if others:
            described[base_key]["Replicas"] = [
                {"RegionName": region, "ReplicaStatus": "ACTIVE"} for region in others
            ]
            described[base_key]["GlobalTableVersion"] = "2019.11.21"
        return described

    return describe
