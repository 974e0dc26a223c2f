"""Secrets Manager: after AWSCURRENT moved to another version, a plain read still gave the old one; keys of replicas."""

from moto.secretsmanager.models import FakeSecret, SecretsManagerBackend

from .patching import replaces


@replaces(SecretsManagerBackend, "get_secret_value")
def _plain_reads_are_current(before):
    def get_secret_value(self, secret_id, version_id, version_stage):
        if not version_id and not version_stage:
            known = self._is_valid_identifier(secret_id)
            stages = [version["version_stages"] for version in self.secrets[secret_id].versions.values()] if known else []
            if any("AWSCURRENT" in of_version for of_version in stages):
                version_stage = "AWSCURRENT"
        return before(self, secret_id, version_id, version_stage)

    return get_secret_value


@replaces(FakeSecret, "create_replicas")
def _keys_of_replicas(before):
    def create_replicas(self, replica_regions, force_overwrite):
        replicas = before(self, replica_regions, force_overwrite)
        for replica, given in zip(replicas, replica_regions or []):
            if given.get("KmsKeyId"):
                replica.config["KmsKeyId"] = given["KmsKeyId"]
        return replicas

    return create_replicas
