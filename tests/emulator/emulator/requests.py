"""What a request is about: the service, the operation, the resources it names."""

import json
import re
from urllib.parse import parse_qsl, unquote

_SCOPE = re.compile(r"Credential=[^/]+/[^/]+/[^/]+/([^/]+)/aws4_request")
_JSON_NAMES = (
    "TableName", "QueueUrl", "QueueName", "SecretId", "Name", "name", "projectName", "ProjectName", "id", "ids", "SourceArn",
    "TopicArn", "ClientRequestToken",
)


class Request:
    """One HTTP request, taken apart as far as faults and counts need it."""

    def __init__(self, method, target, headers, body):
        self.method, self.target, self.headers, self.body = method, target, headers, body
        scope = _SCOPE.search(headers.get("authorization", ""))
        self.service = scope.group(1) if scope else "unsigned"
        self.path, _, self.query = target.partition("?")
        self.json = self._json()
        self.form = None
        if self.json is None and "x-www-form-urlencoded" in headers.get("content-type", ""):
            self.form = parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True)
        self.action = self._action()
        self.subject = self._subject()

    def _json(self):
        if "json" not in self.headers.get("content-type", ""):
            return None
        try:
            value = json.loads(self.body or b"{}")
        except ValueError:
            return None
        return value if isinstance(value, dict) else None

    def _action(self):
        target = self.headers.get("x-amz-target")
        if target:
            return target.rpartition(".")[2]
        if "/operation/" in self.path:
            return self.path.partition("/operation/")[2]
        if self.form:
            return dict(self.form).get("Action", self.method)
        if self.service == "s3":
            return self._object_action()
        if self.service == "cloudfront" and self.path.endswith("/invalidation") and self.method == "POST":
            return "CreateInvalidation"
        return self.method

    def _object_action(self):
        query = dict(parse_qsl(self.query, keep_blank_values=True))
        if "x-id" in query:
            return query["x-id"]
        has_key = "/" in self.path.strip("/")
        rows = (
            ("GET", "list-type", "ListObjectsV2"), ("POST", "uploads", "CreateMultipartUpload"),
            ("POST", "uploadId", "CompleteMultipartUpload"), ("PUT", "partNumber", "UploadPart"),
            ("DELETE", "uploadId", "AbortMultipartUpload"), ("POST", "delete", "DeleteObjects"),
        )
        for method, parameter, action in rows:
            if self.method == method and parameter in query:
                return action
        kinds = {"GET": "Get", "PUT": "Put", "DELETE": "Delete", "HEAD": "Head"}
        if self.method in kinds and not (query.keys() - {"versionId"}):
            return kinds[self.method] + ("Object" if has_key else "Bucket")
        return self.method

    def _subject(self):
        """Every resource name in the request, on one line."""
        names = []
        if self.service in ("s3", "cloudfront"):
            names.append(unquote(self.path))
        if self.json is not None:
            for key in _JSON_NAMES:
                value = self.json.get(key)
                names += value if isinstance(value, list) else [value]
            names += list(self.json.get("RequestItems") or {})
            for item in self.json.get("TransactItems") or []:
                names += [spec.get("TableName") for spec in item.values() if isinstance(spec, dict)]
        for key, value in self.form or []:
            if key in ("TopicArn", "TargetArn", "Name", "QueueUrl", "Endpoint", "SubscriptionArn"):
                names.append(value)
        return " ".join(sorted({name for name in names if isinstance(name, str)}))
