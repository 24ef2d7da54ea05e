"""The two ways to a prompt of the newer servers, and what a schema does on each."""

import json
from typing import Any

import jinja2
import pytest

from tests.each import each
from tests.protocol import FENCE, THOUGHT, FakeModel, ProtocolServer, Reply, dressed, embedded_backend
from tests.protocol.prompts import NATIVE_SYSTEM, render
from tests.protocol.replay import send
from tests.protocol.weights import embedded_header

NEW = "0.32.15"
BOTH = pytest.mark.parametrize("version", ["0.24.0", NEW])
HELLO = [{"role": "user", "content": "hello"}]
LABELS = {"enum": ["yes", "no"]}
LINE = {"stop": ["\n"]}
TWICE = [
    {"role": "user", "content": "a"},
    {"role": "user", "content": "b"},
    {"role": "assistant", "content": ""},
    {"role": "user", "content": "c"},
]


def ask(at: ProtocolServer, model: str = "m", **body: Any) -> Any:
    given = {"model": model, "stream": False, "messages": HELLO, **body}
    return send(at.port, "POST", "/api/chat", given).lines[-1]


def said(at: ProtocolServer, model: str = "m", **body: Any) -> str:
    return str(ask(at, model, **body)["message"]["content"])


def prompt(at: ProtocolServer, model: str, messages: list[dict[str, Any]]) -> str:
    return str(ask(at, model, messages=messages, _debug_render_only=True)["_debug_info"]["rendered_template"])


@pytest.fixture
def three() -> ProtocolServer:
    return ProtocolServer([FakeModel("go"), FakeModel("legacy", legacy=True), FakeModel("native", native=True)], NEW)


def test_a_go_template_gets_neighbours_of_one_role_as_one_message(three: ProtocolServer) -> None:
    with three as at:
        found = prompt(at, "go", TWICE)
    assert "<|im_start|>user\na\n\nb<|im_end|>\n<|im_start|>assistant\n<|im_end|>" in found


def test_an_old_template_leaves_empty_turns_out(three: ProtocolServer) -> None:
    with three as at:
        found = prompt(at, "legacy", TWICE)
    assert found == (
        "<|im_start|>user\na\n\nb<|im_end|>\n<|im_start|>user\nc<|im_end|>\n<|im_start|>assistant\n"
    )  # fmt: skip


def test_the_native_path_merges_nothing_and_begins_with_a_system_text_of_its_own(three: ProtocolServer) -> None:
    with three as at:
        found = prompt(at, "native", TWICE)
        told = prompt(at, "native", [{"role": "system", "content": ""}, *HELLO])
    assert found.startswith(f"<|im_start|>system\n{NATIVE_SYSTEM}<|im_end|>\n<|im_start|>user\na<|im_end|>\n")
    assert "user\na<|im_end|>\n<|im_start|>user\nb<|im_end|>\n<|im_start|>assistant\n<|im_end|>\n" in found
    assert told.startswith("<|im_start|>system\n<|im_end|>\n")


def test_the_older_server_knows_no_native_path() -> None:
    with ProtocolServer([FakeModel("native", "yes", native=True)]) as at:
        assert NATIVE_SYSTEM not in prompt(at, "native", HELLO)
        assert said(at, "native", format=LABELS, options=LINE) == '"yes"'


@pytest.mark.parametrize("messages", [HELLO, TWICE, [{"role": "system", "content": "s"}, *TWICE]])
def test_the_native_prompt_is_that_of_the_embedded_model_s_own_template(messages: list[dict[str, Any]]) -> None:
    header = embedded_header()
    if header is None:
        pytest.skip("the weight file is not here")
    template = jinja2.Template(header.facts["tokenizer.chat_template"])
    assert render(messages, style="native") == template.render(messages=messages, add_generation_prompt=True)


@each("wanted", [LABELS, {"type": "string"}, {"type": "object", "properties": {}}, "json"])
def test_on_the_native_path_a_schema_allows_white_space_and_a_stop_at_the_line_end_leaves_nothing(wanted: Any) -> None:
    with ProtocolServer([FakeModel("m", "yes", native=True), FakeModel("go", "yes")], NEW) as at:
        stopped = ask(at, format=wanted, options=LINE)
        free = said(at, format=wanted)
        assert (stopped["message"]["content"], stopped["done_reason"]) == ("", "stop")
        assert free == "\n" + said(at, "go", format=wanted, options=LINE)
        assert said(at, options=LINE) == "yes"


def test_that_white_space_can_be_had_on_the_go_path_as_well() -> None:
    with ProtocolServer([FakeModel("m", "yes", leading=True)], NEW) as at:
        assert (said(at, format=LABELS, options=LINE), said(at, format=LABELS)) == ("", '\n"yes"')
        assert NATIVE_SYSTEM not in prompt(at, "m", HELLO)


def test_openai_s_form_has_the_native_path_too() -> None:
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": LABELS}}
    with ProtocolServer([FakeModel("m", "yes", native=True)], NEW) as at:
        body = {"model": "m", "messages": HELLO, "response_format": form}
        texts = [
            send(at.port, "POST", "/v1/chat/completions", {**body, **more}).lines[0]["choices"][0]["message"]["content"]
            for more in ({}, {"stop": ["\n"]})
        ]
    assert texts == ['\n"yes"', ""]


@pytest.mark.model
def test_the_embedded_model_on_the_native_path_may_write_white_space_first_and_loses_its_reply() -> None:
    messages = [{"role": "user", "content": "Is 'great fun' positive or negative? Reply with the JSON value only."}]
    label = {"enum": ["positive", "negative"]}
    with ProtocolServer([FakeModel("m", embedded_backend(), weights="embedded", native=True)], NEW) as at:
        options = {"temperature": 0, "num_predict": 12}
        free = said(at, messages=messages, format=label, options=options)
        stopped = said(at, messages=messages, format=label, options={**options, **LINE})
    assert json.loads(free) in label["enum"]
    assert stopped == free.partition("\n")[0]


# Constraints that are dropped -------------------------------------------------------------------------------


def yes(_messages: list[dict[str, Any]], _options: dict[str, Any]) -> str:
    return '"yes"'


@BOTH
@pytest.mark.parametrize("dress", [THOUGHT, FENCE])
def test_a_model_that_thinks_drops_the_format_where_thinking_is_off(version: str, dress: tuple[str, str]) -> None:
    model = FakeModel("m", dressed(yes, dress), thinking=True, obeys_format=False)
    with ProtocolServer([model], version) as at:
        reply = ask(at, format=LABELS, think=False)["message"]
    assert reply["content"] == f'{dress[0]}"yes"{dress[1]}'
    assert "thinking" not in reply


@BOTH
def test_a_server_can_drop_every_constraint(version: str) -> None:
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": LABELS}}
    with ProtocolServer([FakeModel("m", "It is yes.")], version, constraints=False) as at:
        body = {"model": "m", "messages": HELLO, "response_format": form}
        other = send(at.port, "POST", "/v1/chat/completions", body).lines[0]["choices"][0]["message"]["content"]
        assert [said(at, format=LABELS), said(at, format="json"), other] == ["It is yes."] * 3


def test_a_proxy_answers_below_v1_alone() -> None:
    with ProtocolServer([FakeModel("m")], only_v1=True) as at:
        paths = ("/", "/api/version", "/api/tags", "/props", "/version", "/info", "/v1/models")
        found = {path: send(at.port, "GET", path, None).status for path in paths}
    assert found == {path: 200 if path == "/v1/models" else 404 for path in paths}


# Log-probabilities ------------------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("temperature", [0, 1.5])
def test_log_probabilities_under_a_format_are_those_before_the_constraint(version: str, temperature: float) -> None:
    with ProtocolServer([FakeModel("m", "It is yes"), FakeModel("j", '"yes"')], version) as at:
        given = {"format": LABELS, "logprobs": True, "top_logprobs": 20, "options": {"temperature": temperature}}
        held, willing = (ask(at, model, **given)["logprobs"] for model in ("m", "j"))
    assert "".join(entry["token"] for entry in held) == "".join(entry["token"] for entry in willing) == '"yes"'
    for entry in held:
        assert entry["token"] not in [one["token"] for one in entry["top_logprobs"]]
    assert held[0]["logprob"] < -5 < willing[0]["logprob"]
    assert held[0]["top_logprobs"][0]["token"] == "It"
    assert willing[1]["top_logprobs"][0]["token"] == "yes"


def test_given_alternatives_stand_under_a_format_as_well() -> None:
    reply = Reply("yes", tops=[{"The": -0.9}, {"yes": -2.0, "no": -3.0}])
    with ProtocolServer([FakeModel("m", [reply])]) as at:
        quote, label, _ = ask(at, format=LABELS, logprobs=True, top_logprobs=2)["logprobs"]
    assert (quote["token"], quote["top_logprobs"][0]["token"]) == ('"', "The")
    assert (label["token"], label["logprob"]) == ("yes", -2.0)


@pytest.mark.parametrize(("version", "penalty"), [("0.24.0", 1.1), (NEW, 1.0)])
def test_the_penalty_for_repetition_is_on_by_default_on_the_older_server_alone(version: str, penalty: float) -> None:
    seen: list[Any] = []
    model = FakeModel("m", lambda _, options: seen.append(options["repeat_penalty"]) or "ok")
    with ProtocolServer([model], version) as at:
        ask(at)
        ask(at, options={"repeat_penalty": 1.3})
    assert seen == [penalty, 1.3]
