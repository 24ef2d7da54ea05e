"""Spans of a service: one per request, one per model call, in one trace, without texts."""

import time
from typing import Any

from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import tunesmith as ts
from tests.serve.front import Triage, asked
from tunesmith.errors import ModelUnavailable
from tunesmith.serve import Second, Service, Tracer


def spans_of(answer: Any, talk: Any, **options: Any) -> list[Any]:
    kept = InMemorySpanExporter()
    program = ts.Predict(Triage), ts.FunctionLM(answer)
    asked(Service(lambda: {"": program}, tracer=Tracer(SimpleSpanProcessor(kept)), **options), talk)
    return sorted(kept.get_finished_spans(), key=lambda span: span.start_time)


def test_a_request_is_a_span_and_its_model_call_is_one_below_it() -> None:
    def slow(_: Any) -> str:
        time.sleep(0.02)
        return "billing"

    request, call = spans_of(slow, lambda c: c.post("/predict", json={"text": "secret"}))
    assert (request.name, request.kind.name, request.attributes["http.response.status_code"]) == (
        "POST /predict",
        "SERVER",
        200,
    )
    assert call.parent.span_id == request.context.span_id
    assert call.attributes["gen_ai.operation.name"] == "chat"
    assert call.attributes["gen_ai.usage.output_tokens"] >= 1
    assert request.start_time <= call.start_time < call.end_time <= request.end_time
    assert call.end_time - call.start_time >= 15_000_000
    assert "secret" not in request.to_json() + call.to_json()


def test_the_trace_of_the_client_goes_on() -> None:
    trace, parent = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
    headers = {"traceparent": f"00-{trace}-{parent}-01"}
    found = spans_of(lambda _: "billing", lambda c: c.post("/predict", json={"text": "a"}, headers=headers))
    assert {f"{span.context.trace_id:032x}" for span in found} == {trace}
    assert f"{found[0].parent.span_id:016x}" == parent


def test_a_failure_and_an_arm_are_in_the_span() -> None:
    def fails(_: Any) -> str:
        raise ModelUnavailable("secret")

    (failed,) = spans_of(fails, lambda c: c.post("/predict", json={"text": "a"}))
    assert (failed.attributes["error.type"], failed.status.status_code.name) == ("ModelUnavailable", "ERROR")
    assert "secret" not in failed.to_json()
    second = Second(ts.Predict(Triage), ts.FunctionLM(lambda _: "other"), 1.0)
    found = spans_of(lambda _: "a", lambda c: c.post("/predict", json={"text": "a"}), seconds=lambda: {"": second})
    assert found[0].attributes["tunesmith.arm"] == "canary"


def test_each_input_of_a_batch_has_its_call() -> None:
    body = {"inputs": [{"text": "a"}, {"text": "b"}]}
    found = spans_of(lambda _: "billing", lambda c: c.post("/batch", json=body))
    assert [span.name.split()[0] for span in found] == ["POST", "chat", "chat"]
