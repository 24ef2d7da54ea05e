"""What a grammar would have given, from the log-probabilities of a reply that nothing held."""

import math
from typing import Any, Literal

import dspy
import pytest

import tunesmith as ts
from tests.each import each
from tests.protocol import FakeModel, ProtocolServer, Reply
from tunesmith.errors import ParseError
from tunesmith.formats.likeliest import likeliest_label
from tunesmith.lm import Capabilities, FunctionLM, TokenLogprob, TopLogprob, lm, text_response

LABELS = ("card", "card_arrival", "exchange", "close")


def token(text: str, **alternatives: float) -> TokenLogprob:
    """Return a token of the reply, likeliest of all, and its alternatives by their log-probabilities."""
    top = [TopLogprob(name, value) for name, value in alternatives.items()]
    return TokenLogprob(text, -0.1, top=(TopLogprob(text, -0.1), *top))


@each(
    ("tokens", "label"),
    [
        ([token("delete", cl=-2.0, ex=-3.0)], "close"),
        ([token("delete", ex=-2.0, cl=-3.0, de=-1.0)], "exchange"),
        ([token("delete", why=-2.0)], None),
        ([token("card", ex=-2.0), token("_ar")], "card_arrival"),
        ([token("card", ex=-2.0), token(" please", _ar=-1.0)], "card_arrival"),
        ([token("card", ex=-2.0), token(" please")], "card"),
        ([token("card", ex=-2.0)], "card"),
        ([token("no", card=-1.0)], None),
        ([token("c", ex=-2.0), token("r", lose=-1.0, ard=-2.0)], "close"),
        ([], None),
    ],
)
def test_it_is_what_greedy_decoding_under_a_grammar_gives(tokens: list[TokenLogprob], label: str | None) -> None:
    assert likeliest_label(LABELS, tokens) == label


class Topic(dspy.Signature):
    """Sort."""

    text: str = dspy.InputField()
    topic: Literal["staff", "room"] = dspy.OutputField()


def program() -> dspy.Predict:
    found = ts.Predict(Topic)
    found.demos = [dspy.Example(text="a", topic="room").with_inputs("text")]
    return found


@pytest.mark.parametrize("version", ["0.24.0", "0.32.15"])
def test_a_label_on_ollama_is_the_likeliest_one_and_costs_one_call(version: str) -> None:
    reply = Reply("people", tops=[{"people": math.log(0.6), "staff": math.log(0.3), "room": math.log(0.1)}])
    with ProtocolServer([FakeModel("m", reply=[reply])], version=version) as server:
        with dspy.context(lm=lm("ollama/m", host=server.url, cache=False)):
            found = program()(text="b")
        bodies = [entry.body for entry in server.requests if entry.path == "/api/chat"]

    assert dict(found.items()) == {"topic": "staff"}  # without the log-probabilities, which nobody asked for
    assert [body["top_logprobs"] for body in bodies] == [20]
    assert "format" not in bodies[0]


def test_a_reply_that_is_a_label_is_taken_as_it_is() -> None:
    tokens = (token("room", staff=0.5),)
    model = FunctionLM(lambda seen: text_response("room", model="m", logprobs=tokens), capabilities=ABLE)
    with dspy.context(lm=model):
        assert program()(text="b").topic == "room"


ABLE = Capabilities(frozenset({"json_schema"}), logprobs=20)


@pytest.mark.parametrize("text", ["<think>\nso", "```"])
def test_thoughts_and_fences_are_not_read_as_a_label(text: str) -> None:
    tokens = (token(text, staff=-9.0),)
    replies = iter([text_response(text, model="m", logprobs=tokens), "room"])
    model = FunctionLM(lambda seen: next(replies), capabilities=ABLE)
    with dspy.context(lm=model):
        assert program()(text="b").topic == "room"
    assert [request.config.stop for request in model.requests] == [("\n",), ()]


@pytest.mark.parametrize(
    "able", [Capabilities(frozenset({"json_schema"})), Capabilities(frozenset({"json_schema"}), 5)]
)
def test_an_engine_that_reports_too_few_alternatives_is_asked_for_none(able: Any) -> None:
    model = FunctionLM(lambda seen: "people", capabilities=able)
    with dspy.context(lm=model), pytest.raises(ParseError):
        program()(text="b")
    [request] = model.requests
    assert (request.config.logprobs, request.config.stop) == (None, ())
    assert request.config.response_format is not None


def test_who_asks_for_log_probabilities_gets_them() -> None:
    model = FunctionLM(
        lambda seen: text_response("room", model="m", logprobs=(token("room"),)), capabilities=ABLE, logprobs=True
    )
    with dspy.context(lm=model):
        assert program()(text="b").logprobs
