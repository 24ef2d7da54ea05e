"""Every format keeps the contract with an Ollama server between the format and what answers."""

from collections.abc import Callable, Iterator
from typing import Any

import dspy
import pytest

import tests.contracts.format as contract
from tests.contracts.format import ask, ask_async, assert_outputs, predictor
from tests.formats import test_contract as suites
from tests.formats.test_streaming import assert_settled
from tests.protocol import FakeModel, ProtocolServer
from tests.protocol.backends import Done, FunctionBackend, Job, Piece
from tests.protocol.tokens import SimpleTokenizer
from tests.scale import FULL, scaled
from tests.strategies import CASES, Case
from tunesmith.formats import carries, format_names
from tunesmith.lm import LM, Capabilities, Identity, Message, Request, Response, Seen, build_lm
from tunesmith.lm.engines.ollama.engine import OllamaEngine, server_at
from tunesmith.modules import stream

Answer = Callable[[Seen], "str | Response"]
ROOM = 1 << 20  # tokens; what the suite writes is to fit


class Said(FunctionBackend):
    """Says what the test's function says, in a few pieces and with its reason to end."""

    def __init__(self) -> None:
        super().__init__(lambda messages, options: "", obeys=False, tokenizer=SimpleTokenizer())
        self.function: Answer = lambda seen: ""

    def run(self, job: Job) -> Iterator[Piece | Done]:
        system = "".join(m["content"] for m in job.messages if m["role"] == "system")
        messages = tuple((m["role"], m["content"]) for m in job.messages if m["role"] != "system")
        found = self.function(Seen(system, messages, messages[-1][1], Request("m", (Message.user("x"),))))
        text = found if isinstance(found, str) else found.text or ""
        third = len(text) // 3 + 1
        for start in range(0, len(text), third):
            yield Piece(text[start : start + third])
        yield Done("stop" if isinstance(found, str) else found.finish_reason, 1, 1, 3, 1)


class OnTheWire:
    """An engine that lets the server say what one function answers, and remembers what was asked of it."""

    def __init__(self, engine: OllamaEngine, said: Said, function: Answer) -> None:
        self._engine, self._said, self._function = engine, said, function
        self.requests: list[Request] = []

    @property
    def identity(self) -> Identity:
        return self._engine.identity

    @property
    def capabilities(self) -> Capabilities:
        return self._engine.capabilities

    def complete(self, request: Request) -> Response:
        self._listen(request)
        return self._engine.complete(request)

    def stream(self, request: Request) -> Iterator[Any]:
        self._listen(request)
        yield from self._engine.stream(request)

    def embed(self, texts: list[str]) -> list[list[float]]:
        return self._engine.embed(texts)

    def close(self) -> None:
        """The server is shared."""

    def _listen(self, request: Request) -> None:
        self.requests.append(request)
        self._said.function = self._function


@pytest.fixture(scope="module")
def wired() -> Iterator[Callable[..., LM]]:
    """What `FunctionLM` is, over a server; it can do what Ollama can, whatever it is told to be able to."""
    said = Said()
    with ProtocolServer([FakeModel("m", reply=said, context_length=ROOM)]) as server:
        shared = OllamaEngine("m", server_at(server.url), num_ctx=ROOM)

        def make(function: Answer, capabilities: Capabilities | None = None, **options: Any) -> LM:
            engine = OnTheWire(shared, said, function)
            found = build_lm("ollama/m", engine, **options)
            found.requests = engine.requests  # type: ignore[attr-defined]
            return found

        yield make
        assert server.loads == {"m:latest": 1}


@pytest.fixture
def on_the_wire(wired: Callable[..., LM], monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the suite ask the server wherever it asks a double."""

    def in_turn(*replies: str | Response, **options: Any) -> LM:
        left = iter(replies)
        return wired(lambda seen: next(left), **options)

    monkeypatch.setattr(contract, "FunctionLM", wired)
    monkeypatch.setattr(contract, "ScriptedLM", in_turn)
    monkeypatch.setattr(contract, "scaled", lambda count: scaled(max(20, count // 20)))


@pytest.mark.slow
@pytest.mark.usefixtures("on_the_wire")
class Wire:
    """One of the suites of `test_contract.py`, over the wire: Ollama knows schemas and no grammars."""

    modes = ("schema",)
    # These ask LMs of the user's own: no server is behind them.
    test_dspys_dummy_lm_works = None
    test_an_lm_with_an_engine_of_the_users_works = None
    test_an_lm_of_the_old_kind_works = None


class TestBareOnTheWire(Wire, suites.TestBare):
    pass


class TestBareSchemaOnTheWire(Wire, suites.TestBareSchema):
    pass


class TestBareFreeOnTheWire(Wire, suites.TestBareFree):
    pass


class TestBareLikeliestOnTheWire(Wire, suites.TestBareLikeliest):
    pass


class TestBareNearestOnTheWire(Wire, suites.TestBareNearest):
    pass


class TestScoredOnTheWire(Wire, suites.TestScored):
    pass


class TestScoredLettersOnTheWire(Wire, suites.TestScoredLetters):
    pass


class TestJsonOnTheWire(Wire, suites.TestJson):
    pass


class TestLinesOnTheWire(Wire, suites.TestLines):
    pass


class TestMarkdownOnTheWire(Wire, suites.TestMarkdown):
    pass


class TestXmlOnTheWire(Wire, suites.TestXml):
    pass


class TestChatOnTheWire(Wire, suites.TestChat):
    pass


def test_each_format_has_its_suite_on_the_wire() -> None:
    assert {suite.name for suite in Wire.__subclasses__()} | {"tools"} == set(format_names())  # see `test_tools.py`


def cases_of(name: str) -> list[Case]:
    """Return the cases that a format carries over the wire: all in the slow run, else every second one in turn."""
    found = [case for case in CASES if carries(name, case.signature) and (name, case.name) != ("chat", "Nickname")]
    return found if FULL else found[sorted(format_names()).index(name) % 2 :: 2]


@pytest.mark.parametrize("name", format_names())
def test_what_is_rendered_is_read_back_over_the_wire(name: str, wired: Callable[..., LM]) -> None:
    for number, case in enumerate(cases_of(name)):
        lm = wired(lambda seen: seen.messages[-2][1])
        program = predictor(case, name, {"text": "a", **case.good})
        calls = (ask, ask_async) if FULL else [(ask, ask_async)[number % 2]]
        for call in calls:
            assert_outputs(call(lm, program, text="b"), case.good)
        assert len(lm.requests) == len(calls)  # type: ignore[attr-defined]
        assert isinstance(program, dspy.Predict)


@pytest.mark.parametrize("name", format_names())
def test_deltas_join_to_the_unstreamed_fields_over_the_wire(name: str, wired: Callable[..., LM]) -> None:
    for case in cases_of(name):
        lm = wired(lambda seen: seen.messages[-2][1])
        program = predictor(case, name, {"text": "a", **case.good})
        plain = ask(lm, program, text="b")

        *deltas, last = stream(program, lm=lm, text="b")

        assert dict(last.prediction.items()) == dict(plain.items())
        for field, value in plain.items():
            sent = "".join(delta.text for delta in deltas if delta.field == field)
            assert not any(delta.restart for delta in deltas)
            assert_settled(case.signature, field, value, sent)
        assert len(lm.requests) == 2  # type: ignore[attr-defined]
