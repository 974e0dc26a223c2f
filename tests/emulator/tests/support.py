"""Clients for the running emulator."""

import json
import os
import urllib.request
import uuid

import boto3
from botocore.config import Config

ENDPOINT = os.environ["FRESHET_TEST_AWS"]


def client(service, attempts=1, read_timeout=30):
    config = Config(retries={"total_max_attempts": attempts}, read_timeout=read_timeout, parameter_validation=True)
    return boto3.client(service, endpoint_url=ENDPOINT, region_name="us-east-1", aws_access_key_id="test",
                        aws_secret_access_key="test", config=config)


def name(prefix):
    return f"{prefix}-{uuid.uuid4().hex[:12]}"


def call(method, path, body=None):
    """One of the emulator's own calls."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(ENDPOINT + path, data=data, method=method)
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.loads(answer.read())


def fault(scope, kind, **more):
    return call("POST", "/_faults", {"name": scope, "kind": kind, **more})["id"]


def table(dynamodb, **more):
    """A table with the keys pk and sk."""
    made = name("table")
    attributes = [{"AttributeName": key, "AttributeType": "S"} for key in ("pk", "sk")]
    dynamodb.create_table(
        TableName=made, BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=attributes + more.pop("attributes", []),
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}], **more)
    return made


def item(pk, **more):
    return {"pk": {"S": pk}, "sk": {"S": "x"}, **more}
