"""CodeBuild that behaves: overrides, tokens, a duration, an outcome, stopping, state-change events, NO_SOURCE.

moto ends every build at once, with success, without its overrides and without events. A test says how the builds of a
project go: POST /moto-api/codebuild {"<project>": {"seconds": 0.5, "status": "FAILED"}}; "*" is for all others. A
build that waits for what the test does in its place has no "seconds" (null), and POST /moto-api/codebuild-end
{"<build's id>": "SUCCEEDED"} ends it.
"""

import json
import threading
import time

import moto.codebuild.responses as responses
import moto.moto_api._internal.urls as api
from moto.codebuild.exceptions import ResourceNotFoundException
from moto.codebuild.models import CodeBuildBackend, codebuild_backends
from moto.codebuild.responses import CodeBuildResponse
from moto.core.utils import unix_time
from moto.events.models import events_backends
from moto.moto_api._internal.responses import MotoAPIResponse

from .patching import adds, existing, replaces

_TOKENS_KEPT = 300.0
_KEPT = (
    "description", "source", "artifacts", "environment", "serviceRole", "tags", "cache", "timeoutInMinutes",
    "queuedTimeoutInMinutes", "sourceVersion", "logsConfig", "vpcConfig", "encryptionKey", "concurrentBuildLimit",
)
_plan = {"*": {"seconds": 1.0, "status": "SUCCEEDED"}}
_lock = threading.RLock()
_tokens = {}


def _emit(backend, build, status):
    environment = {"environment-variables": build["environment"]["environmentVariables"]}
    more = {"build-complete": build["buildComplete"], "initiator": build["initiator"], "environment": environment}
    detail = {
        "build-status": status,
        "project-name": build["projectName"],
        "build-id": build["arn"],
        "current-phase": build["currentPhase"],
        "additional-information": more,
    }
    event = {
        "Source": "aws.codebuild",
        "DetailType": "CodeBuild Build State Change",
        "Resources": [build["arn"]],
        "Detail": json.dumps(detail),
    }
    events_backends[backend.account_id][backend.region_name].put_events([event])


def _finish(backend, build, status):
    with _lock:
        if build["buildStatus"] != "IN_PROGRESS":
            return
        build.update(buildStatus=status, currentPhase="COMPLETED", buildComplete=True, endTime=unix_time())
        start, end = build["startTime"], build["endTime"]
        submitted = [phase for phase in build["phases"] if phase["phaseType"] == "SUBMITTED"]
        build["phases"] = submitted + [
            {"phaseType": "BUILD", "phaseStatus": status, "startTime": start, "endTime": end},
            {"phaseType": "COMPLETED", "startTime": end},
        ]
    _emit(backend, build, status)


def _find(backend, wanted):
    builds = (build for history in backend.build_metadata_history.values() for build in history)
    return next((build for build in builds if wanted in (build["id"], build["arn"])), None)


@replaces(CodeBuildResponse, "start_build")
def _start(before):
    def start_build(self):
        backend, name = self.codebuild_backend, self._get_param("projectName")
        token = self._get_param("idempotencyToken")
        key = (self.current_account, self.region, name, token)
        with _lock:
            if token and key in _tokens and time.time() - _tokens[key][1] < _TOKENS_KEPT:
                return json.dumps({"build": _tokens[key][0]})
            # Checks the project and makes the record.
            made = json.loads(before(self))["build"]["id"]
            build = next(build for build in backend.build_metadata_history[name] if build["id"] == made)
            project = backend.codebuild_projects[name].project_metadata
            variables = {each["name"]: dict(each) for each in project["environment"].get("environmentVariables", [])}
            overrides = self._get_param("environmentVariablesOverride") or []
            variables.update({each["name"]: dict(each) for each in overrides})
            now = unix_time()
            build["startTime"] = now
            build["buildStatus"], build["buildComplete"], build["currentPhase"] = "IN_PROGRESS", False, "QUEUED"
            build["buildNumber"] = len(backend.build_history[name])
            build["environment"] = {**project["environment"], "environmentVariables": list(variables.values())}
            build["source"] = {**project["source"]}
            if self._get_param("buildspecOverride"):
                build["source"]["buildspec"] = self._get_param("buildspecOverride")
            build["phases"] = [
                {"phaseType": "SUBMITTED", "phaseStatus": "SUCCEEDED", "startTime": now, "endTime": now}
            ]
            if token:
                _tokens[key] = (build, time.time())
        _emit(backend, build, "IN_PROGRESS")
        plan = {**_plan["*"], **_plan.get(name, {})}
        if plan["seconds"] is not None:
            timer = threading.Timer(plan["seconds"], _finish, (backend, build, plan["status"]))
            timer.daemon = True
            timer.start()
        return json.dumps({"build": build})

    return start_build


@replaces(CodeBuildResponse, "batch_get_builds")
def _get(_before):
    def batch_get_builds(self):
        wanted = self._get_param("ids")
        found = {one: _find(self.codebuild_backend, one) for one in wanted}
        return json.dumps({
            "builds": [build for build in found.values() if build],
            "buildsNotFound": [one for one, build in found.items() if build is None],
        })

    return batch_get_builds


@replaces(CodeBuildResponse, "stop_build")
def _stop(_before):
    def stop_build(self):
        build = _find(self.codebuild_backend, self._get_param("id"))
        if build is None:
            raise ResourceNotFoundException(f"Build {self._get_param('id')} does not exist")
        _finish(self.codebuild_backend, build, "STOPPED")
        return json.dumps({"build": build})

    return stop_build


@replaces(CodeBuildResponse, "list_builds_for_project")
def _list(before):
    def list_builds_for_project(self):
        ids = json.loads(before(self))["ids"]
        return json.dumps({"ids": ids if self._get_param("sortOrder") == "ASCENDING" else ids[::-1]})

    return list_builds_for_project


@replaces(responses, "_validate_required_params_source")
def _no_source(before):
    return lambda source: None if source["type"] in ("NO_SOURCE", "CODEPIPELINE") else before(source)


def _keep(self, names):
    project = self.codebuild_backend.codebuild_projects[self._get_param("name")].project_metadata
    for name in names:
        value = self._get_param(name)
        if value is not None:
            project[name] = value
    return json.dumps({"project": project})


@adds(CodeBuildResponse, "update_project")
def _update(self):
    return _keep(self, _KEPT)


@replaces(CodeBuildResponse, "create_project")
def _create(before):
    def create_project(self):
        before(self)
        return _keep(self, ("encryptionKey", "concurrentBuildLimit"))

    return create_project


def _body(request):
    return json.loads(request.get_data() if hasattr(request, "get_data") else request.body)


@adds(MotoAPIResponse, "codebuild_plan")
def _set_plan(self, request, full_url, headers):
    _plan.update(_body(request))
    return 200, {}, json.dumps(_plan)


@adds(MotoAPIResponse, "codebuild_end")
def _end(self, request, full_url, headers):
    every = [backend for regions in codebuild_backends.values() for backend in regions.values()]
    for wanted, status in _body(request).items():
        found = [(backend, build) for backend in every if (build := _find(backend, wanted))]
        if not found:
            return 404, {}, f"no build {wanted}"
        _finish(*found[0], status)
    return 200, {}, "{}"


existing(api, "url_paths")
api.url_paths["{0}/moto-api/codebuild"] = api.response_instance.codebuild_plan
api.url_paths["{0}/moto-api/codebuild-end"] = api.response_instance.codebuild_end


@replaces(CodeBuildBackend, "delete_project")
def _by_name_or_arn(before):
    """Terraform deletes by ARN, which moto does not find and calls a success."""

    def delete_project(self, project_name):
        return before(self, project_name.rsplit(":project/", 1)[-1])

    return delete_project
