"""Applies an environment, dev unless another is named, with the real provider against the emulator.

    scripts/emulator -- tests/terraform/apply [test]        apply, second plan, one more client, destroy
    ... apply up   --folder F [--variables V] [--secrets S]  applies, puts the secrets in, writes F/outputs.json
    ... apply down --folder F                                destroys, and fails if anything is left
    ... apply plan --folder F                                fails if a further plan has changes

`--root prod` takes another root than dev; what is protected there cannot be destroyed.

`up` may be called again with other variables, as an operator would. V and S are JSON: variables of the root, and
values by secret (`{"freshet-dev/tidewater/journal": {"webhook": "..."}}`). The work is done in copies below F; nothing
in the modules or the root knows of the emulator.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import boto3

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
REGION = "us-east-1"
STATE_BUCKET = "terraform-state"
# Only here: without it, a call that the emulator does not know is repeated for minutes.
OVERRIDE = 'provider "aws" {{\n{}  max_retries = 2\n}}\n'
# Empty means off: dev has no TLS between the services.
OPTIONAL = {"FRESHET_RPC__CA", "FRESHET_RPC__CERT", "FRESHET_RPC__CERT_KEY", "FRESHET_TELEMETRY__OTLP_ENDPOINT"}
# The provider mostly waits; more at once costs the emulator nothing.
PARALLELISM = 30


def environment():
    endpoint = os.environ.get("FRESHET_TEST_AWS") or sys.exit("runs under scripts/emulator")
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return {
        **kept, "AWS_ENDPOINT_URL": endpoint, "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": REGION, "AWS_DEFAULT_REGION": REGION, "AWS_EC2_METADATA_DISABLED": "true",
        "TF_IN_AUTOMATION": "1", "CHECKPOINT_DISABLE": "1",
    }


def client(service):
    return boto3.client(service, endpoint_url=environment()["AWS_ENDPOINT_URL"], region_name=REGION,
                        aws_access_key_id="test", aws_secret_access_key="test")


class Environment:
    """An environment in a folder of its own."""

    def __init__(self, folder, root="dev"):
        self.folder = Path(folder).resolve()
        self.root = self.folder / "terraform/envs" / root

    def terraform(self, *arguments, codes=(0,)):
        start = time.monotonic()
        done = subprocess.run(["terraform", f"-chdir={self.root}", *arguments], env=environment(), capture_output=True,
                              text=True, check=False)
        if done.returncode not in codes:
            sys.exit(f"terraform {' '.join(arguments)}: exit code {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done, time.monotonic() - start

    def prepare(self):
        """Copies the roots and modules, and initialises with the state in a bucket of the emulator."""
        if self.root.exists():
            return
        ignored = shutil.ignore_patterns(".terraform*", "*.tfstate*")
        shutil.copytree(ROOT / "terraform", self.folder / "terraform", ignore=ignored)
        aliases = ["secondary"] if "secondary" in (self.root / "main.tf").read_text() else []
        override = OVERRIDE.format("") + "".join(OVERRIDE.format(f'  alias = "{one}"\n') for one in aliases)
        (self.root / "zz_test_override.tf").write_text(override)
        client("s3").create_bucket(Bucket=STATE_BUCKET)
        zone = client("route53").create_hosted_zone(Name="example.com", CallerReference=str(time.time()))
        given = {"region": REGION, "domain": "hooks.example.com", "zone_id": zone["HostedZone"]["Id"].split("/")[-1]}
        (self.root / "given.auto.tfvars.json").write_text(json.dumps(given))
        made = subprocess.run(
            [ROOT / "scripts/terraform-init", self.root, f"-backend-config=bucket={STATE_BUCKET}",
             f"-backend-config=region={REGION}"], env=environment(), check=False)
        if made.returncode != 0:
            sys.exit(made.returncode)

    def up(self, variables, secrets):
        """The outputs, after an apply with these variables."""
        self.prepare()
        (self.root / "terraform.tfvars.json").write_text(json.dumps(variables))
        done, seconds = self.terraform("apply", "-auto-approve", "-no-color", f"-parallelism={PARALLELISM}")
        last = [line for line in done.stdout.splitlines() if line.startswith("Apply complete")]
        print(f"{last[0] if last else 'applied'} {seconds:.0f} s", flush=True)
        store = client("secretsmanager")
        for name, value in secrets.items():
            store.put_secret_value(SecretId=name, SecretString=json.dumps(value))
        outputs, _ = self.terraform("output", "-json", "freshet")
        (self.folder / "outputs.json").write_text(outputs.stdout)
        return json.loads(outputs.stdout)

    def must_be_unchanged(self):
        done, seconds = self.terraform("plan", "-detailed-exitcode", "-no-color", codes=(0, 2))
        if done.returncode == 2:
            sys.exit(f"the second plan is not without changes:\n{done.stdout}")
        print(f"second plan: no changes, {seconds:.0f} s", flush=True)

    def down(self):
        done, seconds = self.terraform("destroy", "-auto-approve", "-no-color", f"-parallelism={PARALLELISM}")
        last = [line for line in done.stdout.splitlines() if line.startswith("Destroy complete")]
        print(f"{last[0] if last else 'destroyed'} {seconds:.0f} s", flush=True)
        state, _ = self.terraform("state", "list")
        left = [f"state: {line}" for line in state.stdout.split()] + remains()
        if left:
            sys.exit("left behind:\n" + "\n".join(left))


def remains():
    """What the emulator still has of an environment."""
    lists = {
        "table": lambda: client("dynamodb").list_tables()["TableNames"],
        "queue": lambda: client("sqs").list_queues().get("QueueUrls", []),
        "topic": lambda: [one["TopicArn"] for one in client("sns").list_topics()["Topics"]],
        "bucket": lambda: [one["Name"] for one in client("s3").list_buckets()["Buckets"]],
        "secret": lambda: [one["Name"] for one in client("secretsmanager").list_secrets()["SecretList"]],
        "project": lambda: client("codebuild").list_projects()["projects"],
        "distribution": lambda: [
            one["Id"] for one in client("cloudfront").list_distributions()["DistributionList"].get("Items", [])],
        "role": lambda: [one["RoleName"] for one in client("iam").list_roles()["Roles"]],
        "log group": lambda: [one["logGroupName"] for one in client("logs").describe_log_groups()["logGroups"]],
        "balancer": lambda: [
            one["LoadBalancerArn"] for one in client("elbv2").describe_load_balancers()["LoadBalancers"]],
        # What was deleted stays listed as inactive for a while.
        "cluster": lambda: [
            one["clusterArn"] for one in client("ecs").describe_clusters(
                clusters=client("ecs").list_clusters()["clusterArns"])["clusters"] if one["status"] == "ACTIVE"],
        "alarm": lambda: [one["AlarmName"] for one in client("cloudwatch").describe_alarms()["MetricAlarms"]],
        "repository": lambda: [one["repositoryName"] for one in client("ecr").describe_repositories()["repositories"]],
    }
    found = [(what, name) for what, names in lists.items() for name in names()]
    return [f"{what}: {name}" for what, name in found if "freshet" in name or what == "distribution"]


def variables():
    return json.loads((HERE / "dev.tfvars.json").read_text())


def expect(outputs, clients):
    """What an operator would look at after an apply."""
    tables = set(client("dynamodb").list_tables()["TableNames"])
    for name in [outputs["tables"]["deliveries"], outputs["tables"]["builds"]] + [
            outputs["tables"]["content"][one] for one in clients]:
        if name not in tables:
            sys.exit(f"the table {name} is not there")
    bucket, key = outputs["catalogue_location"].removeprefix("s3://").split("/", 1)
    document = client("s3").get_object(Bucket=bucket, Key=key)["Body"].read().decode()
    for one in clients:
        if f'id = "{one}"' not in document:
            sys.exit(f"the client {one} is not in the catalogue:\n{document}")


def message_arrives(outputs):
    """Topic, subscription, queue and their policies, end to end."""
    client("sns").publish(TopicArn=outputs["topic_arn"], Message='{"probe":1}')
    queue = outputs["queue_urls"]["build"]
    found = client("sqs").receive_message(QueueUrl=queue, WaitTimeSeconds=5).get("Messages", [])
    if [one["Body"] for one in found] != ['{"probe":1}']:
        sys.exit(f"the topic's message is not in the build queue as it was sent: {found}")


def settings(outputs):
    """Compares what each task is told with what its program reads: a setting that was renamed fails before a deploy."""
    target = Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target")
    folder = Path(os.environ.get("FRESHET_PROGRAMS") or target / "debug")
    for service, told in outputs["environment"].items():
        program = folder / f"freshet-{service}"
        if not program.exists():
            print(f"SKIPPED: {program} is not built, so its settings are not compared; "
                  "FRESHET_REQUIRE_ALL=1 makes this a failure", file=sys.stderr)
            if os.environ.get("FRESHET_REQUIRE_ALL") == "1":
                sys.exit(1)
            continue
        reads = json.loads(subprocess.run([program, "settings"], capture_output=True, text=True, check=True).stdout)
        unknown = set(told) - {one["variable"] for one in reads}
        missing = {one["variable"] for one in reads if one["default"] in (None, "")} - set(told) - OPTIONAL
        if unknown or missing:
            sys.exit(f"{service}: told what it does not read: {sorted(unknown)}; not told: {sorted(missing)}")


def test():
    with tempfile.TemporaryDirectory(prefix="freshet-terraform-") as folder:
        dev, given = Environment(folder), variables()
        outputs = dev.up(given, {"freshet-dev/tidewater/journal": {"webhook": "x", "token": "y"}})
        expect(outputs, ["tidewater"])
        message_arrives(outputs)
        settings(outputs)
        dev.must_be_unchanged()
        given["clients"]["northwind"] = {
            "sources": {"shop": {"provider": "woocommerce"}}, "sites": {"www": {"sources": ["shop"]}}}
        outputs = dev.up(given, {})
        expect(outputs, ["tidewater", "northwind"])
        dev.down()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", nargs="?", choices=("test", "up", "plan", "down"), default="test")
    parser.add_argument("--folder", help="where the copies, the state's address and outputs.json are")
    parser.add_argument("--variables", type=Path, default=HERE / "dev.tfvars.json")
    parser.add_argument("--secrets", type=Path)
    parser.add_argument("--root", default="dev")
    given = parser.parse_args()
    if given.command == "test":
        return test()
    if not given.folder:
        parser.error("--folder is missing")
    one = Environment(given.folder, given.root)
    if given.command == "down":
        return one.down()
    if given.command == "plan":
        return one.must_be_unchanged()
    secrets = json.loads(given.secrets.read_text()) if given.secrets else {}
    one.up(json.loads(given.variables.read_text()), secrets)


if __name__ == "__main__":
    main()
