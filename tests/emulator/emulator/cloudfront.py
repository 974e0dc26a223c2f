"""CloudFront: response headers policies, and what moto drops or invents about a distribution, so that plans are clean."""

import re
import uuid

import moto.cloudfront.models as models
from moto.cloudfront import urls

from .patching import existing, replaces

_NAMESPACE = "http://cloudfront.amazonaws.com/doc/2020-05-31/"
_PATH = "/2020-05-31/response-headers-policy"
_XML = {"Content-Type": "text/xml"}
_policies = {}


def _body(request):
    raw = getattr(request, "data", None) or getattr(request, "body", None) or b""
    return raw.decode() if isinstance(raw, bytes) else raw


def _policy(request, full_url, headers):
    """The policy's own XML, kept and given back."""
    tail = full_url.split("?")[0].rstrip("/").split(_PATH)[1].strip("/").split("/")
    name = tail[0] or None

    def answer(status):
        config, etag = _policies[name]
        inner = re.sub(r"<\?xml.*?\?>", "", config)
        whole = (
            f'<?xml version="1.0"?><ResponseHeadersPolicy xmlns="{_NAMESPACE}"><Id>{name}</Id>'
            f"<LastModifiedTime>2024-01-01T00:00:00Z</LastModifiedTime>{inner}</ResponseHeadersPolicy>"
        )
        return status, {"ETag": etag, **_XML}, config if tail[1:] == ["config"] else whole

    if request.method == "POST":
        name = str(uuid.uuid4())
        _policies[name] = (_body(request), uuid.uuid4().hex[:12])
        return answer(201)
    if name not in _policies:
        error = "<Type>Sender</Type><Code>NoSuchResponseHeadersPolicy</Code><Message>there is none</Message>"
        return 404, _XML, f"<ErrorResponse><Error>{error}</Error></ErrorResponse>"
    if request.method == "PUT":
        _policies[name] = (_body(request), uuid.uuid4().hex[:12])
        return answer(200)
    if request.method == "DELETE":
        del _policies[name]
        return 204, {}, ""
    return answer(200)


existing(urls, "url_paths")
for _end in ("$", "/(?P<pid>[^/]+)$", "/(?P<pid>[^/]+)/config$"):
    urls.url_paths["{0}" + _PATH + _end] = _policy


@replaces(models.Origin, "__init__")
def _keep_access_control(before):
    def init(self, origin):
        before(self, origin)
        self.origin_access_control_id = origin.get("OriginAccessControlId") or ""

    return init


@replaces(models.DefaultCacheBehaviour, "__init__")
def _no_invented_forwarding(before):
    def init(self, config):
        given = "ForwardedValues" in config
        before(self, config)
        if not given:
            self.forwarded_values = None

    return init


@replaces(models.ViewerCertificate, "__init__")
def _no_invented_method(before):
    def init(self, config):
        before(self, config)
        if self.cloud_front_default_certificate in (True, "true") and not self.acm_certificate_arn:
            self.ssl_support_method = None

    return init


@replaces(models.Distribution, "__init__")
def _right_arn(before):
    def init(self, *arguments, **named):
        before(self, *arguments, **named)
        self.arn = re.sub(r":cloudfront:(\d+):", r":cloudfront::\1:", self.arn)

    return init


@replaces(models.DistributionConfig, "__init__")
def _groups_are_origins(before):
    """A behaviour may name a group of origins, which moto does not look for."""

    def init(self, config):
        behaviour = config.get("DefaultCacheBehavior", {})
        wanted = behaviour.get("TargetOriginId")
        groups = [group["Id"] for group in config.get("OriginGroups", {}).get("Items", [])]
        if wanted in groups:
            behaviour["TargetOriginId"] = config["Origins"]["Items"][0]["Id"]
        before(self, config)
        if wanted in groups:
            self.DefaultCacheBehavior.target_origin_id = wanted

    return init
