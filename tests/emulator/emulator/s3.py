"""S3: conditional writes that race, two answers that are not those of the API, and policies about TLS."""

import json
import threading

from moto.iam.access_control import IAMPolicy
from moto.s3.exceptions import NoSuchUpload
from moto.s3.models import FakeBucket, S3Backend
from moto.s3.responses import S3Response

from .patching import replaces

_lock = threading.RLock()


@replaces(S3Response, "_key_response_put")
def _one_at_a_time(before):
    """If-None-Match and the writing are two steps: two writers could both be the first."""

    def _key_response_put(self, *arguments, **named):
        with _lock:
            return before(self, *arguments, **named)

    return _key_response_put


@replaces(S3Response, "serialized")
def _right_root(before):
    """CompleteMultipartUpload is answered with a root element that the SDK for Rust refuses."""

    def serialized(self, result):
        status, headers, body = before(self, result)
        if self.data.get("Action") == "CompleteMultipartUpload":
            wrong, right = "CompleteMultipartUploadResponse", "CompleteMultipartUploadResult"
            if isinstance(body, bytes):
                wrong, right = wrong.encode(), right.encode()
            body = body.replace(wrong, right)
            if "Content-Length" in headers:
                headers["Content-Length"] = str(len(body))
        return status, headers, body

    return serialized


def _known_upload(before):
    """An upload that was completed or given up is a 404, not a 500."""

    def call(self, bucket_name, multipart_id, *arguments, **named):
        if multipart_id not in self.get_bucket(bucket_name).multiparts:
            raise NoSuchUpload(upload_id=multipart_id)
        return before(self, bucket_name, multipart_id, *arguments, **named)

    return call


for _name in ("upload_part", "complete_multipart_upload"):
    replaces(S3Backend, _name)(_known_upload)


@replaces(FakeBucket, "get_permission")
def _as_if_with_tls(before):
    """moto reads no conditions, so that a bucket that wants TLS would refuse everybody. Here is no TLS: every call
    counts as made with it."""

    def get_permission(self, action, resource):
        if self.policy is None:
            return before(self, action, resource)
        policy = json.loads(self.policy)
        tls = {"Bool": {"aws:SecureTransport": "false"}}
        rest = [one for one in policy["Statement"] if not (one["Effect"] == "Deny" and one.get("Condition") == tls)]
        return IAMPolicy(json.dumps({**policy, "Statement": rest})).is_action_permitted(action, resource)

    return get_permission
