"""What was made faster still answers as before."""

import unittest

from .support import client, name


class Queries(unittest.TestCase):
    """Pages of a range, in both directions, of the table and of an index, against what a sorted list says."""

    def setUp(self):
        self.table, self.store = name("table"), client("dynamodb")
        texts = [{"AttributeName": one, "AttributeType": "S"} for one in ("pk", "sk", "by", "at")]
        self.store.create_table(
            TableName=self.table, BillingMode="PAY_PER_REQUEST", AttributeDefinitions=texts,
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
            GlobalSecondaryIndexes=[{
                "IndexName": "list", "Projection": {"ProjectionType": "ALL"},
                "KeySchema": [{"AttributeName": "by", "KeyType": "HASH"}, {"AttributeName": "at", "KeyType": "RANGE"}]}])
        self.items = []
        for number in range(60):
            item = {"pk": f"p{number % 2}", "sk": f"{number * 7 % 60:02}", "data": bytes([number]), "n": number}
            # Equal keys of the index, and items that are not in it.
            if number % 5:
                item.update(by="all", at=f"{number // 7:02}")
            self.items.append(item)
            kinds = {str: "S", bytes: "B", int: "N"}
            self.store.put_item(TableName=self.table, Item={
                key: {kinds[type(value)]: str(value) if isinstance(value, int) else value}
                for key, value in item.items()})

    def pages(self, limit, **query):
        found, start = [], {}
        for _ in range(100):
            answer = self.store.query(TableName=self.table, Limit=limit, **query, **start)
            self.assertLessEqual(len(answer["Items"]), limit)
            found += [(int(item["n"]["N"]), item["data"]["B"]) for item in answer["Items"]]
            if "LastEvaluatedKey" not in answer:
                return found
            start = {"ExclusiveStartKey": answer["LastEvaluatedKey"]}
        self.fail("it does not end")

    def both(self, expected, **query):
        expected = [(item["n"], item["data"]) for item in expected]
        for limit in (1, 7, 100):
            self.assertEqual(self.pages(limit, **query), expected)
            self.assertEqual(self.pages(limit, ScanIndexForward=False, **query), expected[::-1])

    def test_pages_of_the_table(self):
        of_p1 = sorted((item for item in self.items if item["pk"] == "p1"), key=lambda item: item["sk"])
        self.both(of_p1, KeyConditionExpression="pk = :p", ExpressionAttributeValues={":p": {"S": "p1"}})
        values = {":p": {"S": "p1"}, ":from": {"S": "10"}, ":to": {"S": "40"}}
        self.both([item for item in of_p1 if "10" <= item["sk"] <= "40"],
                  KeyConditionExpression="pk = :p AND sk BETWEEN :from AND :to", ExpressionAttributeValues=values)
        nobody = {":p": {"S": "nobody"}}
        self.both([], KeyConditionExpression="pk = :p", ExpressionAttributeValues=nobody)

    def test_pages_of_an_index(self):
        listed = sorted((item for item in self.items if "by" in item),
                        key=lambda item: (item["at"], item["pk"], item["sk"]))
        self.both(listed, IndexName="list", KeyConditionExpression="#b = :b",
                  ExpressionAttributeNames={"#b": "by"}, ExpressionAttributeValues={":b": {"S": "all"}})
        self.both([item for item in listed if item["at"] > "03"], IndexName="list",
                  KeyConditionExpression="#b = :b AND #a > :a", ExpressionAttributeNames={"#b": "by", "#a": "at"},
                  ExpressionAttributeValues={":b": {"S": "all"}, ":a": {"S": "03"}})


if __name__ == "__main__":
    unittest.main()
