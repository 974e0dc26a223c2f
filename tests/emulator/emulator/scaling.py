"""What Terraform asks of application autoscaling and CloudWatch, and moto lacks: tags, composite alarms."""

import json

from moto.applicationautoscaling.responses import ApplicationAutoScalingResponse
from moto.cloudwatch.responses import CloudWatchResponse

from .patching import adds, replaces

_tags = {}


@adds(ApplicationAutoScalingResponse, "list_tags_for_resource")
def _list(self):
    return json.dumps({"Tags": _tags.get(self._get_param("ResourceARN"), {})})


@adds(ApplicationAutoScalingResponse, "tag_resource")
def _tag(self):
    _tags.setdefault(self._get_param("ResourceARN"), {}).update(self._get_param("Tags") or {})
    return "{}"


@adds(ApplicationAutoScalingResponse, "untag_resource")
def _untag(self):
    for key in self._get_param("TagKeys") or []:
        _tags.get(self._get_param("ResourceARN"), {}).pop(key, None)
    return "{}"


@replaces(ApplicationAutoScalingResponse, "register_scalable_target")
def _keep_tags(before):
    def register_scalable_target(self):
        answer = before(self)
        if self._get_param("Tags"):
            _tags[json.loads(answer)["ScalableTargetARN"]] = dict(self._get_param("Tags"))
        return answer

    return register_scalable_target


@adds(CloudWatchResponse, "put_composite_alarm")
def _composite(self):
    return self.put_metric_alarm()
