"""Calls that end between the pieces of a reply."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from dspy.lm15 import ThinkingDelta

import tunesmith as ts
from tests.each import each
from tunesmith.errors import UsageError
from tunesmith.lm import (
    ReplyCache,
    Request,
    StopSignal,
    StreamDeltaEvent,
    StreamEndEvent,
    TextDelta,
    Usage,
    stoppable,
    user_message,
)
from tunesmith.lm.doubles import FunctionEngine
from tunesmith.lm.engine import materialize_response
from tunesmith.lm.stack import streamed_response


def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list that gets `closed` when an engine's stream is closed before its end."""
    closed: list[str] = []
    whole = FunctionEngine.stream

    def stream(self: Any, request: Any) -> Iterator[Any]:
        try:
            yield from whole(self, request)
        except GeneratorExit:
            closed.append("closed")
            raise

    monkeypatch.setattr(FunctionEngine, "stream", stream)
    return closed


def test_a_check_that_raises_ends_the_reply_and_closes_the_engines_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    closed, checks = counted(monkeypatch), []

    def check() -> None:
        checks.append(1)
        if len(checks) == 3:
            raise StopSignal(UsageError("nobody waits"))

    with stoppable(check), pytest.raises(StopSignal):
        ts.FunctionLM(lambda _: "one two three four five")("count")
    assert (len(checks), closed) == (3, ["closed"])


def test_a_check_that_does_not_raise_changes_nothing(tmp_path: Path) -> None:
    lm = ts.FunctionLM(lambda _: "one two three", cache=ReplyCache(tmp_path))
    with stoppable(lambda: None):
        first = lm("count")
    assert first == lm("count") == ["one two three"]
    assert len(lm.requests) == 1


def test_a_call_outside_asks_for_no_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(*_: Any) -> Any:
        raise AssertionError("a stream")

    monkeypatch.setattr(FunctionEngine, "stream", refuses)
    assert ts.FunctionLM(lambda _: "one")("count") == ["one"]


@each(
    "deltas",
    [
        [],
        [TextDelta("a", 0)],
        [TextDelta("a", 0), TextDelta("", 0), TextDelta("b", 0)],
        [TextDelta("a", 1)],
        [ThinkingDelta("hm", 0), TextDelta("a", 1)],
    ],
)
def test_the_response_of_a_stream_is_the_one_that_dspy_assembles(deltas: list[Any]) -> None:
    request = Request(model="m", messages=(user_message("q"),))
    for end in (StreamEndEvent(), StreamEndEvent(finish_reason="length", usage=Usage(3, 2), provider_data={"a": 1})):
        events = [*map(StreamDeltaEvent, deltas), end]
        assert streamed_response(events, request) == materialize_response(iter(events), request)
