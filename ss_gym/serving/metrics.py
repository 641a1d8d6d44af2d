"""What a chat service counts, as Prometheus reads it."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
_NAMESPACE = "stateset"


class ChatMetrics:
    """Counters and times of one service; another in the same process has its own.

    Args:
        waiting: tells how many requests wait for the model.
        running: tells how many it answers.

    Attributes:
        requests: answers, by status.
        prompt_tokens: that were read.
        completion_tokens: that were written.
        waited: seconds until a request was begun.
        first: seconds until the first piece of a streamed answer.
        seconds: seconds until an answer was complete.
        abandoned: requests whose client went away.
        broken: streamed answers that failed after their beginning.
    """

    content_type = CONTENT_TYPE_LATEST

    def __init__(self, waiting: Callable[[], int], running: Callable[[], int]) -> None:
        self._registry = registry = CollectorRegistry()
        self.requests = Counter(
            "requests", "Answers, by status.", ["status"], namespace=_NAMESPACE, subsystem="chat", registry=registry
        )
        self.prompt_tokens, self.completion_tokens, self.abandoned, self.broken = (
            Counter(name, text, namespace=_NAMESPACE, subsystem="chat", registry=registry)
            for name, text in (
                ("prompt_tokens", "Tokens that were read."),
                ("completion_tokens", "Tokens that were written."),
                ("abandoned_requests", "Requests whose client went away."),
                ("broken_streams", "Streamed answers that failed after their beginning."),
            )
        )
        self.waited, self.first, self.seconds = (
            Histogram(name, text, namespace=_NAMESPACE, subsystem="chat", registry=registry, buckets=_SECONDS)
            for name, text in (
                ("waiting_seconds", "Until a request was begun."),
                ("first_piece_seconds", "Until the first piece of a streamed answer."),
                ("answer_seconds", "Until an answer was complete."),
            )
        )
        for name, text, read in (
            ("waiting_requests", "Requests that wait for the model.", waiting),
            ("running_requests", "Requests that the model answers.", running),
        ):
            gauge = Gauge(name, text, namespace=_NAMESPACE, subsystem="chat", registry=registry)
            gauge.set_function(read)

    def text(self) -> bytes:
        """All of them in Prometheus' text form."""
        return generate_latest(self._registry)
