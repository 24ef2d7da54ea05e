import asyncio
import io
import json
import math
import threading
import warnings
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import dspy
import httpx
import pytest
from pydantic import BaseModel

import tunesmith as ts
from tests.each import each
from tests.serve.front import Triage, asked, served
from tunesmith.errors import ModelUnavailable, ParseError, UsageError
from tunesmith.lm.engine import unavailable
from tunesmith.serve import JsonLog, Limits, Service

JSON = {"content-type": "application/json"}


def test_a_prediction_has_the_outputs_of_the_signature() -> None:
    found = asked(served(), lambda c: c.post("/predict", json={"text": "Where is my invoice?"}))
    assert (found.status_code, found.json()) == (200, {"label": "billing"})
    assert found.headers["x-content-type-options"] == "nosniff"
    assert found.headers["x-request-id"]


def test_a_stream_has_deltas_and_then_the_outputs() -> None:
    found = asked(served(), lambda c: c.post("/predict/stream", json={"text": "hi"}))
    events = [event.split("\n") for event in found.text.strip().split("\n\n")]
    assert [name for name, _ in events] == ["event: delta", "event: outputs"]
    assert json.loads(events[1][1].removeprefix("data: ")) == {"label": "billing"}


def test_a_batch_has_a_result_per_input_in_order() -> None:
    service = served(lambda seen: "other" if "zebra" in seen.text else "billing")
    found = asked(service, lambda c: c.post("/batch", json={"inputs": [{"text": "a"}, {"text": "zebra"}]}))
    assert found.json() == {"results": [{"label": "billing"}, {"label": "other"}]}


def test_the_texts_of_a_request_are_not_kept() -> None:
    """DSPy's trace keeps the last 10,000 inputs otherwise: a leak that looks like a slow start."""
    kept = len(dspy.settings.trace)
    service = served()
    asked(service, lambda c: c.post("/batch", json={"inputs": [{"text": "a"}, {"text": "b"}]}))
    asked(service, lambda c: c.post("/predict/stream", json={"text": "hi"}))
    assert (len(dspy.settings.trace), service.endpoints[""].lm.history) == (kept, [])


@each(
    "body, status, kind",
    [
        ('{"text": 5}', 422, "InvalidInput"),
        ("{}", 422, "InvalidInput"),
        ('{"text": "a", "more": 1}', 422, "InvalidInput"),
        ('{"text": "a", "text": "b"}', 400, "InvalidJSON"),
        ('{"text": NaN}', 400, "InvalidJSON"),
        ('{"text": 1e999}', 400, "InvalidJSON"),
        ('{"text": "\\ud800"}', 422, "InvalidInput"),
        ("no json", 400, "InvalidJSON"),
        (b"\xff", 400, "InvalidJSON"),
        ("[" * 100_000, 422, "TooDeep"),
        ("[" * 40 + "]" * 40, 422, "TooDeep"),
        (f'{{"text": "{"a" * 2000}"}}', 422, "TextTooLong"),
        (" " * 300_000, 413, "BodyTooLarge"),
    ],
)
def test_bad_input_is_refused_with_a_reason(body: str, status: int, kind: str) -> None:
    service = served(limits=Limits(text=1000, body_bytes=200_000))
    found = asked(service, lambda c: c.post("/predict", content=body, headers=JSON))
    assert (found.status_code, found.json()["error"]["type"]) == (status, kind)


def test_a_refusal_names_each_of_a_few_problems() -> None:
    found = asked(served(), lambda c: c.post("/predict", json={"txt": "hi"})).json()["error"]
    assert found["field"] == "text"
    assert found["message"].startswith("`text`: Field required; `txt`: ")


def test_a_list_too_long_for_a_map_is_the_callers_fault_unless_a_step_wrote_it() -> None:
    mapped = ts.Map(ts.Predict("comment -> mood"), over="comments", each="comment", most=2)
    split = ts.Chain(split=ts.Predict("text -> comments: list[str]"), each=mapped)
    for program, inputs, status in ((mapped, {"comments": ["a"] * 3}, 422), (split, {"text": "a. b. c."}, 502)):
        service = served(lambda seen: '["a", "b", "c"]', program=program)
        found = asked(service, lambda c, inputs=inputs: c.post("/predict", json=inputs))
        assert found.status_code == status
        assert (found.json()["error"].get("field") == "comments") == (status == 422)
        assert ("at most 2 items. Given: 3" in found.text) == (status == 422)


class Optional(dspy.Signature):
    """Answer."""

    text: str = dspy.InputField()
    hint: str | None = dspy.InputField()
    tone: str = dspy.InputField(default="dry")
    answer: str = dspy.OutputField()


def test_an_input_with_a_default_and_one_that_may_be_none_may_be_left_out() -> None:
    step = ts.Predict(Optional)
    for program in (step, ts.Chain(answer=step, short=ts.Predict("answer -> short")), ts.Chain(only=step)):
        seen: list[str] = []
        service = served(lambda one, seen=seen: seen.append(one.text) or "ok", program=program)
        assert asked(service, lambda c: c.post("/predict", json={"text": "hi"})).status_code == 200
        assert "Text: hi\nTone: dry" in seen[0]  # as a call of the program without `hint`
        assert asked(service, lambda c: c.post("/predict", json={"hint": "no"})).status_code == 422
        schema = asked(service, lambda c: c.get("/openapi.json")).json()["components"]["schemas"]["Inputs"]
        assert (schema["required"], schema["properties"]["tone"]["default"]) == (["text"], "dry")


@each(
    "error, status",
    [
        (ModelUnavailable("secret"), 503),
        (ParseError("secret", reason="syntax", raw="secret"), 502),
        (ValueError("secret"), 502),
        (SystemExit("secret"), 502),
    ],
)
def test_a_failure_of_the_model_tells_nothing_of_the_inside(error: BaseException, status: int) -> None:
    def fails(_: object) -> str:
        raise error

    for path in ("/predict", "/predict/stream"):
        found = asked(served(fails), lambda c, path=path: c.post(path, json={"text": "hi"}))
        assert found.status_code == status
        assert "secret" not in found.text


def test_a_token_is_asked_for_everywhere_but_for_health() -> None:
    service = served(token="a-long-enough-token")
    statuses = {
        path: asked(service, lambda c, path=path: c.get(path)).status_code
        for path in ("/healthz", "/readyz", "/metrics", "/openapi.json")
    }
    assert statuses == {"/healthz": 200, "/readyz": 200, "/metrics": 401, "/openapi.json": 401}
    headers = {"Authorization": "Bearer a-long-enough-token"}
    assert asked(service, lambda c: c.post("/predict", json={"text": "hi"}, headers=headers)).status_code == 200


def test_the_document_says_where_the_token_is_asked_for() -> None:
    sent = {"Authorization": "Bearer a-long-enough-token"}
    document = asked(served(token="a-long-enough-token"), lambda c: c.get("/openapi.json", headers=sent)).json()
    assert document["components"]["securitySchemes"] == {"token": {"type": "http", "scheme": "bearer"}}
    assert document["security"] == [{"token": []}]
    assert {path for path, one in document["paths"].items() if "security" in [*one.values()][0]} == {
        "/",
        "/healthz",
        "/readyz",
    }
    assert "security" not in asked(served(), lambda c: c.get("/openapi.json")).json()


def test_a_foreign_host_name_is_refused() -> None:
    service = served(hosts=["localhost"])
    assert asked(service, lambda c: c.get("/healthz", headers={"host": "evil.example:8000"})).status_code == 421
    assert asked(service, lambda c: c.get("/healthz", headers={"host": "LOCALHOST:8000"})).status_code == 200


def test_more_requests_than_may_be_in_flight_are_told_to_come_later() -> None:
    go = threading.Event()
    service = served(lambda _: str(go.wait(10)) and "billing", limits=Limits(in_flight=2), slots=2)

    async def talk(client: httpx.AsyncClient) -> list[httpx.Response]:
        first = [asyncio.create_task(client.post("/predict", json={"text": f"{n}"})) for n in range(2)]
        while service.desk.in_flight < 2:
            await asyncio.sleep(0.001)
        third = await client.post("/predict", json={"text": "third"})
        go.set()
        return [third, *(await asyncio.gather(*first))]

    third, *others = asked(service, talk)
    assert (third.status_code, third.headers["retry-after"]) == (429, "1")
    assert [one.status_code for one in others] == [200, 200]


def test_a_model_with_other_weights_is_not_ready_unless_any_is(tmp_path: Path) -> None:
    compiled = ts.FunctionLM(lambda _: "billing", version="1")
    ts.save(tmp_path / "a", ts.Predict(Triage), lm_identity=compiled.identity.to_json())
    other = ts.FunctionLM(lambda _: "billing", version="2")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = ts.load(tmp_path / "a", lm=other)
    for any_model, status in ((False, 503), (True, 200)):
        service = Service(lambda: {"": (program, other)}, any_model=any_model)
        assert asked(service, lambda c: c.get("/readyz")).status_code == status


def test_the_log_says_why_a_model_is_not_there_and_the_client_is_not_told() -> None:
    lm = ts.lm("ollama/gone", host="http://127.0.0.1:9")
    stream = io.StringIO()
    service = Service(lambda: {"": (ts.Predict(Triage), lm)}, log=JsonLog(stream))
    found = asked(service, lambda c: c.get("/readyz"))
    assert (found.status_code, "127.0.0.1:9" in found.text) == (503, False)
    assert "127.0.0.1:9" in json.loads(stream.getvalue().splitlines()[0])["message"]


@each("limits", [{"deadline": math.inf}, {"drain_seconds": 1e9}, {"deadline": math.nan}, {"batch": 0}])
def test_a_limit_that_no_clock_or_count_holds_is_refused(limits: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=next(iter(limits))):
        Limits(**limits)


def test_the_log_has_no_texts_unless_asked() -> None:
    for shows_texts in (False, True):
        stream = io.StringIO()
        service = served(log=JsonLog(stream), shows_texts=shows_texts)
        asked(service, lambda c: c.post("/predict", json={"text": "my-secret-text"}))
        line = json.loads(stream.getvalue())
        assert (line["event"], line["status"], line["lm_calls"]) == ("request", 200, 1)
        assert ("my-secret-text" in stream.getvalue()) is shows_texts


class Guest(BaseModel):
    name: str


def test_a_log_with_texts_has_the_inputs_as_they_were_sent() -> None:
    class Wide(ts.Signature):
        guest: Guest = ts.InputField()
        label: str = ts.OutputField()

    stream = io.StringIO()
    service = served(program=ts.Predict(Wide), log=JsonLog(stream), shows_texts=True)
    asked(service, lambda c: c.post("/predict", json={"guest": {"name": "Ada"}}))
    assert json.loads(stream.getvalue())["inputs"] == {"guest": {"name": "Ada"}}


def test_programs_under_names_have_their_own_paths_and_types() -> None:
    lm = ts.FunctionLM(lambda seen: "billing" if "topic" in str(seen) else "7")
    programs = {"triage": (ts.Predict(Triage), lm), "count": (ts.Predict("text -> number: int"), lm)}
    service = Service(lambda: programs)
    assert asked(service, lambda c: c.post("/count/predict", json={"text": "x"})).json() == {"number": 7}
    assert asked(service, lambda c: c.post("/predict", json={"text": "x"})).status_code == 404
    schemas = asked(service, lambda c: c.get("/openapi.json")).json()["components"]["schemas"]
    assert schemas["CountOutputs"]["properties"]["number"]["type"] == "integer"
    assert schemas["TriageOutputs"]["properties"]["label"]["enum"] == ["billing", "other"]
    assert schemas["TriageInputs"]["properties"]["text"]["description"] == "a guest's comment"
    assert schemas["TriageInputs"]["additionalProperties"] is False


def test_a_reload_that_fails_has_a_public_name_for_the_reason() -> None:
    answers = iter([lambda: {"": (ts.Predict(Triage), ts.FunctionLM(lambda _: "billing"))}])

    def load() -> dict[str, Any]:
        found = next(answers, None)
        if found is None:
            raise unavailable("The server is away.")
        return found()

    service = Service(load, token="a-long-enough-token")
    headers = {"Authorization": "Bearer a-long-enough-token"}
    found = asked(service, lambda c: c.post("/-/reload", headers=headers))
    assert (found.status_code, found.json()["error"]["type"]) == (409, "ModelUnavailable")
    documented = asked(service, lambda c: c.get("/openapi.json", headers=headers)).json()["paths"]["/readyz"]["get"]
    schemas = {status: one["content"]["application/json"]["schema"] for status, one in documented["responses"].items()}
    assert schemas["200"] == schemas["503"] != schemas["401"]


def test_requests_that_began_before_a_reload_end_with_the_old_model() -> None:
    gates = [threading.Event(), threading.Event()]
    made = iter("ab")

    def load() -> dict[str, Any]:
        name = next(made)
        return {"": (ts.Predict("text -> label"), ts.FunctionLM(lambda _: gates[0].wait(10) and name, slots=1))}

    service = Service(load, limits=Limits(deadline=20))

    async def slowly() -> AsyncIterator[bytes]:
        yield b'{"text": '
        await asyncio.to_thread(gates[1].wait, 10)
        yield b'"hi"}'

    async def talk(client: httpx.AsyncClient) -> list[Any]:
        body = asyncio.create_task(client.post("/predict", content=slowly(), headers=JSON))
        batch = asyncio.create_task(client.post("/batch", json={"inputs": [{"text": "1"}, {"text": "2"}]}))
        while service.desk.in_flight < 1:
            await asyncio.sleep(0.001)
        await service.reload()
        for gate in gates:
            gate.set()
        last = await client.post("/predict", json={"text": "hi"})
        return [(await body).json(), (await batch).json()["results"], last.json()]

    a, b = {"label": "a"}, {"label": "b"}
    assert asked(service, talk) == [a, [a, a], b]


def test_a_whole_number_with_a_point_is_an_integer() -> None:
    service = served(lambda _: "yes", program=ts.Predict("age: int, share: float -> answer"))
    for body, status in (
        ('{"age": 3.0, "share": 1}', 200),
        ('{"age": 3.5, "share": 1}', 422),
        ('{"age": "3", "share": 1}', 422),
    ):
        found = asked(service, lambda c, body=body: c.post("/predict", content=body, headers=JSON))
        assert found.status_code == status


def test_a_path_that_is_not_there_says_where_to_look() -> None:
    talk, sort = (ts.Predict("question -> answer"), ts.ScriptedLM()), (ts.Predict(Triage), ts.ScriptedLM())
    service = Service(lambda: {"talk": talk, "sort": sort})
    for path, words in (
        ("/predict", "Programs: /talk, /sort. The page to try them is /."),
        ("/v1/embeddings", "Of OpenAI's protocol there are /v1/chat/completions and /v1/models."),
    ):
        found = asked(service, lambda c, path=path: c.post(path, json={}))
        assert (found.status_code, words in found.json()["error"]["message"]) == (404, True)


def test_a_page_of_another_origin_may_ask_if_it_is_named() -> None:
    service = served(token="a-long-enough-token", origins=["https://app.example:443"])
    sent = {"Origin": "https://app.example", "Authorization": "Bearer a-long-enough-token"}
    found = asked(service, lambda c: c.post("/predict", json={"text": "hi"}, headers=sent))
    assert (found.status_code, found.headers["access-control-allow-origin"]) == (200, "https://app.example")
    asks = {"Origin": "https://app.example", "Access-Control-Request-Method": "POST"}
    before = asked(service, lambda c: c.options("/predict", headers=asks))
    assert (before.status_code, before.headers["access-control-allow-origin"]) == (200, "https://app.example")
    assert "Authorization" in before.headers["access-control-allow-headers"]
    for other in ("https://evil.example", "https://app.example.evil.example", "null"):
        refused = asked(service, lambda c, other=other: c.options("/predict", headers={**asks, "Origin": other}))
        assert "access-control-allow-origin" not in refused.headers
    readable = asked(
        service, lambda c: c.post("/predict", json={"text": "hi"}, headers={"Origin": "https://app.example"})
    )
    assert (readable.status_code, readable.headers["access-control-allow-origin"]) == (401, "https://app.example")
    assert "access-control-allow-origin" not in asked(served(), lambda c: c.get("/healthz", headers=asks)).headers
    for wrong in ("*", "app.example", "https://app.example/"):
        with pytest.raises(UsageError, match="An origin is a scheme with a host"):
            served(origins=[wrong])
