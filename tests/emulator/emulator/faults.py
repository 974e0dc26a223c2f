"""The faults that tests asked for, and the calls that came by.

    POST   /_faults           a rule, as JSON; answers {"id": N}
    GET    /_faults?name=X    the rules of X, with how often each hit
    DELETE /_faults?name=X    removes the rules of X
    GET    /_calls?name=X     [{"service", "action", "calls"}] of the requests that name X

A rule: name (a part of a resource's name, at least 8 characters, so that tests do not hit each other), service, action
(absent: any), kind, times (absent: always), skip (let so many pass first), probability, seconds, entries, code, status.
"""

import random
import threading
from collections import Counter

KINDS = (
    "throttle",  # refused before it had an effect
    "error",  # the same with `code` and `status`; without them a 500 of the service
    "conflict",  # a transaction cancelled because of another
    "delay",  # done after `seconds`
    "reset",  # the connection breaks before it had an effect
    "error-after",  # done, and then answered with an error
    "reset-after",  # done, and then the connection breaks
    "hang-after",  # done, and the answer comes after `seconds`
    "partial",  # the last `entries` of a batch fail
)
NAME_MIN = 8


class Rule:
    def __init__(self, number, spec):
        unknown = set(spec) - {"name", "service", "action", "kind", "times", "skip", "probability", "seconds", "entries",
                               "code", "status"}
        if unknown:
            raise ValueError(f"a rule has no {', '.join(sorted(unknown))}")
        self.number = number
        self.name = spec.get("name") or ""
        if len(self.name) < NAME_MIN:
            raise ValueError(f"`name` must be a part of a resource's name, at least {NAME_MIN} characters")
        self.kind = spec.get("kind")
        if self.kind not in KINDS:
            raise ValueError(f"`kind` must be one of {', '.join(KINDS)}")
        self.service, self.action = spec.get("service"), spec.get("action")
        self.left, self.skip = spec.get("times"), int(spec.get("skip") or 0)
        self.probability = float(spec.get("probability", 1.0))
        self.seconds, self.entries = float(spec.get("seconds") or 0), int(spec.get("entries") or 1)
        self.code, self.status = spec.get("code"), spec.get("status")
        self.hits = 0

    def fits(self, request):
        return (self.name in request.subject and self.service in (None, request.service)
                and self.action in (None, request.action))

    def view(self):
        return {"id": self.number, "name": self.name, "service": self.service, "action": self.action,
                "kind": self.kind, "left": self.left, "hits": self.hits}


class Faults:
    """All rules and counts. Safe with threads."""

    def __init__(self):
        self._lock = threading.Lock()
        self._rules, self._next, self._calls = [], 1, Counter()

    def add(self, spec):
        with self._lock:
            rule = Rule(self._next, spec)
            self._next += 1
            self._rules.append(rule)
            return rule.number

    def rules(self, name):
        with self._lock:
            return [rule.view() for rule in self._rules if rule.name == name]

    def clear(self, name):
        with self._lock:
            self._rules = [rule for rule in self._rules if rule.name != name]

    def take(self, request):
        """Counts the request, and takes the first rule that hits it."""
        with self._lock:
            self._calls[(request.service, request.action, request.subject)] += 1
            for rule in self._rules:
                if rule.left == 0 or not rule.fits(request):
                    continue
                if rule.skip > 0:
                    rule.skip -= 1
                    continue
                if random.random() >= rule.probability:
                    continue
                rule.hits += 1
                if rule.left is not None:
                    rule.left -= 1
                return rule
            return None

    def calls(self, name):
        with self._lock:
            counts = Counter()
            for (service, action, subject), calls in self._calls.items():
                if name in subject:
                    counts[(service, action)] += calls
        return [{"service": s, "action": a, "calls": n} for (s, a), n in sorted(counts.items())]
