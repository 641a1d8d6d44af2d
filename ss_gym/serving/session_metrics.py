"""What an environment's server counts, as Prometheus reads it."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

_SECONDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 1.0, 5.0, 30.0, 120.0)
_NAMESPACE, _SUBSYSTEM = "stateset", "environment"


class SessionMetrics:
    """Counters and times of one server; another in the same process has its own.

    Args:
        sessions: tells how many there are.

    Attributes:
        opened: sessions that were opened, by transport.
        ended: sessions that have ended, by reason.
        errors: requests that were not served, by HTTP status, also where there was no HTTP.
        resets: seconds that environments took to begin an episode.
        steps: seconds that environments took to answer an action.
        restores: seconds that environments took to play an episode again.
    """

    content_type = CONTENT_TYPE_LATEST

    def __init__(self, sessions: Callable[[], int]) -> None:
        self._registry = registry = CollectorRegistry()
        self.opened, self.ended, self.errors = (
            Counter(name, text, [label], _NAMESPACE, _SUBSYSTEM, registry=registry)
            for name, text, label in (
                ("opened_sessions", "Sessions that were opened, by transport.", "transport"),
                ("ended_sessions", "Sessions that have ended, by reason.", "reason"),
                ("errors", "Requests that were not served, by HTTP status.", "status"),
            )
        )
        self.resets, self.steps, self.restores = (
            Histogram(name, text, (), _NAMESPACE, _SUBSYSTEM, registry=registry, buckets=_SECONDS)
            for name, text in (
                ("reset_seconds", "Until an environment has begun an episode."),
                ("step_seconds", "Until an environment has answered an action."),
                ("restore_seconds", "Until an environment has played an episode again."),
            )
        )
        Gauge("sessions", "Sessions there are.", (), _NAMESPACE, _SUBSYSTEM, registry=registry).set_function(sessions)

    def count(self, _path: str, status: int) -> None:
        """Counts the answer to a request over HTTP, if it is an error."""
        if status >= 400:
            self.errors.labels(str(status)).inc()

    def text(self) -> bytes:
        """All of them in Prometheus' text form."""
        return generate_latest(self._registry)
