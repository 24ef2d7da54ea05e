"""What a real server said, asked of this one."""

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.each import each
from tests.protocol import FakeModel, ProtocolServer, embedded_backend
from tests.protocol.prompts import render
from tests.protocol.replay import Answer, Recording, many, recordings, send, shape
from tests.protocol.tokens import BytePairs, default_tokenizer

ALL = recordings()
ON_THE_MODEL = {"chat", "chat_stream", "chat_format_enum_root", "chat_format_enum_stop_newline"}
ON_THE_MODEL |= {"chat_logprobs_schema", "embed", "generate", "think_false"}
NAMES = ("smollm2", "smollm2-think")
needs_weights = pytest.mark.skipif(
    not isinstance(default_tokenizer(), BytePairs), reason="the weight file of the embedded model is not here"
)


def two_models(names: tuple[str, str], reply: Any, weights: str) -> list[FakeModel]:
    """Return the two models of the recorded server, the thinking one made last."""
    plain = FakeModel(names[0], reply, weights=weights, modified=1)
    thinking = FakeModel(names[1], reply, weights=weights, modified=2, thinking=True, thought="Well, " * 40)
    return [plain, thinking]


def serve(names: tuple[str, str] = NAMES) -> ProtocolServer:
    return ProtocolServer(two_models(names, "It is good, I think.", "scripted"), "0.24.0", reported_version="0.0.0")


@pytest.fixture(scope="module")
def server() -> Iterator[ProtocolServer]:
    with serve() as found:
        yield found


@pytest.fixture(scope="module")
def real() -> Iterator[ProtocolServer]:
    models = two_models(NAMES, embedded_backend(), "embedded")
    with ProtocolServer(models, "0.24.0", reported_version="0.0.0") as found:
        yield found


def ask(server: ProtocolServer, case: Recording, body: Any = None) -> Answer:
    if case.name == "ps_warm":
        send(server.port, "POST", "/api/chat", {"model": server.world.library.all()[-1].name, "messages": []})
    if case.name == "ps_cold":
        server.world.scheduler.clear()
    return send(server.port, case.method, case.path, case.body if body is None else body)


def agree(found: Answer, wanted: Answer, case: Recording) -> None:
    assert (found.status, found.content_type) == (wanted.status, wanted.content_type), found.text[:300]
    if wanted.status != 200:
        assert found.text == wanted.text
    assert keys(found, case) == keys(wanted, case)


def keys(answer: Answer, case: Recording) -> set[str]:
    """Return the shape; without the weight file the facts of `/api/show` are not all there."""
    found = shape(answer.lines)
    if case.name == "show" and not isinstance(default_tokenizer(), BytePairs):
        return {key for key in found if "model_info." not in key and "tensors" not in key}
    return found


def counts(answer: Answer) -> Any:
    last = answer.lines[-1]
    return last.get("prompt_eval_count", last.get("usage", {}).get("prompt_tokens")) if isinstance(last, dict) else None


@each("case", ALL, ids=lambda case: case.name)
def test_a_recorded_request_gets_the_recorded_status_type_keys_and_error(
    server: ProtocolServer, case: Recording
) -> None:
    agree(ask(server, case), case.answer, case)


@needs_weights
@each("case", [case for case in ALL if counts(case.answer)], ids=lambda case: case.name)
def test_the_prompt_has_as_many_tokens_as_the_real_server_counted(server: ProtocolServer, case: Recording) -> None:
    assert counts(ask(server, case)) == counts(case.answer)


@pytest.mark.model
@pytest.mark.parametrize(
    "case",
    [pytest.param(case, marks=[] if case.name in ON_THE_MODEL else [pytest.mark.slow], id=case.name) for case in ALL],
)
def test_the_same_holds_with_the_embedded_model_behind_it(real: ProtocolServer, case: Recording) -> None:
    found = ask(real, case)

    agree(found, case.answer, case)
    assert counts(found) == counts(case.answer)


# The variations ---------------------------------------------------------------------------------------------


def on(place: str) -> Any:
    """Return the fixture's name as a parameter; behind `real` stands the embedded model."""
    return pytest.param(place, marks=[pytest.mark.model, pytest.mark.slow] if "real" in place else [])


@pytest.fixture(scope="module")
def other() -> Iterator[ProtocolServer]:
    with serve(("other", "other-think")) as found:
        yield found


@each("case", ALL, ids=lambda case: case.name)
def test_under_another_name_only_the_name_in_the_texts_changes(other: ProtocolServer, case: Recording) -> None:
    body = renamed(case.body)
    wanted = Answer(case.answer.status, case.answer.content_type, case.answer.text.replace("smollm2", "other"))

    found = ask(other, case, body)

    agree(found, wanted, case)
    if found.status == 200 and case.path.startswith("/api") and case.method == "POST" and case.name != "show":
        assert found.lines[0]["model"] == body["model"]


def renamed(body: Any) -> Any:
    if not isinstance(body, dict):
        return body
    return {**body, "model": body["model"].replace("smollm2", "other")}


@each("case", [c for c in ALL if isinstance(c.body, dict)], ids=lambda case: case.name)
def test_with_another_text_only_the_token_count_changes(server: ProtocolServer, case: Recording) -> None:
    more = " And why, my friend?"
    body = copy.deepcopy(case.body)
    if "prompt" in body:
        body["prompt"] += more
    elif body.get("messages"):
        body["messages"][-1]["content"] += more
    elif "input" in body:
        body["input"] = [text + more for text in body["input"]]

    found = ask(server, case, body)

    agree(found, case.answer, case)
    if counts(case.answer) and case.name not in {"chat_too_long", "chat_many_demos"}:
        added = len(default_tokenizer().ids(more)) * len(body.get("input", [more]))
        assert counts(found) - counts(ask(server, case)) == added


def has_context(case: Recording) -> bool:
    """Return whether the request can name a context: those of `/v1` cannot, and one names it as a word."""
    asks = case.path in ("/api/chat", "/api/generate", "/api/embed") and isinstance(case.body, dict)
    return asks and not isinstance(case.body.get("options", {}).get("num_ctx"), str)


@pytest.mark.parametrize("place", [on("server"), on("real")])
@each("case", [case for case in ALL if has_context(case)], ids=lambda case: case.name)
def test_with_half_the_context_the_limits_are_half(case: Recording, place: str, request: pytest.FixtureRequest) -> None:
    server = request.getfixturevalue(place)
    half = case.body.get("options", {}).get("num_ctx", 4096) // 2
    body = {**case.body, "options": {**case.body.get("options", {}), "num_ctx": half}}

    found = ask(server, case, body)

    agree(found, case.answer, case)
    if case.name == "chat_too_long":
        assert counts(found) == half
    if case.name == "chat_many_demos":
        assert half - 30 < counts(found) <= half


@pytest.mark.parametrize("place", [on("server"), on("real")])
@each("case", [c for c in ALL if c.name.startswith("chat_many_demos")], ids=lambda c: c.name)
def test_twice_the_demos_are_dropped_or_refused_by_the_same_rule(
    case: Recording, place: str, request: pytest.FixtureRequest
) -> None:
    server, messages = request.getfixturevalue(place), case.body["messages"]
    doubled = many(messages[0]["content"], messages[1]["content"], messages[2]["content"], len(messages) - 2)
    tokenizer = default_tokenizer()
    fits = (
        len(tokenizer.ids(render(doubled[:1] + doubled[first:], thinking=False, think=False)))
        for first in range(1, len(doubled))
    )

    found = ask(server, case, {**case.body, "messages": doubled})

    agree(found, case.answer, case)
    if found.status == 200:
        assert counts(found) == next(count for count in fits if count <= 512)


def test_the_server_does_not_know_the_recordings() -> None:
    for path in Path(__file__).parent.glob("*.py"):
        if not path.name.startswith("test_") and path.name != "replay.py":
            text = path.read_text(encoding="utf-8")
            assert "protocol.replay" not in text
            assert "recordings" not in text


def test_every_recording_is_complete() -> None:
    assert len(ALL) == 63
    assert all("..." not in json.dumps(case.body) for case in ALL)
