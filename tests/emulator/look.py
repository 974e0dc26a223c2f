"""Looks at what the services left at AWS with boto3: another SDK, which knows nothing of our code, and the documented
formats. `look.py listen NAME` subscribes a queue of its own to the topic; `look.py look NAME CLIENT SITE PROJECT DELIVERY`
checks tables, messages and builds, and says what differs."""

import json
import sys
import time

import boto3

# services/content/src/store/dynamodb/keys.rs and services/build/src/store/dynamodb/keys.rs
CLIENT_ITEMS = {"h", "e", "t", "r", "d", "m", "f", "p", "q", "x"}
BUILD_ITEMS = {"s", "running", "b", "r", "d", "lease", "q"}
INDEXES = {
    "content-cache": {"newest": ("newest_pk", "newest_sk"), "slug": ("slug_pk", "slug_sk")},
    "deliveries": {"received": ("received_pk", "received_sk")},
    "builds": {"list": ("list_pk", "list_sk"), "list2": ("list2_pk", "list2_sk"), "list3": ("list3_pk", "list3_sk"),
               "client": ("client_pk", "client_sk"), "site": ("site_pk", "site_sk")},
}

problems = []


def expect(condition, what):
    if not condition:
        problems.append(what)


def listen(name):
    sns, sqs = boto3.client("sns"), boto3.client("sqs")
    queue = sqs.create_queue(QueueName=f"{name}-listener")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    sns.subscribe(TopicArn=topic(name), Protocol="sqs", Endpoint=arn, Attributes={"RawMessageDelivery": "true"})


def topic(name):
    topics = boto3.client("sns").list_topics()["Topics"]
    return next(each["TopicArn"] for each in topics if each["TopicArn"].endswith(f":{name}-content-updates"))


def items(table):
    answer = boto3.resource("dynamodb").Table(table).scan(ConsistentRead=True)
    expect("LastEvaluatedKey" not in answer, f"{table} is larger than this look")
    return answer["Items"]


def check_table(table, kind):
    described = boto3.client("dynamodb").describe_table(TableName=table)["Table"]
    keys = {key["AttributeName"]: key["KeyType"] for key in described["KeySchema"]}
    expect(keys == {"pk": "HASH", "sk": "RANGE"}, f"{table} has the keys {keys}")
    indexes = {index["IndexName"]: tuple(key["AttributeName"] for key in index["KeySchema"])
               for index in described.get("GlobalSecondaryIndexes", [])}
    expect(indexes == INDEXES[kind], f"{table} has the indexes {indexes}")


def check_client(table, delivery):
    check_table(table, "content-cache")
    found = items(table)
    for item in found:
        expect(item["pk"].split("\x01")[0] in CLIENT_ITEMS, f"{table}: an item that is not documented: {item}")
    entries = [item for item in found if item["pk"].startswith("e\x01")]
    expect(entries, f"{table} has no entry")
    for entry in entries:
        parts = entry["pk"].split("\x01")
        expect(parts[1:3] == [entry["source"], entry["type"]], f"an entry's key and attributes differ: {entry}")
        expect(0 <= int(parts[3]) < 8, f"an entry's shard: {entry}")
        expect(entry["sk"] == f"{entry['id']}\x01{entry['locale']}", f"an entry's sort key: {entry}")
        expect(int(entry["version_micros"]) > 0 and int(entry["revision"]) >= 1, f"an entry's version: {entry}")
    expect(any(entry["delivery"] == delivery for entry in entries), f"no entry names the delivery {delivery}")
    heads = [item for item in found if (item["pk"], item["sk"]) == ("h", "head")]
    relays = [item for item in found if (item["pk"], item["sk"]) == ("h", "relay")]
    expect(len(heads) == 1 and len(relays) == 1, f"{table} has {len(heads)} heads and {len(relays)} relays")
    if heads and relays:
        position = int(heads[0]["last_position"])
        expect(position >= 1, f"the feed's head is {heads[0]}")
        expect(int(relays[0]["through"]) == position, f"{position} changes, published {relays[0]}")
    for mark in (item for item in found if item["pk"].startswith("m\x01")):
        expect(1_700_000_000 < int(mark["ttl"]) < 4_000_000_000, f"a mark's ttl is in seconds: {mark}")


def check_deliveries(table, client, delivery):
    check_table(table, "deliveries")
    item = boto3.resource("dynamodb").Table(table).get_item(Key={"pk": delivery, "sk": "-"}).get("Item")
    expect(item is not None, f"{table} has no {delivery}")
    if item:
        expect(item["received_pk"].startswith(f"{client}\x01"), f"a delivery's index key: {item['received_pk']}")
        expect(int(item["ttl"]) > 1_700_000_000, f"a delivery's ttl: {item['ttl']}")


def check_builds(table, client, site):
    check_table(table, "builds")
    found = items(table)
    for item in found:
        expect(item["pk"].split("#")[0] in BUILD_ITEMS, f"{table}: an item that is not documented: {item}")
    keys = {(item["pk"], item["sk"]) for item in found}
    expect((f"s#{client}/{site}", "-") in keys, f"{table} has no state of {client}/{site}")
    expect(any(pk == "lease" for pk, _ in keys), f"{table} has no lease")


def check_messages(name, client, delivery):
    sqs = boto3.client("sqs")
    queue = sqs.get_queue_url(QueueName=f"{name}-listener")["QueueUrl"]
    messages = []
    for _ in range(5):
        answer = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10, MessageAttributeNames=["All"])
        messages += answer.get("Messages", [])
    expect(messages, "nothing was published")
    seen = set()
    for message in messages:
        event = json.loads(message["Body"])
        data = event["data"]
        expect(event["specversion"] == "1.0" and event["type"] == "freshet.content.changed.v1", f"an event: {event}")
        expect(event["datacontenttype"] == "application/json", f"an event: {event}")
        expect(event["source"] == f"/clients/{data['client_id']}/sources/{data['source_id']}", f"an event: {event}")
        first = data["changes"][0]
        expect(event["id"] == f"{first['delivery_id']}-{first['index']}", f"an event's id: {event}")
        attributes = {key: value["StringValue"] for key, value in message["MessageAttributes"].items()}
        expect(attributes.get("client_id") == data["client_id"], f"attributes: {attributes}")
        expect(attributes.get("source") == data["source_id"], f"attributes: {attributes}")
        expect(attributes.get("type") == data["type"] and "kind" in attributes, f"attributes: {attributes}")
        expect(attributes.get("traceparent") == first["traceparent"], f"attributes: {attributes}")
        seen |= {(data["client_id"], change["delivery_id"]) for change in data["changes"]}
    expect((client, delivery) in seen, f"no event tells of {delivery}")
    sns = boto3.client("sns")
    for subscription in sns.list_subscriptions_by_topic(TopicArn=topic(name))["Subscriptions"]:
        if subscription["Endpoint"].endswith(f":{name}-listener"):
            sns.unsubscribe(SubscriptionArn=subscription["SubscriptionArn"])
    sqs.delete_queue(QueueUrl=queue)


def check_build(client, site, project):
    codebuild = boto3.client("codebuild")
    ids = codebuild.list_builds_for_project(projectName=project)["ids"]
    expect(len(ids) >= 1, f"no build in {project}")
    for build in codebuild.batch_get_builds(ids=ids)["builds"]:
        variables = {each["name"]: (each["type"], each["value"]) for each in build["environment"]["environmentVariables"]}
        expect(build["projectName"] == project, f"a build of {build['projectName']}")
        for name, value in {"FRESHET_CLIENT": client, "FRESHET_SITE": site}.items():
            expect(variables.get(name) == ("PLAINTEXT", value), f"{name} is {variables.get(name)}")
        for name in ("FRESHET_CONTENT", "FRESHET_CHANGED_KEYS", "FRESHET_OUTPUT"):
            kind, value = variables.get(name, ("", ""))
            expect(kind == "PLAINTEXT" and value.startswith("s3://"), f"{name} is {kind} {value}")
        expect(variables.get("TRACEPARENT", ("", ""))[1].startswith("00-"), f"TRACEPARENT is {variables.get('TRACEPARENT')}")
        secrets = {name for name, (kind, _) in variables.items() if kind == "SECRETS_MANAGER"}
        expect(secrets == {"STRAPI_TOKEN"}, f"secrets by reference: {secrets}")


def look(name, client, site, project, delivery):
    # What was accepted just now is published and noted in a moment.
    end = time.monotonic() + 60
    while True:
        problems.clear()
        check_client(f"{name}-{client}-content-cache", delivery)
        check_deliveries(f"{name}-deliveries", client, delivery)
        check_builds(f"{name}-builds", client, site)
        if not problems or time.monotonic() > end:
            break
        time.sleep(0.5)
    check_messages(name, client, delivery)
    check_build(client, site, project)
    print("\n".join(problems) or "as documented")
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    {"listen": listen, "look": look}[sys.argv[1]](*sys.argv[2:])
