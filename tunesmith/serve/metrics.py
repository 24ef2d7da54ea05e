"""The door to the Prometheus client: what `/metrics` shows."""

from collections.abc import Callable, Iterable
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from tunesmith.lm import Call

__all__ = ["Metrics"]

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)


class Metrics:
    """Counts of one service, in a registry of its own.

    Args:
        in_flight: returns the requests that are answered or wait now.
    """

    content_type = CONTENT_TYPE_LATEST

    def __init__(self, in_flight: Callable[[], int]) -> None:
        self._registry = registry = CollectorRegistry()
        self._parts: dict[Any, Any] = {}
        labels = ("program", "arm", "route")
        self._requests = Counter(
            "tunesmith_requests", "Requests by status; the arm is `canary` if a second artifact answered.",
            (*labels, "status"), registry=registry,
        )  # fmt: skip
        self._seconds = Histogram(
            "tunesmith_request_seconds", "Seconds of a request.", labels, buckets=_SECONDS, registry=registry
        )
        self._calls = Counter(
            "tunesmith_lm_calls", "Model calls; not paid are those from the cache.", ("program", "paid"),
            registry=registry,
        )  # fmt: skip
        self._tokens = Counter("tunesmith_lm_tokens", "Tokens of paid calls.", ("program", "kind"), registry=registry)
        self._model = Histogram(
            "tunesmith_lm_seconds", "Seconds of a paid call.", ("program",), buckets=_SECONDS, registry=registry
        )
        self._shadows = Counter(
            "tunesmith_shadow_runs", "Answers of a shadow: the same, another, or failed.", ("program", "outcome"),
            registry=registry,
        )  # fmt: skip
        self._reloads = Counter("tunesmith_reloads", "Reloads of the artifacts.", ("result",), registry=registry)
        Gauge("tunesmith_in_flight", "Requests under way.", registry=registry).set_function(in_flight)

    def request(self, program: str, arm: str, route: str, status: int, seconds: float) -> None:
        """Count one request."""
        self._of(self._requests, program, arm, route, status).inc()
        self._of(self._seconds, program, arm, route).observe(seconds)

    def shadow(self, program: str, outcome: str) -> None:
        """Count one comparison of a shadow: `same`, `other` or `failed`."""
        self._of(self._shadows, program, outcome).inc()

    def calls(self, program: str, calls: Iterable[Call]) -> None:
        """Count the model calls of one request."""
        for call in calls:
            self._of(self._calls, program, "true" if call.paid else "false").inc()
            if call.paid:
                self._of(self._tokens, program, "input").inc(call.input_tokens or 0)
                self._of(self._tokens, program, "output").inc(call.output_tokens or 0)
                self._of(self._model, program).observe(call.seconds)

    def _of(self, metric: Any, *labels: str | int) -> Any:
        """Return the part of a metric with these labels, which the library looks up slowly."""
        found = self._parts.get((metric, labels))
        if found is None:
            found = self._parts[metric, labels] = metric.labels(*labels)
        return found

    def reload(self, *, done: bool) -> None:
        """Count one reload."""
        self._reloads.labels("done" if done else "failed").inc()

    def text(self) -> bytes:
        """Return all counts in Prometheus's format."""
        return generate_latest(self._registry)
