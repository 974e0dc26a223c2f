"""CloudFront Functions: made, changed, published and attached to a distribution. They are kept, never run."""

import base64
import re
import uuid

import moto.cloudfront.models as models
from moto.cloudfront import urls

from .patching import existing, replaces

_PATH = "/2020-05-31/function"
_XML = {"Content-Type": "text/xml"}
_TIME = "2024-01-01T00:00:00Z"
# By name: the stages that it has, each with its code, its configuration and its etag.
_functions = {}


def _element(text, name):
    found = re.search(f"<{name}>(.*?)</{name}>", text, re.DOTALL)
    return found.group(1) if found else ""


def _stage(body):
    return {"code": base64.b64decode(_element(body, "FunctionCode")), "config": _element(body, "FunctionConfig"),
            "etag": "E" + uuid.uuid4().hex[:12].upper()}


def _summary(name, stage, status):
    one = _functions[name][stage]
    state = "UNPUBLISHED" if stage == "DEVELOPMENT" else "DEPLOYED"
    xml = (
        f"<FunctionSummary><Name>{name}</Name><Status>{state}</Status><FunctionConfig>{one['config']}</FunctionConfig>"
        f"<FunctionMetadata><FunctionARN>arn:aws:cloudfront::123456789012:function/{name}</FunctionARN>"
        f"<Stage>{stage}</Stage><CreatedTime>{_TIME}</CreatedTime><LastModifiedTime>{_TIME}</LastModifiedTime>"
        "</FunctionMetadata></FunctionSummary>"
    )
    return status, {"ETag": one["etag"], **_XML}, f'<?xml version="1.0"?>{xml}'


def _error(status, code):
    error = f"<Type>Sender</Type><Code>{code}</Code><Message/>"
    return status, _XML, f"<ErrorResponse><Error>{error}</Error></ErrorResponse>"


def _function(request, full_url, headers):
    tail = full_url.split("?")[0].rstrip("/").split(_PATH)[1].strip("/").split("/")
    name, what = tail[0], tail[1] if len(tail) > 1 else ""
    raw = request.get_data() if hasattr(request, "get_data") else request.body or b""
    body = raw.decode() if isinstance(raw, bytes) else raw
    if request.method == "POST" and not name:
        name = _element(body, "Name")
        if name in _functions:
            return _error(409, "FunctionAlreadyExists")
        _functions[name] = {"DEVELOPMENT": _stage(body)}
        return _summary(name, "DEVELOPMENT", 201)
    asked = re.search(r"[?&]Stage=(\w+)", full_url)
    stage = asked.group(1) if asked else "DEVELOPMENT"
    if stage not in _functions.get(name, {}):
        return _error(404, "NoSuchFunctionExists")
    stages = _functions[name]
    match = request.headers.get("If-Match")
    if request.method in ("PUT", "DELETE", "POST") and match != stages["DEVELOPMENT"]["etag"]:
        return _error(412, "PreconditionFailed")
    if request.method == "POST" and what == "publish":
        stages["LIVE"] = {**stages["DEVELOPMENT"], "etag": "E" + uuid.uuid4().hex[:12].upper()}
        return _summary(name, "LIVE", 200)
    if request.method == "PUT":
        stages["DEVELOPMENT"] = _stage(body)
        return _summary(name, "DEVELOPMENT", 200)
    if request.method == "DELETE":
        del _functions[name]
        return 204, {}, ""
    if what == "describe":
        return _summary(name, stage, 200)
    one = stages[stage]
    return 200, {"ETag": one["etag"], "Content-Type": "application/octet-stream"}, one["code"]


existing(urls, "url_paths")
for _end in ("$", "/(?P<function>[^/]+)$", "/(?P<function>[^/]+)/(?P<what>describe|publish)$"):
    urls.url_paths["{0}" + _PATH + _end] = _function


@replaces(models.DefaultCacheBehaviour, "__init__")
def _keep_associations(before):
    def init(self, config):
        before(self, config)
        given = config.get("FunctionAssociations") or {}
        items = given.get("Items") or []
        if items:
            self.function_associations = {"Quantity": len(items), "Items": items}

    return init
