"""SQS: moto's is not safe with threads and slow with many messages, and lacks redrive from a dead-letter queue.

- Changing any attribute dropped the queue's policy, which on AWS would end the delivery from SNS.
- RedrivePolicy came back with spaces, and RedriveAllowPolicy not at all: plans never clean.
- Sending counted all messages of the queue to read one attribute.
- Deleting by the receipt of an earlier receive took the message from whoever has it now; AWS answers well and leaves it.
- A long poll held no lock but walked lists that others changed, which ended in 500s.
"""

import json
import threading
import time
import uuid

import moto.sqs.models as models
from moto.core.responses import ActionResult
from moto.sqs.exceptions import SQSException
from moto.sqs.models import Queue, SQSBackend
from moto.sqs.responses import SQSResponse

from .patching import adds, existing, replaces

_lock = threading.RLock()


@replaces(Queue, "_set_attributes")
def _keep_the_policy(before):
    def _set_attributes(self, attributes, now=None):
        policy = getattr(self, "policy", None) if "Policy" not in attributes else None
        before(self, attributes, now)
        if policy is not None:
            self.policy = policy

    return _set_attributes


existing(Queue, "BASE_ATTRIBUTES")
Queue.redrive_allow_policy = None
Queue.BASE_ATTRIBUTES = Queue.BASE_ATTRIBUTES + ["RedriveAllowPolicy"]

_whole = existing(Queue, "attributes").fget


def _attributes(self):
    attributes = _whole(self)
    if attributes.get("RedrivePolicy"):
        attributes["RedrivePolicy"] = json.dumps(self.redrive_policy, separators=(",", ":"))
    return {name: value for name, value in attributes.items() if value not in (None, "")}


class _WhileSending(dict):
    """The attributes that sending reads, without counting the messages for the others."""

    _CHEAP = {
        "ContentBasedDeduplication": "content_based_deduplication",
        "DeduplicationScope": "deduplication_scope",
        "FifoThroughputLimit": "fifo_throughput_limit",
        "FifoQueue": "fifo_queue",
    }

    def __init__(self, queue):
        super().__init__()
        self.queue = queue

    def get(self, name, default=None):
        if name not in self._CHEAP:
            return _attributes(self.queue).get(name, default)
        if not self.queue.fifo_queue:
            return default
        value = getattr(self.queue, self._CHEAP[name])
        return str(value).lower() if isinstance(value, bool) else value

    def __getitem__(self, name):
        return _attributes(self.queue)[name]

    def __iter__(self):
        return iter(_attributes(self.queue))

    def __contains__(self, name):
        return name in _attributes(self.queue)

    def items(self):
        return _attributes(self.queue).items()

    def keys(self):
        return _attributes(self.queue).keys()


Queue.attributes = property(lambda queue: _WhileSending(queue) if getattr(queue, "_sending", 0) else _attributes(queue))

existing(models, "unix_time_millis")
models.unix_time_millis = lambda dt=None: time.time() * 1000.0


@replaces(SQSBackend, "send_message")
def _send(before):
    def send_message(self, *arguments, **named):
        with _lock:
            queue = self.get_queue(arguments[0] if arguments else named["queue_name"])
            queue._sending = getattr(queue, "_sending", 0) + 1
            try:
                return before(self, *arguments, **named)
            finally:
                queue._sending -= 1

    return send_message


def _locked(before):
    def call(self, *arguments, **named):
        with _lock:
            return before(self, *arguments, **named)

    return call


for _name in ("delete_message", "change_message_visibility", "purge_queue"):
    replaces(SQSBackend, _name)(_locked)


@replaces(Queue, "delete_message")
def _delete(before):
    def delete_message(self, receipt_handle):
        for message in self._messages:
            if message.had_receipt_handle(receipt_handle) and message.receipt_handle != receipt_handle:
                return
        before(self, receipt_handle)

    return delete_message


@replaces(SQSBackend, "receive_message")
def _receive(before):
    def receive_message(self, queue_name, count, wait_seconds_timeout, visibility_timeout, message_attribute_names=None):
        end = time.monotonic() + (wait_seconds_timeout or 0)
        while True:
            with _lock:
                found = before(self, queue_name, count, 0, visibility_timeout, message_attribute_names)
                queue = self.get_queue(queue_name)
            left = end - time.monotonic()
            if found or left <= 0:
                return found
            # Visibility that ends wakes nobody, so look again now and then.
            with queue._messages_lock:
                queue._messages_lock.wait(min(left, 0.25))

    return receive_message


def _by_arn(backend, arn):
    queue = next((queue for queue in backend.queues.values() if queue.queue_arn == arn), None)
    if queue is None:
        raise SQSException("ResourceNotFoundException", f"there is no queue {arn}")
    return queue


@adds(SQSResponse, "start_message_move_task")
def _move(self):
    with _lock:
        source = _by_arn(self.sqs_backend, self._get_param("SourceArn"))
        wanted = self._get_param("DestinationArn")
        if wanted:
            target = _by_arn(self.sqs_backend, wanted)
        else:
            queues = [queue for queue in self.sqs_backend.queues.values() if queue.dead_letter_queue is source]
            if not queues:
                raise SQSException("InvalidParameterValue", "the source is not a dead-letter queue")
            # AWS remembers which queue each message came from; here a dead-letter queue serves one queue.
            target = queues[0]
        moved = [message for message in source._messages if message.visible]
        source._messages = [message for message in source._messages if not message.visible]
        for message in moved:
            source._pending_messages.discard(message)
            message.approximate_receive_count = 0
            target.add_message(message)
    task = {
        "TaskHandle": uuid.uuid4().hex,
        "Status": "COMPLETED",
        "SourceArn": source.queue_arn,
        "DestinationArn": target.queue_arn,
        "ApproximateNumberOfMessagesMoved": len(moved),
        "ApproximateNumberOfMessagesToMove": len(moved),
        "StartedTimestamp": int(time.time() * 1000),
    }
    source._move_tasks = [task] + getattr(source, "_move_tasks", [])
    return ActionResult({"TaskHandle": task["TaskHandle"]})


@adds(SQSResponse, "list_message_move_tasks")
def _moves(self):
    with _lock:
        source = _by_arn(self.sqs_backend, self._get_param("SourceArn"))
        tasks = getattr(source, "_move_tasks", [])[: int(self._get_param("MaxResults") or 1)]
    return ActionResult({"Results": [{k: v for k, v in task.items() if k != "TaskHandle"} for task in tasks]})
