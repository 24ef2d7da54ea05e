"""Models that are made on the server: from a Modelfile, from JSON; what the server does with their texts; pulling."""

from collections.abc import Iterator
from typing import Any

import ollama
import pytest

from tests.each import each
from tests.protocol import FakeModel, ProtocolServer
from tests.protocol.modelfile import ModelfileError, commands, create_body
from tests.protocol.replay import send

VERSIONS = pytest.mark.parametrize("version", ["0.24.0", "0.32.15"])
TURNS = [{"role": "user", "content": "one"}, {"role": "assistant", "content": "1"}]
ASKED = [{"role": "user", "content": "two"}]
SYSTEM = [{"role": "system", "content": "Be short."}]


def seen_by(model: str, at: ProtocolServer, messages: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Return the turns of the prompt that the server makes."""
    body = {"model": model, "messages": messages, "stream": False, "_debug_render_only": True}
    text = send(at.port, "POST", "/api/chat", body).lines[0]["_debug_info"]["rendered_template"]
    turns = [turn.partition("\n")[::2] for turn in text.split("<|im_start|>")[1:-1]]
    return [(role, content.removesuffix("<|im_end|>\n")) for role, content in turns]


@pytest.fixture
def at() -> Iterator[ProtocolServer]:
    with ProtocolServer([FakeModel("base"), FakeModel("native", native=True)], "0.32.15") as server:
        yield server


@VERSIONS
def test_a_modelfile_and_json_make_the_same_model(version: str) -> None:
    text = 'FROM base\nSYSTEM """Be kind."""\nPARAMETER temperature 0\nPARAMETER stop END\n'
    text += 'MESSAGE user """one"""\nMESSAGE assistant """1"""\n'
    with ProtocolServer([FakeModel("base")], version) as server:
        server.create("file", text)
        ollama.Client(server.url).create(
            "json", from_="base", system="Be kind.", messages=TURNS, parameters={"temperature": 0.0, "stop": ["END"]}
        )
        one, two = (ollama.Client(server.url).show(name).model_dump() for name in ("file", "json"))
        listed = {model.model: model.digest for model in ollama.Client(server.url).list().models}
        raw = send(server.port, "POST", "/api/show", {"model": "file"}).lines[0]
        assert seen_by("file", server, ASKED) == seen_by("json", server, ASKED)
    assert one["parameters"] == two["parameters"]
    assert listed["file:latest"] == listed["json:latest"] != listed["base:latest"]
    assert (raw["system"], raw["messages"]) == ("Be kind.", TURNS)


def test_the_text_of_a_modelfile_is_refused_over_http(at: ProtocolServer) -> None:
    found = send(at.port, "POST", "/api/create", {"model": "x", "modelfile": "FROM base", "stream": False})
    assert (found.status, found.lines[0]["error"]) == (400, "neither 'from' or 'files' was specified")


@pytest.mark.parametrize("base", ["base", "native"])
def test_system_then_messages_then_the_request(at: ProtocolServer, base: str) -> None:
    at.create("mine", f"FROM {base}\nSYSTEM Be kind.\nMESSAGE user one\nMESSAGE assistant 1\n")
    kind, turns = ("system", "Be kind."), [("user", "one"), ("assistant", "1")]
    assert seen_by("mine", at, ASKED) == [kind, *turns, ("user", "two")]


@pytest.mark.parametrize("text", ["Be short.", ""])
def test_a_system_message_of_the_request_drops_that_of_the_model_and_stands_after_its_messages(
    at: ProtocolServer, text: str
) -> None:
    at.create("mine", "FROM base\nSYSTEM Be kind.\nMESSAGE user one\nMESSAGE assistant 1\n")
    found = seen_by("mine", at, [{"role": "system", "content": text}, *ASKED])
    assert found == [("user", "one"), ("assistant", "1"), ("system", text), ("user", "two")]


def test_a_turn_of_the_model_and_one_of_the_request_are_merged(at: ProtocolServer) -> None:
    at.create("go", "FROM base\nMESSAGE user one\n")
    at.create("jinja", "FROM native\nSYSTEM Be kind.\nMESSAGE user one\n")
    assert seen_by("go", at, ASKED) == [("user", "one\n\ntwo")]
    assert seen_by("jinja", at, ASKED) == [("system", "Be kind."), ("user", "one"), ("user", "two")]


def test_the_system_text_of_a_base_stays_and_its_messages_are_replaced(at: ProtocolServer) -> None:
    at.create("mine", "FROM base\nSYSTEM Be kind.\nMESSAGE user one\nMESSAGE assistant 1\n")
    at.create("again", 'FROM mine\nSYSTEM """"""\nMESSAGE user uno\nMESSAGE assistant I\n')
    assert seen_by("again", at, ASKED) == [("system", "Be kind."), ("user", "uno"), ("assistant", "I"), ("user", "two")]


@each(
    ("value", "read"),
    [
        ("plain", "plain"),
        ('"a b "', "a b "),
        ('"""a\n\nb"""', "a\n\nb"),
        ('"""say "yes" and """ now"""', 'say "yes" and """ now'),
        ('"""C:\\new {{ .X }} # no comment\nFROM here\r\nend """', "C:\\new {{ .X }} # no comment\nFROM here\r\nend "),
        ('"""tab\there"""', "tab\there"),
        ('"""12\u00a0000 \u200dx\u200f\u00ad\ufeff\u3000\x07"""', "12000 x"),  # what Go does not print is lost
        ('"""naïve 日本 👍"""', "naïve 日本 👍"),
    ],
)
def test_what_quotes_carry_and_what_is_lost_in_silence(value: str, read: str) -> None:
    assert commands(f"FROM base\nSYSTEM {value}\n")[1] == ("system", "", read)


def test_a_line_that_ends_in_three_quotes_ends_the_value() -> None:
    with pytest.raises(ModelfileError, match="command must be one of"):
        commands('FROM base\nSYSTEM """first """\nsecond line"""\n')


@each(
    ("text", "problem"),
    [
        ("SYSTEM x\n", "no FROM line"),
        ("FROM base\nMESSAGE tool x\n", "message role must be one of"),
        ("FROM base\nSAY x\n", "command must be one of"),
        ('FROM base\nSYSTEM """x\n', "unexpected EOF"),
    ],
)
def test_a_modelfile_that_the_command_does_not_read(text: str, problem: str) -> None:
    with pytest.raises(ModelfileError, match=problem):
        create_body("m", text)


def test_json_carries_what_a_modelfile_loses(at: ProtocolServer) -> None:
    text = 'a """\nb\u00a0\u200d\u3000'
    ollama.Client(at.url).create("mine", from_="base", system=text)
    assert seen_by("mine", at, ASKED)[0] == ("system", text)


def test_the_shown_modelfile_loses_outer_quotes(at: ProtocolServer) -> None:
    ollama.Client(at.url).create("mine", from_="base", system='"quoted"', messages=TURNS)
    shown = str(ollama.Client(at.url).show("mine").modelfile)
    again = {name: value for name, _, value in commands(shown[shown.index("SYSTEM") :]) if name == "system"}
    assert again == {"system": "quoted"}
    assert "MESSAGE user one\nMESSAGE assistant 1\n" in shown


@VERSIONS
def test_a_model_of_another_host_says_so(version: str) -> None:
    with ProtocolServer([FakeModel("big:120b-cloud", remote=True), FakeModel("m")], version) as server:
        listed = send(server.port, "GET", "/api/tags", None).lines[0]["models"]
        shown = send(server.port, "POST", "/api/show", {"model": "big:120b-cloud"}).lines[0]
    assert (shown["remote_model"], shown["remote_host"]) == ("big:120b", "https://ollama.com:443")
    marked = {entry["name"] for entry in listed if "remote_host" in entry}
    assert marked == (set() if version == "0.24.0" else {"big:120b-cloud"})


def test_what_was_made_on_the_server_cannot_be_pulled_and_offline_nothing_can() -> None:
    with ProtocolServer([FakeModel("base")]) as server:
        server.create("mine", "FROM base\nSYSTEM x\n")
        assert ollama.Client(server.url).pull("base").status == "success"
        with pytest.raises(ollama.ResponseError, match="pull model manifest: file does not exist"):
            ollama.Client(server.url).pull("mine")
    with (
        ProtocolServer([FakeModel("base")], offline=True) as server,
        pytest.raises(ollama.ResponseError, match="Temporary failure in name resolution"),
    ):
        ollama.Client(server.url).pull("base")


def test_the_newer_server_takes_no_empty_text_among_those_to_embed() -> None:
    for version, taken in (("0.24.0", True), ("0.32.15", False)):
        with ProtocolServer([FakeModel("v", embeddings=True)], version) as server:
            found = send(server.port, "POST", "/api/embed", {"model": "v", "input": ["a", "", "b"]})
        assert (found.status == 200) == taken
