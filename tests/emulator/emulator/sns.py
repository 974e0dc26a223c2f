"""SNS: a subscribed queue that is gone made the publisher fail; AWS accepts the message."""

from moto.sns.models import Subscription
from moto.sqs.exceptions import QueueDoesNotExist

from .patching import replaces


@replaces(Subscription, "publish")
def _publisher_does_not_care(before):
    def publish(self, *arguments, **named):
        try:
            return before(self, *arguments, **named)
        except QueueDoesNotExist:
            # AWS accepts the message and loses it here (or sends it to the subscription's dead-letter queue).
            return None

    return publish
