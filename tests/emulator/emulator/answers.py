"""Answers that the services would give: errors in each protocol, and batches of which a part failed."""

import copy
import json
from urllib.parse import urlencode
from xml.sax.saxutils import escape

# What each service calls "too much at once", and with which status.
_THROTTLED = {
    "s3": ("SlowDown", 503),
    "sns": ("Throttled", 429),
    "sqs": ("RequestThrottled", 403),
    "cloudfront": ("Throttling", 400),
}
_INTERNAL = {"s3": "InternalError", "sns": "InternalError", "sqs": "InternalError", "dynamodb": "InternalServerError",
             "secretsmanager": "InternalServiceError"}


class Answer:
    """A whole HTTP answer."""

    def __init__(self, status, headers, body, reason=""):
        self.status, self.headers, self.body, self.reason = status, headers, body, reason


def throttled(service):
    """Code and status."""
    return _THROTTLED.get(service, ("ThrottlingException", 400))


def internal(service):
    """Code and status."""
    return _INTERNAL.get(service, "InternalFailure"), 500


def error(request, code, status, message="injected by a test", more=None):
    """The error in the protocol of the request's service."""
    if request.service == "s3":
        body = f"<?xml version=\"1.0\"?><Error><Code>{escape(code)}</Code><Message>{escape(message)}</Message></Error>"
        return Answer(status, [("Content-Type", "application/xml")], b"" if request.method == "HEAD" else body.encode())
    if request.service in ("sns", "cloudfront"):
        side = "Sender" if status < 500 else "Receiver"
        body = (f"<ErrorResponse><Error><Type>{side}</Type><Code>{escape(code)}</Code>"
                f"<Message>{escape(message)}</Message></Error><RequestId>injected</RequestId></ErrorResponse>")
        return Answer(status, [("Content-Type", "text/xml")], body.encode())
    body = json.dumps({"__type": code, "message": message, "Message": message, **(more or {})})
    headers = [("Content-Type", request.headers.get("content-type", "application/json")), ("x-amzn-RequestId", "injected")]
    if request.service == "sqs":
        headers.append(("x-amzn-query-error", f"{code};{'Sender' if status < 500 else 'Receiver'}"))
    return Answer(status, headers, body.encode())


def cancelled_by_conflict(request):
    """A transaction that met another one: the first item's reason says so."""
    items = (request.json or {}).get("TransactItems") or [{}]
    reasons = [{"Code": "TransactionConflict", "Message": "Transaction is ongoing for the item"}]
    reasons += [{"Code": "None"} for _ in items[1:]]
    said = ", ".join(reason["Code"] for reason in reasons)
    return error(request, "TransactionCanceledException", 400,
                 f"Transaction cancelled, please refer cancellation reasons for specific reasons [{said}]",
                 {"CancellationReasons": reasons})


class Split:
    """A batch without the entries that fail, and how to say so in its answer.

    `kept` is the body to forward, or None if nothing is left.
    """

    def __init__(self, kept, join):
        self.kept, self.join = kept, join


def split(request, entries, code):
    """Takes the last `entries` entries out of a batch; None if the request is no batch."""
    action = request.action
    if request.service == "dynamodb" and action in ("BatchWriteItem", "BatchGetItem"):
        return _items(request, entries, action)
    if request.service == "sqs" and action.endswith("Batch"):
        return _entries(request, entries, code)
    if request.service == "sns" and action == "PublishBatch":
        return _form(request, entries, code)
    return None


def _items(request, entries, action):
    body, held = copy.deepcopy(request.json), {}
    for table, asked in reversed(list(body["RequestItems"].items())):
        rows = asked["Keys"] if action == "BatchGetItem" else asked
        cut = max(len(rows) - entries, 0)
        out, rows[cut:] = rows[cut:], []
        entries -= len(out)
        if out:
            held[table] = {**asked, "Keys": out} if action == "BatchGetItem" else out
        if not rows:
            del body["RequestItems"][table]
    field = "UnprocessedKeys" if action == "BatchGetItem" else "UnprocessedItems"

    def join(answer):
        answer = answer or {"Responses": {table: [] for table in held}} if action == "BatchGetItem" else answer or {}
        answer[field] = {**answer.get(field, {}), **held}
        return answer

    return Split(json.dumps(body).encode() if body["RequestItems"] else None, _json_join(request, join))


def _entries(request, entries, code):
    body = copy.deepcopy(request.json)
    rows = body["Entries"]
    cut = max(len(rows) - entries, 0)
    out, rows[cut:] = rows[cut:], []

    def join(answer):
        answer = answer or {}
        failed = [{"Id": row["Id"], "Code": code, "SenderFault": False, "Message": "injected by a test"} for row in out]
        answer["Failed"] = answer.get("Failed", []) + failed
        answer.setdefault("Successful", [])
        return answer

    return Split(json.dumps(body).encode() if rows else None, _json_join(request, join))


def _json_join(request, join):
    def whole(answer):
        if answer is None:
            kind = request.headers.get("content-type", "application/json")
            return Answer(200, [("Content-Type", kind)], json.dumps(join(None)).encode())
        if answer.status != 200:
            return answer
        headers = [(name, value) for name, value in answer.headers if name.lower() != "x-amz-crc32"]
        return Answer(200, headers, json.dumps(join(json.loads(answer.body or b"{}"))).encode())

    return whole


def _form(request, entries, code):
    prefix = "PublishBatchRequestEntries.member."
    numbers = sorted({int(key[len(prefix):].split(".")[0]) for key, _ in request.form if key.startswith(prefix)})
    out = set(numbers[max(len(numbers) - entries, 0):])

    def number(key):
        return int(key[len(prefix):].split(".")[0]) if key.startswith(prefix) else None

    ids = [value for key, value in request.form if number(key) in out and key.endswith(".Id")]
    failed = "".join(
        f"<member><Id>{escape(one)}</Id><Code>{escape(code)}</Code><Message>injected by a test</Message>"
        "<SenderFault>false</SenderFault></member>" for one in ids
    )
    kept = [(key, value) for key, value in request.form if number(key) not in out]

    def join(answer):
        if answer is None:
            body = ('<PublishBatchResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/"><PublishBatchResult>'
                    f"<Successful/><Failed>{failed}</Failed></PublishBatchResult></PublishBatchResponse>")
            return Answer(200, [("Content-Type", "text/xml")], body.encode())
        if answer.status != 200:
            return answer
        text = answer.body.decode()
        for empty in ("<Failed/>", "<Failed />", "<Failed></Failed>"):
            text = text.replace(empty, "")
        text = text.replace("</PublishBatchResult>", f"<Failed>{failed}</Failed></PublishBatchResult>")
        return Answer(200, answer.headers, text.encode())

    return Split(urlencode(kept).encode() if len(out) < len(numbers) else None, join)
