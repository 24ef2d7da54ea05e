"""Generated requests: no failure of the service, and nothing of its inside in an answer."""

import asyncio
from typing import Any, Literal

import dspy
import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field
from schemathesis import GenerationMode

import tunesmith as ts
from tests.scale import FULL, scaled
from tunesmith.serve import Limits, Service

pytestmark = pytest.mark.whole

INSIDE = ("Traceback", "site-packages", 'File "', "/tunesmith/", "0x7f")


class Guest(BaseModel):
    name: str = Field(max_length=40)
    nights: int = Field(ge=1, le=30)


class Booking(dspy.Signature):
    """Say what a booking costs."""

    guests: list[Guest] = dspy.InputField(desc="who comes")
    season: Literal["high", "low"] = dspy.InputField()
    discount: float | None = dspy.InputField(ge=0, le=1)
    price: float = dspy.OutputField(ge=0)
    note: str = dspy.OutputField()


def service() -> Service:
    booking = ts.FunctionLM(lambda _: '{"price": 12.5, "note": "fine"}', slots=4)
    answer = ts.FunctionLM(lambda _: "four", slots=4)
    limits = Limits(text=2000, body_bytes=50_000, batch=5)
    programs = {"booking": (ts.Predict(Booking), booking), "": (ts.Predict("question -> answer"), answer)}
    return Service(lambda: programs, limits=limits)


SERVICE = service()
CLIENT = httpx.AsyncClient(transport=httpx.ASGITransport(app=SERVICE), base_url="http://localhost")
LOOP = asyncio.new_event_loop()
quiet = settings(deadline=None, suppress_health_check=list(HealthCheck))


def check(answer: httpx.Response) -> None:
    assert answer.status_code < 500, answer.text
    assert not any(word in answer.text for word in INSIDE), answer.text
    if answer.status_code >= 400:
        assert answer.json()["error"]["message"]


def send(**request: Any) -> httpx.Response:
    return LOOP.run_until_complete(CLIENT.request(**request))


def operations() -> list[Any]:
    schema = schemathesis.openapi.from_dict(LOOP.run_until_complete(CLIENT.get("/openapi.json")).json())
    return [found.ok() for found in schema.get_all_operations()]


@pytest.mark.parametrize("mode", list(GenerationMode))
def test_requests_made_from_the_openapi_document(mode: GenerationMode) -> None:
    of_a_mode = [
        strategy for one in operations()
        if one.body or mode is GenerationMode.POSITIVE
        for strategy in [one.as_strategy(generation_mode=mode)]
    ]  # fmt: skip

    @settings(quiet, max_examples=2_500 if FULL else 60)
    @given(st.one_of(of_a_mode))
    def each_request(case: Any) -> None:
        made = case.as_transport_kwargs(base_url="http://localhost")
        made.pop("cookies", None)
        made["content"] = made.pop("data", None)
        answer = send(**{name: value for name, value in made.items() if value is not None})
        check(answer)
        if mode is GenerationMode.POSITIVE and isinstance(case.body, dict) and answer.status_code != 200:
            # The document cannot say how deep a value may be, nor how long a text without a limit of its own.
            allowed = {"BodyTooLarge", "TextTooLong", "TooDeep"}
            if case.path == "/v1/chat/completions":
                allowed |= {"InvalidInput", "ModelNotFound", "Unsupported"}
            assert answer.json()["error"]["type"] in allowed, (answer.text, case.body)

    each_request()


@settings(quiet, max_examples=scaled(3_000))
@given(
    st.sampled_from(["/predict", "/batch", "/booking/predict", "/predict/stream", "/v1/chat/completions", "/-/reload"]),
    st.binary(max_size=200),
)
def test_bodies_of_any_bytes(path: str, body: bytes) -> None:
    check(send(method="POST", url=path, content=body, headers={"content-type": "application/json"}))


@settings(quiet, max_examples=scaled(2_000))
@given(st.text(min_size=1, max_size=200))
def test_texts_of_any_characters_are_answered(text: str) -> None:
    answer = send(method="POST", url="/predict", json={"question": text})
    check(answer)
    assert answer.status_code == 200, answer.text
