"""The door to OpenTelemetry: a span per request, and below it one per model call, without any text of a prompt."""

import time
from collections.abc import Mapping
from typing import Any

from opentelemetry import propagate, trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, Status, StatusCode

from tunesmith.lm import Call
from tunesmith.serve.visit import Visit

__all__ = ["Tracer"]

_BILLION = 1_000_000_000


class Tracer:
    """Writes the spans of a service, in the names of OpenTelemetry's GenAI conventions as of 2026 (in development).

    Where they go is said by the environment: `OTEL_EXPORTER_OTLP_ENDPOINT` and the like; the service's name by
    `OTEL_SERVICE_NAME`.

    Args:
        processor: gets the spans; default sends them by OTLP over HTTP.
    """

    def __init__(self, processor: SpanProcessor | None = None) -> None:
        resource = Resource.create({"service.name": "tunesmith"}).merge(Resource.create())
        self._provider = TracerProvider(resource=resource)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()) if processor is None else processor)
        self._tracer = self._provider.get_tracer("tunesmith")

    def request(self, visit: Visit, scope: Mapping[str, Any], status: int, model: str) -> None:
        """Write the spans of an answered request.

        Args:
            visit: the request; it continues the client's trace if that has sent one.
            scope: of ASGI.
            status: of HTTP.
            model: the spec of the model that was called.
        """
        carrier = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        ended = time.time_ns()
        began = ended - int((time.perf_counter() - visit.begin) * _BILLION)
        route = "/".join(part for part in (visit.program, visit.route) if part)
        span = self._tracer.start_span(
            f"{scope['method']} /{route}" if visit.route else scope["method"],
            context=propagate.extract(carrier),
            kind=SpanKind.SERVER,
            start_time=began,
            attributes={
                "http.request.method": scope["method"],
                "http.route": f"/{route}" if visit.route else "",
                "http.response.status_code": status,
                "tunesmith.request_id": visit.id,
                **({"error.type": visit.error} if visit.error else {}),
                **({"tunesmith.arm": visit.arm} if visit.arm else {}),
            },
        )
        if status >= 500:
            span.set_status(Status(StatusCode.ERROR))
        inside = trace.set_span_in_context(span)
        for attempt in visit.attempts:
            for call, at in zip(attempt.calls, attempt.times, strict=False):
                self._call(call, at, model, inside)
        span.end(ended)

    def _call(self, call: Call, ended: int, spec: str, inside: Any) -> None:
        provider, _, model = spec.rpartition("/")
        span = self._tracer.start_span(
            f"chat {model}",
            context=inside,
            kind=SpanKind.CLIENT,
            start_time=ended - (int(call.seconds * _BILLION) if call.paid else 0),
            attributes={
                "gen_ai.operation.name": "chat",
                "gen_ai.provider.name": provider or "tunesmith",
                "gen_ai.request.model": model,
                "tunesmith.role": call.role,
                "tunesmith.cached": not call.paid,
                **({} if call.input_tokens is None else {"gen_ai.usage.input_tokens": call.input_tokens}),
                **({} if call.output_tokens is None else {"gen_ai.usage.output_tokens": call.output_tokens}),
            },
        )
        span.end(ended)

    def close(self) -> None:
        """Send what is left."""
        self._provider.shutdown()
