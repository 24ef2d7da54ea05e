"""The Modelfile and the JSON, as the protocol server reads them: the prompt is that of tunesmith's own messages."""

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dspy
import pytest
from hypothesis import given, settings

import tunesmith as ts
from tests.artifacts.export.prompts import FORMATS, check_texts, nasty, program, sent
from tests.each import each
from tests.protocol import FakeModel, ProtocolServer
from tests.protocol.modelfile import create_body
from tests.protocol.replay import send
from tests.scale import FULL, scaled
from tunesmith.errors import UsageError
from tunesmith.lm import Identity
from tunesmith.modules import Module

ODD = ["a\u00a0b", "क्\u200dष", "\u202eright", "soft\u00adhyphen", "\ufeffmark", "bell\x07", "１２\u3000"]
"""Texts with characters that a Modelfile loses."""


@pytest.fixture(scope="module")
def server() -> Iterator[ProtocolServer]:
    models = [FakeModel("base"), FakeModel("native", native=True), FakeModel("legacy", legacy=True)]
    with ProtocolServer(models, "0.32.15") as running:
        yield running


def prompt(server: ProtocolServer, model: str, messages: list[dict[str, str]]) -> str:
    """Return the prompt that the server makes of a request."""
    body = {"model": model, "messages": messages, "stream": False, "_debug_render_only": True}
    return str(send(server.port, "POST", "/api/chat", body).lines[0]["_debug_info"]["rendered_template"])


def exported(made: Module) -> str | None:
    """Return the Modelfile, `None` if it is refused because the JSON can carry what it cannot."""
    try:
        return ts.export(made, to="modelfile", base="base").text
    except UsageError as error:
        if "Use the target 'ollama-create'" not in str(error):
            raise
        return None


def check_same(server: ProtocolServer, made: Module, base: str, model: str) -> None:
    messages = sent(made, text="new", count=7, more="one\ntwo")
    assert prompt(server, model, messages[-1:]) == prompt(server, base, messages)


def create(server: ProtocolServer, body: dict[str, Any]) -> str:
    assert send(server.port, "POST", "/api/create", body).status == 200
    return str(body["model"])


@each("name", FORMATS)
def test_the_model_of_the_json_gives_the_prompt_of_tunesmiths_own_messages(name: str, server: ProtocolServer) -> None:
    turn = itertools.cycle([("base",), ("native",), ("legacy",)])

    def check(instruction: str, demo: str, text: str, more: str) -> None:
        for base in ("base", "native", "legacy") if FULL else next(turn):
            made = program(name, instruction, demo, text, more)
            body = json.loads(ts.export(made, to="ollama-create", base=base, model_name="mine").text)
            assert body["messages"] == sent(made, text="x", count=1, more="x")[1:-1]
            check_same(server, made, base, create(server, body))

    check_texts(name, check)


@each("name", FORMATS)
def test_a_modelfile_is_read_as_exactly_the_json_or_refused(name: str, server: ProtocolServer) -> None:
    def check(instruction: str, demo: str, text: str, more: str) -> None:
        made = program(name, instruction, demo, text, more)
        file = exported(made)
        if file is None:
            return
        found = create_body("mine", file)
        body = json.loads(ts.export(made, to="ollama-create", base="base", model_name="mine").text)
        assert found | {"stream": False} == body
        server.create("mine", file)
        check_same(server, made, "base", "mine")

    check_texts(name, check)


def test_a_modelfile_carries_quotes_backslashes_line_ends_braces_blanks_and_lines_like_commands() -> None:
    texts = ['say "yes"', 'a """ b', 'ends in """', "C:\\n \\\\", "one\r\ntwo", "{{ .System }} {}", "  both  \n", "# no", "a\nFROM x\nMESSAGE user y"]  # fmt: skip
    for text in texts:
        made = program("xml", f"{text}.", *texts)
        found = create_body("m", ts.export(made, to="modelfile", base="base").text)
        wanted = sent(made, text="x", count=1, more="x")
        assert [{"role": "system", "content": found["system"]}, *found["messages"]] == wanted[:-1]


@each("text", [*ODD, 'a line """\nand another', '"""\nfirst'])
def test_what_a_modelfile_loses_is_refused_and_goes_by_json(text: str) -> None:
    made = program("xml", f"Sort: {text} .")
    with pytest.raises(UsageError, match="Use the target 'ollama-create', which carries it"):
        ts.export(made, to="modelfile", base="base")
    assert text in json.loads(ts.export(made, to="ollama-create", base="base").text)["system"]


class Plain(dspy.Adapter):
    """Sends the turns that it is told to."""

    def format(self, signature: Any, demos: Any, inputs: Any) -> list[dict[str, str]]:
        asked = [{"role": "user", "content": inputs["text"]}]
        return [{"role": "system", "content": "Sort."}, *demos[0]["turns"], *asked]


@each(
    "turns,why",
    [
        ([("user", "a"), ("user", "b")], "merges turns of one role"),
        ([("user", ""), ("assistant", "b")], "a turn of a demo is empty"),
    ],
)
def test_what_no_model_of_ollama_carries_is_refused(turns: list[tuple[str, str]], why: str) -> None:
    made = ts.Predict("text -> label")
    made.demos = [{"turns": [{"role": role, "content": text} for role, text in turns]}]
    with dspy.context(adapter=Plain()):
        for target in ("modelfile", "ollama-create"):
            with pytest.raises(UsageError, match=why):
                ts.export(made, to=target, base="base")


def test_the_parameters_are_those_that_are_sent_to_ollama(tmp_path: Path) -> None:
    details = (("num_ctx", "4096"), ("repeat_penalty", "1.0"))
    identity = Identity("ollama 0.32.15", "base", "ab" * 32, details).to_json()
    made = ts.Predict("text -> label", temperature=0.25, top_k=9)
    artifact = ts.save(tmp_path / "run" / "artifact", made, lm_identity=identity)
    body = json.loads(ts.export(artifact, to="ollama-create").text)
    assert (body["model"], body["from"]) == ("run", "base")
    assert body["parameters"] == {
        "temperature": 0.25, "top_k": 9, "seed": 0, "num_predict": 512, "num_ctx": 4096, "repeat_penalty": 1.0
    }  # fmt: skip
    assert create_body("run", ts.export(artifact, to="modelfile").text)["parameters"] == body["parameters"]


def test_stops_are_written_only_if_they_are_given() -> None:
    made = ts.Predict("text -> label", stop=["END"])
    without = ts.export(made, to="modelfile", base="base")
    assert "stop" not in create_body("m", without.text)["parameters"]
    assert any("ends a reply at 'END'" in note for note in without.notes)
    given = ts.export(made, to="modelfile", base="base", stop=["END", "\n", '"'])
    assert create_body("m", given.text)["parameters"]["stop"] == ["END", "\n", '"']
    assert not any("ends a reply" in note for note in given.notes)


def test_without_a_base_it_asks_for_one() -> None:
    with pytest.raises(UsageError, match="Which model is it made from"):
        ts.export(program(), to="modelfile")
    for base in ("a\nSYSTEM x", "", " ", '"a'):
        with pytest.raises(UsageError, match=r"must be the name of a model|Which model"):
            ts.export(program(), to="modelfile", base=base)


def test_the_json_takes_no_file_as_a_base_and_no_odd_name() -> None:
    assert "FROM ./my model.gguf\n" in ts.export(program(), to="modelfile", base="./my model.gguf").text
    with pytest.raises(UsageError, match="takes no file"):
        ts.export(program(), to="ollama-create", base="./my.gguf")
    with pytest.raises(UsageError, match="must be a name"):
        ts.export(program(), to="ollama-create", base="base", model_name="a b")


def test_the_file_and_the_notes_say_what_to_ask() -> None:
    assert "#   Text: {text}\n#   Count: {count}\n" in ts.export(program(), to="modelfile", base="base").text
    notes = ts.export(program(), to="ollama-create", base="base").notes
    assert any("Text: {text}\\nCount" in note for note in notes)
    assert any("several lines in text, more" in note and "set in by 2 blanks" in note for note in notes)


def test_the_comment_ends_where_the_reader_ends_a_line() -> None:
    @settings(max_examples=scaled(200))
    @given(nasty)
    def check(label: str) -> None:
        made = ts.Predict(ts.Signature("text -> label", "Sort."))
        signature = made.signature.with_updated_fields("label", desc=label)
        made.signature = signature
        file = exported(made)
        assert file is None or create_body("m", file)["from"] == "base"

    check()
