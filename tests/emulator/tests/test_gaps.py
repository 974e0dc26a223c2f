"""Every gap of moto that the launcher closes."""

import json
import threading
import time
import unittest

from botocore.exceptions import ClientError

from .support import call, client, item, name, table


def code(error):
    return error.exception.response["Error"]["Code"]


class DynamoDB(unittest.TestCase):
    def setUp(self):
        self.dynamodb = client("dynamodb")

    def test_a_cancelled_transaction_undoes_nobody_elses_write(self):
        made = table(self.dynamodb)
        self.dynamodb.put_item(TableName=made, Item=item("there"))
        failures, stop = [], threading.Event()

        def cancel():
            mine = client("dynamodb")
            new = {"Put": {"TableName": made, "Item": item("never")}}
            refused = {"Put": {"TableName": made, "Item": item("there"),
                               "ConditionExpression": "attribute_not_exists(pk)"}}
            while not stop.is_set():
                try:
                    mine.transact_write_items(TransactItems=[new, refused])
                    failures.append("was not cancelled")
                except mine.exceptions.TransactionCanceledException:
                    pass
                except ClientError as error:
                    failures.append(str(error))

        def write(number):
            mine = client("dynamodb")
            for index in range(60):
                mine.put_item(TableName=made, Item=item(f"w{number}-{index}"))

        cancelling = [threading.Thread(target=cancel) for _ in range(2)]
        writing = [threading.Thread(target=write, args=(number,)) for number in range(4)]
        for thread in cancelling + writing:
            thread.start()
        for thread in writing:
            thread.join()
        stop.set()
        for thread in cancelling:
            thread.join()
        self.assertEqual(failures, [])
        kept = {row["pk"]["S"] for row in self.dynamodb.scan(TableName=made)["Items"]}
        self.assertEqual(kept, {"there"} | {f"w{number}-{index}" for number in range(4) for index in range(60)})

    def test_a_transaction_with_the_same_token_is_applied_once(self):
        made = table(self.dynamodb)
        add = {"Update": {"TableName": made, "Key": item("n"), "UpdateExpression": "ADD n :one",
                          "ExpressionAttributeValues": {":one": {"N": "1"}}}}
        token = name("token")
        for _ in range(2):
            self.dynamodb.transact_write_items(TransactItems=[add], ClientRequestToken=token)
        self.assertEqual(self.dynamodb.get_item(TableName=made, Key=item("n"))["Item"]["n"], {"N": "1"})
        other = {"Delete": {"TableName": made, "Key": item("n")}}
        with self.assertRaises(ClientError) as error:
            self.dynamodb.transact_write_items(TransactItems=[other], ClientRequestToken=token)
        self.assertEqual(code(error), "IdempotentParameterMismatchException")

    def test_a_batch_has_at_most_25_writes(self):
        made = table(self.dynamodb)
        puts = [{"PutRequest": {"Item": item(str(number))}} for number in range(26)]
        with self.assertRaises(ClientError) as error:
            self.dynamodb.batch_write_item(RequestItems={made: puts})
        self.assertEqual(code(error), "ValidationException")
        self.dynamodb.batch_write_item(RequestItems={made: puts[:25]})

    def test_a_key_of_an_index_has_its_type(self):
        index = {"IndexName": "index", "KeySchema": [{"AttributeName": "n", "KeyType": "HASH"}],
                 "Projection": {"ProjectionType": "ALL"}}
        made = table(self.dynamodb, attributes=[{"AttributeName": "n", "AttributeType": "N"}],
                     GlobalSecondaryIndexes=[index])
        self.dynamodb.put_item(TableName=made, Item=item("a", n={"N": "1"}))
        self.dynamodb.put_item(TableName=made, Item=item("b"))
        with self.assertRaises(ClientError) as error:
            self.dynamodb.put_item(TableName=made, Item=item("c", n={"S": "1"}))
        self.assertEqual(code(error), "ValidationException")

    def test_a_table_gets_a_replica(self):
        made = table(self.dynamodb, StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"})
        self.dynamodb.update_table(TableName=made, ReplicaUpdates=[{"Create": {"RegionName": "eu-west-1"}}])
        replicas = self.dynamodb.describe_table(TableName=made)["Table"]["Replicas"]
        self.assertEqual([replica["RegionName"] for replica in replicas], ["eu-west-1"])


class Queues(unittest.TestCase):
    def setUp(self):
        self.sqs = client("sqs")

    def queue(self, **attributes):
        url = self.sqs.create_queue(QueueName=name("queue"), Attributes=attributes)["QueueUrl"]
        arn = self.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        return url, arn

    def attributes(self, url):
        return self.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]

    def test_changing_an_attribute_keeps_the_policy(self):
        statement = {"Effect": "Allow", "Principal": {"Service": "sns.amazonaws.com"}, "Action": "sqs:SendMessage",
                     "Resource": "*"}
        policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        url, _ = self.queue(Policy=policy)
        self.sqs.set_queue_attributes(QueueUrl=url, Attributes={"VisibilityTimeout": "11"})
        self.assertEqual(json.loads(self.attributes(url)["Policy"]), json.loads(policy))

    def test_redrive_policies_come_back_as_they_were_given(self):
        url, arn = self.queue()
        allow = json.dumps({"redrivePermission": "allowAll"}, separators=(",", ":"))
        self.sqs.set_queue_attributes(QueueUrl=url, Attributes={"RedriveAllowPolicy": allow})
        self.assertEqual(self.attributes(url)["RedriveAllowPolicy"], allow)
        redrive = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": 3}, separators=(",", ":"))
        source, _ = self.queue(RedrivePolicy=redrive)
        self.assertEqual(self.attributes(source)["RedrivePolicy"], redrive)

    def test_dead_letters_move_back(self):
        dead, arn = self.queue()
        redrive = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": 1})
        url, _ = self.queue(RedrivePolicy=redrive, VisibilityTimeout="0")
        self.sqs.send_message(QueueUrl=url, MessageBody="poison")
        for _ in range(3):
            self.sqs.receive_message(QueueUrl=url)
        self.assertEqual(self.attributes(dead)["ApproximateNumberOfMessages"], "1")
        self.assertTrue(self.sqs.start_message_move_task(SourceArn=arn)["TaskHandle"])
        moves = self.sqs.list_message_move_tasks(SourceArn=arn)["Results"]
        self.assertEqual((moves[0]["Status"], moves[0]["ApproximateNumberOfMessagesMoved"]), ("COMPLETED", 1))
        got = self.sqs.receive_message(QueueUrl=url, AttributeNames=["ApproximateReceiveCount"])["Messages"]
        self.assertEqual((got[0]["Body"], got[0]["Attributes"]["ApproximateReceiveCount"]), ("poison", "1"))

    def test_a_receipt_of_an_earlier_receive_deletes_nothing(self):
        url, _ = self.queue(VisibilityTimeout="0")
        self.sqs.send_message(QueueUrl=url, MessageBody="once")
        receive = lambda: self.sqs.receive_message(QueueUrl=url)["Messages"][0]["ReceiptHandle"]
        stale, fresh = receive(), receive()
        self.sqs.delete_message(QueueUrl=url, ReceiptHandle=stale)
        self.assertEqual(self.attributes(url)["ApproximateNumberOfMessages"], "1")
        self.sqs.delete_message(QueueUrl=url, ReceiptHandle=fresh)
        self.assertEqual(self.attributes(url)["ApproximateNumberOfMessages"], "0")

    def test_nothing_is_lost_or_doubled_by_many_at_once(self):
        url, _ = self.queue(VisibilityTimeout="60")
        got, failures, lock = [], [], threading.Lock()

        def send(number):
            mine = client("sqs")
            for index in range(10):
                entries = [{"Id": str(at), "MessageBody": f"{number}-{index}-{at}"} for at in range(5)]
                mine.send_message_batch(QueueUrl=url, Entries=entries)

        def receive():
            mine, end = client("sqs"), time.monotonic() + 60
            while time.monotonic() < end and len(got) < 200:
                try:
                    found = mine.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=1)
                except ClientError as error:
                    failures.append(str(error))
                    return
                for message in found.get("Messages", []):
                    mine.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
                    with lock:
                        got.append(message["Body"])

        threads = [threading.Thread(target=send, args=(number,)) for number in range(4)]
        threads += [threading.Thread(target=receive) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(failures, [])
        self.assertEqual((len(got), len(set(got))), (200, 200))

    def test_a_topic_whose_queue_is_gone_still_publishes(self):
        sns = client("sns")
        topic = sns.create_topic(Name=name("topic"))["TopicArn"]
        url, arn = self.queue()
        sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
        self.sqs.delete_queue(QueueUrl=url)
        self.assertTrue(sns.publish(TopicArn=topic, Message="x")["MessageId"])


class Objects(unittest.TestCase):
    def test_an_upload_in_parts(self):
        s3, bucket = client("s3"), name("bucket")
        s3.create_bucket(Bucket=bucket)
        upload = s3.create_multipart_upload(Bucket=bucket, Key="k")["UploadId"]
        part = s3.upload_part(Bucket=bucket, Key="k", UploadId=upload, PartNumber=1, Body=b"x")
        parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
        s3.complete_multipart_upload(Bucket=bucket, Key="k", UploadId=upload, MultipartUpload=parts)
        self.assertEqual(s3.get_object(Bucket=bucket, Key="k")["Body"].read(), b"x")
        for use in (lambda: s3.upload_part(Bucket=bucket, Key="k", UploadId="gone", PartNumber=1, Body=b"x"),
                    lambda: s3.complete_multipart_upload(Bucket=bucket, Key="k", UploadId="gone", MultipartUpload=parts)):
            with self.assertRaises(ClientError) as error:
                use()
            self.assertEqual(code(error), "NoSuchUpload")


class Secrets(unittest.TestCase):
    def test_a_plain_read_gives_the_current_version(self):
        secrets, made = client("secretsmanager"), name("secret")
        old = secrets.create_secret(Name=made, SecretString="old")["VersionId"]
        new = secrets.put_secret_value(SecretId=made, SecretString="new", VersionStages=["AWSPENDING"])["VersionId"]
        self.assertEqual(secrets.get_secret_value(SecretId=made)["SecretString"], "old")
        secrets.update_secret_version_stage(SecretId=made, VersionStage="AWSCURRENT", RemoveFromVersionId=old,
                                            MoveToVersionId=new)
        self.assertEqual(secrets.get_secret_value(SecretId=made)["SecretString"], "new")


class Builds(unittest.TestCase):
    def setUp(self):
        self.builds, self.project = client("codebuild"), name("project")
        environment = {"type": "LINUX_CONTAINER", "image": "aws/codebuild/standard:7.0",
                       "computeType": "BUILD_GENERAL1_SMALL",
                       "environmentVariables": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]}
        self.builds.create_project(
            name=self.project, source={"type": "NO_SOURCE", "buildspec": "version: 0.2"},
            artifacts={"type": "NO_ARTIFACTS"}, environment=environment,
            serviceRole="arn:aws:iam::123456789012:role/service-role/x")

    def test_a_project_is_deleted_by_its_arn_too(self):
        arn = self.builds.batch_get_projects(names=[self.project])["projects"][0]["arn"]
        self.builds.delete_project(name=arn)
        self.assertNotIn(self.project, self.builds.list_projects()["projects"])

    def start(self, **more):
        return self.builds.start_build(projectName=self.project, **more)["build"]

    def get(self, build):
        return self.builds.batch_get_builds(ids=[build["id"]])["builds"][0]

    def plan(self, seconds, status):
        call("POST", "/moto-api/codebuild", {self.project: {"seconds": seconds, "status": status}})

    def until(self, build, status):
        end = time.monotonic() + 20
        while self.get(build)["buildStatus"] != status and time.monotonic() < end:
            time.sleep(0.05)
        return self.get(build)

    def test_overrides_are_merged_and_the_build_takes_its_time(self):
        self.plan(0.5, "FAILED")
        build = self.start(environmentVariablesOverride=[{"name": "B", "value": "3"}])
        variables = {each["name"]: each["value"] for each in build["environment"]["environmentVariables"]}
        self.assertEqual(variables, {"A": "1", "B": "3"})
        self.assertEqual((self.get(build)["buildStatus"], self.get(build)["buildComplete"]), ("IN_PROGRESS", False))
        self.assertTrue(self.until(build, "FAILED")["buildComplete"])

    def test_a_token_starts_one_build(self):
        first, second = (self.start(idempotencyToken="t")["id"] for _ in range(2))
        self.assertEqual(first, second)
        self.assertNotEqual(first, self.start(idempotencyToken="u")["id"])

    def test_a_stopped_build_stays_stopped(self):
        self.plan(0.3, "SUCCEEDED")
        build = self.start()
        self.builds.stop_build(id=build["id"])
        time.sleep(0.6)
        self.assertEqual(self.get(build)["buildStatus"], "STOPPED")
        found = self.builds.batch_get_builds(ids=["none:1"])
        self.assertEqual((found["builds"], found["buildsNotFound"]), ([], ["none:1"]))

    def test_state_changes_reach_a_queue(self):
        events, sqs = client("events"), client("sqs")
        url = sqs.create_queue(QueueName=name("queue"))["QueueUrl"]
        arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        rule = name("rule")
        pattern = {"source": ["aws.codebuild"], "detail": {"project-name": [self.project]}}
        events.put_rule(Name=rule, EventPattern=json.dumps(pattern))
        events.put_targets(Rule=rule, Targets=[{"Id": "q", "Arn": arn}])
        self.plan(0.2, "SUCCEEDED")
        build = self.start()
        seen, end = [], time.monotonic() + 20
        while len(seen) < 2 and time.monotonic() < end:
            for message in sqs.receive_message(QueueUrl=url, WaitTimeSeconds=1).get("Messages", []):
                detail = json.loads(message["Body"])["detail"]
                self.assertEqual(detail["build-id"], build["arn"])
                seen.append(detail["build-status"])
        self.assertEqual(sorted(seen), ["IN_PROGRESS", "SUCCEEDED"])

    def test_a_project_is_changed_in_place(self):
        self.builds.update_project(name=self.project, timeoutInMinutes=42)
        self.assertEqual(self.builds.batch_get_projects(names=[self.project])["projects"][0]["timeoutInMinutes"], 42)


class Terraform(unittest.TestCase):
    """What the provider reads back."""

    def test_scaling_targets_have_tags(self):
        scaling, ecs = client("application-autoscaling"), client("ecs")
        cluster, service = name("cluster"), name("service")
        ecs.create_cluster(clusterName=cluster)
        ecs.register_task_definition(family="f", containerDefinitions=[{"name": "c", "image": "i", "memory": 1}])
        ecs.create_service(cluster=cluster, serviceName=service, taskDefinition="f", desiredCount=0)
        target = scaling.register_scalable_target(
            ServiceNamespace="ecs", ResourceId=f"service/{cluster}/{service}", MinCapacity=1, MaxCapacity=2,
            ScalableDimension="ecs:service:DesiredCount", Tags={"a": "b"})["ScalableTargetARN"]
        self.assertEqual(scaling.list_tags_for_resource(ResourceARN=target)["Tags"], {"a": "b"})

    def test_services_echo_their_settings(self):
        ecs, cluster, service = client("ecs"), name("cluster"), name("service")
        ecs.create_cluster(clusterName=cluster)
        ecs.register_task_definition(family="g", containerDefinitions=[{"name": "c", "image": "i", "memory": 1}])
        ecs.create_service(
            cluster=cluster, serviceName=service, taskDefinition="g", desiredCount=0,
            healthCheckGracePeriodSeconds=7,
            deploymentConfiguration={"deploymentCircuitBreaker": {"enable": True, "rollback": True}})
        found = ecs.describe_services(cluster=cluster, services=[service])["services"][0]
        self.assertEqual(found["healthCheckGracePeriodSeconds"], 7)
        self.assertTrue(found["deploymentConfiguration"]["deploymentCircuitBreaker"]["enable"])
        self.assertEqual(found["availabilityZoneRebalancing"], "DISABLED")

    def test_a_service_keeps_its_capacity_provider(self):
        ecs, cluster, service, task = client("ecs"), name("cluster"), name("service"), name("task")
        ecs.create_cluster(clusterName=cluster)
        ecs.register_task_definition(family=task, containerDefinitions=[{"name": "a", "image": "b", "memory": 64}])
        strategy = [{"capacityProvider": "FARGATE_SPOT", "weight": 1, "base": 0}]
        ecs.create_service(cluster=cluster, serviceName=service, taskDefinition=task, desiredCount=1,
                           capacityProviderStrategy=strategy)
        found = ecs.describe_services(cluster=cluster, services=[service])["services"][0]
        self.assertEqual(found["capacityProviderStrategy"], strategy)
        self.assertFalse(found.get("launchType"))

    def test_budgets_have_tags(self):
        budgets, made = client("budgets"), name("budget")
        budgets.create_budget(
            AccountId="123456789012", ResourceTags=[{"Key": "a", "Value": "1"}],
            Budget={"BudgetName": made, "BudgetType": "COST", "TimeUnit": "MONTHLY",
                    "BudgetLimit": {"Amount": "1", "Unit": "USD"}})
        arn = f"arn:aws:budgets::123456789012:budget/{made}"
        self.assertEqual(budgets.list_tags_for_resource(ResourceARN=arn)["ResourceTags"], [{"Key": "a", "Value": "1"}])

    def test_a_rule_about_another_group_keeps_its_description(self):
        ec2 = client("ec2")
        group = ec2.create_security_group(GroupName=name("group"), Description="x")["GroupId"]
        pair = {"GroupId": group, "Description": "to itself"}
        permission = {"IpProtocol": "tcp", "FromPort": 1, "ToPort": 1, "UserIdGroupPairs": [pair]}
        made = ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[permission])["SecurityGroupRules"]
        ids = [one["SecurityGroupRuleId"] for one in made]
        found = ec2.describe_security_group_rules(SecurityGroupRuleIds=ids)["SecurityGroupRules"]
        self.assertEqual([one["Description"] for one in found], ["to itself"])

    def test_replicas_of_secrets_have_their_keys(self):
        secrets, secret = client("secretsmanager"), name("secret")
        replica = {"Region": "eu-west-1", "KmsKeyId": "arn:aws:kms:eu-west-1:123456789012:key/1"}
        secrets.create_secret(Name=secret, SecretString="x", AddReplicaRegions=[replica])
        found = secrets.describe_secret(SecretId=secret)["ReplicationStatus"]
        self.assertEqual([one["KmsKeyId"] for one in found], [replica["KmsKeyId"]])

    def test_composite_alarms(self):
        watch, alarm = client("cloudwatch"), name("alarm")
        watch.put_composite_alarm(AlarmName=alarm, AlarmRule="ALARM(x)")
        found = watch.describe_alarms(AlarmNames=[alarm], AlarmTypes=["CompositeAlarm"])["CompositeAlarms"]
        self.assertEqual(found[0]["AlarmRule"], "ALARM(x)")

    def test_response_headers_policies(self):
        front = client("cloudfront")
        config = {"Name": name("policy"), "CorsConfig": {
            "AccessControlAllowOrigins": {"Quantity": 1, "Items": ["*"]},
            "AccessControlAllowHeaders": {"Quantity": 1, "Items": ["*"]},
            "AccessControlAllowMethods": {"Quantity": 1, "Items": ["GET"]},
            "AccessControlAllowCredentials": False, "OriginOverride": True}}
        made = front.create_response_headers_policy(ResponseHeadersPolicyConfig=config)["ResponseHeadersPolicy"]["Id"]
        found = front.get_response_headers_policy(Id=made)
        self.assertEqual(found["ResponseHeadersPolicy"]["ResponseHeadersPolicyConfig"]["Name"], config["Name"])
        front.delete_response_headers_policy(Id=made, IfMatch=found["ETag"])
        with self.assertRaises(ClientError) as error:
            front.get_response_headers_policy(Id=made)
        self.assertEqual(code(error), "NoSuchResponseHeadersPolicy")

    def test_a_behaviour_names_a_group_of_origins(self):
        origins = [{"Id": one, "DomainName": f"{one}.s3.amazonaws.com", "S3OriginConfig": {"OriginAccessIdentity": ""}}
                   for one in ("a", "b")]
        group = {"Id": "both", "FailoverCriteria": {"StatusCodes": {"Quantity": 1, "Items": [503]}},
                 "Members": {"Quantity": 2, "Items": [{"OriginId": "a"}, {"OriginId": "b"}]}}
        made = client("cloudfront").create_distribution(DistributionConfig={
            "CallerReference": name("ref"), "Comment": "", "Enabled": True,
            "Origins": {"Quantity": 2, "Items": origins}, "OriginGroups": {"Quantity": 1, "Items": [group]},
            "DefaultCacheBehavior": {"TargetOriginId": "both", "ViewerProtocolPolicy": "redirect-to-https"}})
        found = made["Distribution"]["DistributionConfig"]
        self.assertEqual(found["DefaultCacheBehavior"]["TargetOriginId"], "both")
        self.assertEqual(found["OriginGroups"]["Items"], [group])

    def test_a_bucket_that_wants_tls_is_used(self):
        store, bucket = client("s3"), name("bucket")
        store.create_bucket(Bucket=bucket)
        deny = {"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": f"arn:aws:s3:::{bucket}/*"}
        tls = {**deny, "Condition": {"Bool": {"aws:SecureTransport": "false"}}}
        store.put_bucket_policy(Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": [tls]}))
        store.put_object(Bucket=bucket, Key="key", Body=b"x")
        store.put_bucket_policy(Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": [tls, deny]}))
        with self.assertRaises(ClientError):
            store.put_object(Bucket=bucket, Key="key", Body=b"x")

    def test_functions_are_made_published_and_attached(self):
        front, function = client("cloudfront"), name("function")
        config = {"Comment": "", "Runtime": "cloudfront-js-2.0"}
        made = front.create_function(Name=function, FunctionConfig=config, FunctionCode=b"function handler(e) {}")
        with self.assertRaises(ClientError) as error:
            front.describe_function(Name=function, Stage="LIVE")
        self.assertEqual(code(error), "NoSuchFunctionExists")
        front.publish_function(Name=function, IfMatch=made["ETag"])
        live = front.describe_function(Name=function, Stage="LIVE")["FunctionSummary"]
        self.assertEqual(live["FunctionConfig"]["Runtime"], "cloudfront-js-2.0")
        kept = front.get_function(Name=function, Stage="LIVE")["FunctionCode"].read()
        self.assertEqual(kept, b"function handler(e) {}")
        arn = live["FunctionMetadata"]["FunctionARN"]
        attached = {"Quantity": 1, "Items": [{"EventType": "viewer-request", "FunctionARN": arn}]}
        distribution = front.create_distribution(DistributionConfig={
            "CallerReference": name("ref"), "Comment": "", "Enabled": True,
            "Origins": {"Quantity": 1, "Items": [{
                "Id": "o", "DomainName": "b.s3.amazonaws.com", "S3OriginConfig": {"OriginAccessIdentity": ""}}]},
            "DefaultCacheBehavior": {"TargetOriginId": "o", "ViewerProtocolPolicy": "redirect-to-https",
                                     "FunctionAssociations": attached}})["Distribution"]
        found = distribution["DistributionConfig"]["DefaultCacheBehavior"]["FunctionAssociations"]
        self.assertEqual(found, attached)
        with self.assertRaises(ClientError) as error:
            front.delete_function(Name=function, IfMatch="other")
        self.assertEqual(code(error), "PreconditionFailed")
        front.delete_function(Name=function, IfMatch=made["ETag"])

    def test_distributions_say_what_they_were_given(self):
        front = client("cloudfront")
        config = {
            "CallerReference": name("ref"), "Comment": "", "Enabled": True,
            "Origins": {"Quantity": 1, "Items": [{
                "Id": "o", "DomainName": "b.s3.amazonaws.com", "OriginAccessControlId": "E1",
                "S3OriginConfig": {"OriginAccessIdentity": ""}}]},
            "DefaultCacheBehavior": {"TargetOriginId": "o", "ViewerProtocolPolicy": "redirect-to-https",
                                     "CachePolicyId": "658327ea-f89d-4fab-a63d-7e88639e58f6"}}
        made = front.create_distribution(DistributionConfig=config)["Distribution"]
        self.assertIn(":cloudfront::", made["ARN"])
        origin = made["DistributionConfig"]["Origins"]["Items"][0]
        self.assertEqual(origin["OriginAccessControlId"], "E1")
        self.assertNotIn("ForwardedValues", made["DistributionConfig"]["DefaultCacheBehavior"])
