"""Every fault, and that it hits nobody else."""

import time
import unittest
import urllib.error

from botocore.exceptions import ClientError, ConnectionClosedError, ConnectionError, ReadTimeoutError

from .support import call, client, fault, item, name, table


def code(error):
    return error.exception.response["Error"]["Code"]


class Faults(unittest.TestCase):
    def setUp(self):
        self.dynamodb = client("dynamodb")
        self.table = table(self.dynamodb)

    def put(self, pk):
        self.dynamodb.put_item(TableName=self.table, Item=item(pk))

    def there(self, pk):
        return "Item" in self.dynamodb.get_item(TableName=self.table, Key=item(pk))

    def test_throttling_in_the_words_of_each_service(self):
        s3, sns, sqs = client("s3"), client("sns"), client("sqs")
        builds, secrets = client("codebuild"), client("secretsmanager")
        scope = name("scope")
        topic = sns.create_topic(Name=scope)["TopicArn"]
        url = sqs.create_queue(QueueName=scope)["QueueUrl"]
        fault(scope, "throttle")
        fault(self.table, "throttle")
        calls = {
            "ThrottlingException": [
                lambda: self.put("a"), lambda: builds.start_build(projectName=scope),
                lambda: secrets.get_secret_value(SecretId=scope)],
            "SlowDown": [lambda: s3.list_objects_v2(Bucket=scope)],
            "Throttled": [lambda: sns.publish(TopicArn=topic, Message="x")],
            "RequestThrottled": [lambda: sqs.send_message(QueueUrl=url, MessageBody="x")],
        }
        for expected, uses in calls.items():
            for use in uses:
                with self.assertRaises(ClientError) as error:
                    use()
                self.assertEqual(code(error), expected)

    def test_so_often_and_after_so_many(self):
        fault(self.table, "error", action="PutItem", times=2, skip=1)
        outcomes = []
        for number in range(5):
            try:
                self.put(str(number))
                outcomes.append(True)
            except ClientError as error:
                self.assertEqual(error.response["ResponseMetadata"]["HTTPStatusCode"], 500)
                outcomes.append(False)
        self.assertEqual(outcomes, [True, False, False, True, True])
        self.assertEqual(call("GET", f"/_faults?name={self.table}")[0]["hits"], 2)

    def test_with_a_chance(self):
        fault(self.table, "error", probability=0.5)
        failed = 0
        for number in range(60):
            try:
                self.put(str(number))
            except ClientError:
                failed += 1
        self.assertTrue(10 < failed < 50, failed)

    def test_an_error_with_its_own_code(self):
        fault(self.table, "error", code="ItemCollectionSizeLimitExceededException")
        with self.assertRaises(ClientError) as error:
            self.put("a")
        self.assertEqual(code(error), "ItemCollectionSizeLimitExceededException")
        self.assertEqual(error.exception.response["ResponseMetadata"]["HTTPStatusCode"], 400)

    def test_a_transaction_cancelled_by_another(self):
        fault(self.table, "conflict")
        puts = [{"Put": {"TableName": self.table, "Item": item(pk)}} for pk in "ab"]
        with self.assertRaises(ClientError) as error:
            self.dynamodb.transact_write_items(TransactItems=puts)
        self.assertEqual(code(error), "TransactionCanceledException")
        reasons = [reason["Code"] for reason in error.exception.response["CancellationReasons"]]
        self.assertEqual(reasons, ["TransactionConflict", "None"])

    def test_a_delay(self):
        fault(self.table, "delay", seconds=0.5)
        begin = time.monotonic()
        self.put("a")
        self.assertGreater(time.monotonic() - begin, 0.5)

    def test_before_the_effect_nothing_is_there_and_after_it_all(self):
        cases = [
            ("reset", {}, False, (ConnectionClosedError, ConnectionError)),
            ("error", {}, False, ClientError),
            ("error-after", {}, True, ClientError),
            ("reset-after", {}, True, (ConnectionClosedError, ConnectionError)),
        ]
        for kind, more, effect, expected in cases:
            with self.subTest(kind):
                fault(self.table, kind, action="PutItem", times=1, **more)
                with self.assertRaises(expected):
                    self.put(kind)
                self.assertEqual(self.there(kind), effect)

    def test_no_answer_in_time_although_it_was_done(self):
        impatient = client("dynamodb", read_timeout=1)
        fault(self.table, "hang-after", action="PutItem", seconds=3, times=1)
        with self.assertRaises(ReadTimeoutError):
            impatient.put_item(TableName=self.table, Item=item("a"))
        self.assertTrue(self.there("a"))

    def test_a_part_of_a_batch(self):
        writes = [{"PutRequest": {"Item": item(pk)}} for pk in "abc"]
        fault(self.table, "partial", action="BatchWriteItem", entries=2, times=1)
        left = self.dynamodb.batch_write_item(RequestItems={self.table: writes})["UnprocessedItems"]
        self.assertEqual(left, {self.table: writes[1:]})
        self.assertEqual([self.there(pk) for pk in "abc"], [True, False, False])
        self.dynamodb.batch_write_item(RequestItems=left)
        fault(self.table, "partial", action="BatchGetItem", entries=1, times=1)
        keys = [item(pk) for pk in "abc"]
        got = self.dynamodb.batch_get_item(RequestItems={self.table: {"Keys": keys, "ConsistentRead": True}})
        self.assertEqual(len(got["Responses"][self.table]), 2)
        self.assertEqual(got["UnprocessedKeys"], {self.table: {"Keys": keys[2:], "ConsistentRead": True}})

    def test_all_of_a_batch(self):
        writes = [{"PutRequest": {"Item": item("a")}}]
        fault(self.table, "partial", entries=25, times=1)
        left = self.dynamodb.batch_write_item(RequestItems={self.table: writes})["UnprocessedItems"]
        self.assertEqual(left, {self.table: writes})
        self.assertFalse(self.there("a"))

    def test_a_part_of_a_batch_of_messages(self):
        sns, sqs, scope = client("sns"), client("sqs"), name("scope")
        topic, url = sns.create_topic(Name=scope)["TopicArn"], sqs.create_queue(QueueName=scope)["QueueUrl"]
        arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn, Attributes={"RawMessageDelivery": "true"})
        for entries, sent, failed in ((1, ["a", "b"], ["c"]), (10, [], ["a", "b", "c"])):
            with self.subTest(entries):
                batch = [{"Id": one, "Message": one, "MessageAttributes": {
                    "k": {"DataType": "String", "StringValue": "v & w"}}} for one in "abc"]
                fault(scope, "partial", action="PublishBatch", entries=entries, times=1)
                done = sns.publish_batch(TopicArn=topic, PublishBatchRequestEntries=batch)
                self.assertEqual([one["Id"] for one in done["Successful"]], sent)
                self.assertEqual([(one["Id"], one["Code"]) for one in done["Failed"]],
                                 [(one, "InternalFailure") for one in failed])
                got = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, MessageAttributeNames=["All"])
                got = got.get("Messages", [])
                self.assertEqual(sorted(message["Body"] for message in got), sent)
                self.assertTrue(all(each["MessageAttributes"]["k"]["StringValue"] == "v & w" for each in got))
                entries = [{"Id": str(at), "ReceiptHandle": each["ReceiptHandle"]} for at, each in enumerate(got)]
                if entries:
                    fault(scope, "partial", action="DeleteMessageBatch", entries=1, times=1, code="ServiceUnavailable")
                    done = sqs.delete_message_batch(QueueUrl=url, Entries=entries)
                    self.assertEqual([one["Id"] for one in done["Successful"]], ["0"])
                    self.assertEqual([(one["Id"], one["Code"]) for one in done["Failed"]], [("1", "ServiceUnavailable")])
        fault(scope, "partial", action="SendMessageBatch", entries=1, times=1)
        done = sqs.send_message_batch(QueueUrl=url, Entries=[{"Id": one, "MessageBody": one} for one in "ab"])
        self.assertEqual([one["Id"] for one in done["Failed"]], ["b"])

    def test_nobody_else_is_hit_and_clearing_ends_it(self):
        other = table(self.dynamodb)
        fault(self.table, "error")
        self.dynamodb.put_item(TableName=other, Item=item("a"))
        with self.assertRaises(ClientError):
            self.put("a")
        call("DELETE", f"/_faults?name={self.table}")
        self.put("a")

    def test_calls_are_counted_by_name(self):
        for number in range(3):
            self.put(str(number))
        calls = {one["action"]: one["calls"] for one in call("GET", f"/_calls?name={self.table}")}
        self.assertEqual(calls, {"CreateTable": 1, "PutItem": 3})

    def test_a_rule_that_makes_no_sense_is_refused(self):
        for rule in ({"name": "short", "kind": "error"}, {"name": self.table, "kind": "no"},
                     {"name": self.table, "kind": "error", "tmies": 1}):
            with self.assertRaises(urllib.error.HTTPError) as error:
                call("POST", "/_faults", rule)
            self.assertEqual(error.exception.code, 400)
            error.exception.close()
