"""`scored` and `scored-letters`: labels by their log-probabilities."""

import math
from enum import Enum
from typing import Any, Literal

import dspy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tunesmith as ts
from tests.each import each
from tests.protocol import FakeModel, ProtocolServer, Reply
from tests.scale import scaled
from tunesmith.errors import FormatError, ParseError, UsageError
from tunesmith.formats import carries, scored_format
from tunesmith.formats.likeliest import label_logprobs
from tunesmith.lm import Capabilities, FunctionLM, TokenLogprob, TopLogprob, lm, text_response
from tunesmith.modules import Candidate, bind, stream
from tunesmith.signatures import declared

GRAMMAR = Capabilities(frozenset({"json_schema", "grammar"}), logprobs=20)
SCHEMA = Capabilities(frozenset({"json_schema"}), logprobs=20)


class Mood(dspy.Signature):
    """Sort."""

    text: str = dspy.InputField()
    mood: Literal["positive", "negative"] = dspy.OutputField()


def token(text: str, **alternatives: float) -> TokenLogprob:
    """Return a token of the reply and its alternatives; the token itself has -0.1 unless that says otherwise."""
    values = {text: -0.1, **alternatives}
    return TokenLogprob(text, values[text], top=tuple(TopLogprob(name, value) for name, value in values.items()))


def model(*tokens: TokenLogprob, capabilities: Capabilities = GRAMMAR) -> Any:
    text = "".join(one.token for one in tokens)
    reply = text_response(text, model="m", logprobs=tokens)
    return FunctionLM(lambda seen: reply, capabilities=capabilities)


def program(signature: Any = Mood, name: str = "scored", **offsets: float) -> Any:
    found = ts.Predict(signature)
    bind(found, name, offsets)
    return found


def ask(found: Any, answering: Any) -> Any:
    with dspy.context(lm=answering):
        return found(text="x")


# Log-probabilities of labels ------------------------------------------------------------------------------------


@each(
    ("labels", "tokens", "values"),
    [
        (("positive", "negative"), [token("pos", neg=-3.0)], {"positive": -0.1, "negative": -3.0}),
        # The longest reported text that the label begins with is its first token.
        (("positive", "negative"), [token("pos", p=-5.0, ne=-2.0, neg=-3.0)], {"positive": -0.1, "negative": -3.0}),
        # A label outside of the alternatives is at most as likely as the last of them.
        (("positive", "negative"), [token("positive", The=-2.0)], {"positive": -0.1, "negative": -2.0}),
        (("positive", "negative"), [token("\n", The=-1.0), token("negative", pos=-2.0)], {"negative": -0.1}),
        (("yes", "no"), [token("It", That=-1.0)], {}),
        (("yes", "no"), [TokenLogprob("yes", -0.1)], {}),
        (("yes", "no"), [], {}),
    ],
)
def test_the_log_probability_of_a_label_is_that_of_its_first_token(
    labels: tuple[str, ...], tokens: list[TokenLogprob], values: dict[str, float]
) -> None:
    assert label_logprobs(labels, tokens) | values == label_logprobs(labels, tokens)
    assert bool(label_logprobs(labels, tokens)) == bool(values)


def test_tokens_with_and_without_a_space_count_together() -> None:
    first = TokenLogprob("yes", math.log(0.3), top=(TopLogprob(" yes", math.log(0.2)), TopLogprob("no", -2.0)))
    assert label_logprobs(["yes", "no"], [first])["yes"] == pytest.approx(math.log(0.5))


def test_labels_with_a_common_token_are_told_apart_by_the_next_one_of_the_reply() -> None:
    labels = ("card_lost", "card_stolen", "rate")
    tokens = [token("card", rate=-1.0), token("_", x=-9.0), token("lost", stolen=-0.1 - math.log(3))]

    found = label_logprobs(labels, tokens)

    assert found == pytest.approx(
        {"card_lost": -0.1 + math.log(0.75), "card_stolen": -0.1 + math.log(0.25), "rate": -1.0}
    )


def test_labels_with_a_common_token_that_the_reply_does_not_have_share_its_value() -> None:
    found = label_logprobs(("card_lost", "card_stolen", "rate"), [token("rate", card=-1.0)])
    assert found == {"card_lost": -1.0, "card_stolen": -1.0, "rate": -0.1}


def test_a_label_that_another_one_begins_with_is_told_by_the_end_of_the_reply() -> None:
    end = TokenLogprob("", -0.2, top=(TopLogprob("", -0.2), TopLogprob("_lost", -1.8)))
    found = label_logprobs(("card", "card_lost", "rate"), [token("card", rate=-1.0), end])
    assert found["card"] > found["card_lost"]


LABELS = st.lists(st.text("abc_", min_size=1, max_size=4), min_size=2, max_size=5, unique=True)
TOKENS = st.lists(
    st.tuples(st.text("abc_ \n", max_size=3), st.dictionaries(st.text("abc_ ", max_size=3), st.floats(-20, 0))),
    max_size=4,
)


@settings(max_examples=scaled(400))
@given(labels=LABELS, tokens=TOKENS)
def test_whatever_the_tokens_are_each_label_has_a_number_or_none_has(
    labels: list[str], tokens: list[tuple[str, dict[str, float]]]
) -> None:
    given_tokens = [
        TokenLogprob(text, -0.5, top=tuple(map(TopLogprob, *zip(*top.items(), strict=True))))
        if top
        else TokenLogprob(text, -0.5)
        for text, top in tokens
    ]
    found = label_logprobs(labels, given_tokens)
    assert set(found) in (set(), set(labels))
    assert all(math.isfinite(value) for value in found.values())


# The answer -----------------------------------------------------------------------------------------------------


@each("capabilities", [GRAMMAR, SCHEMA])
def test_the_answer_is_the_likeliest_label_and_the_prediction_tells_each(capabilities: Capabilities) -> None:
    found = ask(program(), model(token("positive", negative=-2.0), capabilities=capabilities))

    assert found.mood == "positive"
    assert found.label_logprobs == {"positive": -0.1, "negative": -2.0}


def test_an_offset_changes_the_answer_and_not_the_log_probabilities() -> None:
    found = ask(program(positive=-1.0, negative=1.0), model(token("positive", negative=-2.0)))

    assert found.mood == "negative"
    assert found.label_logprobs == {"positive": -0.1, "negative": -2.0}


def test_a_tie_goes_to_the_label_that_the_reply_says() -> None:
    assert ask(program(), model(token("negative", positive=-0.1))).mood == "negative"


def test_a_reply_that_holds_no_label_is_read_from_its_alternatives() -> None:
    talking = model(token("The", negative=-2.0, positive=-3.0), token(" text"), capabilities=SCHEMA)
    assert ask(program(), talking).mood == "negative"


def test_a_reply_without_any_label_is_an_error() -> None:
    with pytest.raises(ParseError):
        ask(program(), model(token("The", That=-2.0), capabilities=SCHEMA))


def test_one_call_is_made_with_the_messages_of_bare() -> None:
    answering = model(token("positive", negative=-2.0))
    ask(program(), answering)
    ask(program(name="bare"), answering)

    first, second = answering.requests
    assert (first.system, first.messages) == (second.system, second.messages)
    assert (first.config.logprobs, second.config.logprobs) == (20, None)
    assert first.config.extensions == second.config.extensions, "the same grammar"


def test_an_engine_without_a_grammar_gets_no_schema_because_the_label_has_to_come_first() -> None:
    answering = model(token("positive", negative=-2.0), capabilities=SCHEMA)
    ask(program(), answering)
    assert answering.requests[0].config.response_format is None
    assert answering.requests[0].config.stop == ("\n",)


def test_an_engine_without_log_probabilities_answers_as_in_bare() -> None:
    plain = FunctionLM(lambda seen: "positive", capabilities=GRAMMAR._replace(logprobs=0))

    assert dict(ask(program(), plain).items()) == {"mood": "positive"}


def test_offsets_without_log_probabilities_are_an_error_before_the_call() -> None:
    plain = FunctionLM(lambda seen: "positive", capabilities=GRAMMAR._replace(logprobs=0))

    with pytest.raises(FormatError, match="log-probabilities"):
        ask(program(positive=1.0), plain)
    assert plain.requests == []


def test_a_reply_without_the_log_probabilities_that_were_asked_for_is_read_as_text() -> None:
    assert dict(ask(program(), FunctionLM(lambda seen: "negative")).items()) == {"mood": "negative"}


def test_a_stream_tells_the_answer_and_not_the_text_of_the_reply() -> None:
    events = list(stream(program(negative=9.0), lm=model(token("positive", negative=-2.0)), text="x"))
    assert [event.text for event in events[:-1]] == ["negative"]
    assert events[-1].prediction.mood == "negative"


class Size(Enum):
    SMALL = "small"
    LARGE = "large"


@each(
    ("kind", "written", "value"),
    [(bool, "true", True), (Literal[1, 2], "2", 2), (Size, "large", Size.LARGE), (Literal["a b", "c"], "a b", "a b")],
)
def test_every_closed_set_can_be_scored(kind: Any, written: str, value: Any) -> None:
    signature = dspy.Signature({"text": (str, dspy.InputField()), "found": (kind, dspy.OutputField())}, "Find.")
    assert ask(program(signature), model(token(written, other=-3.0))).found == value


# Letters --------------------------------------------------------------------------------------------------------

INTENTS = declared("text -> intent: Literal['card_lost', 'card_stolen', 'rate']", "Sort.")


def test_letters_stand_for_labels_in_prompt_demos_and_reply() -> None:
    found = program(INTENTS, "scored-letters")
    found.demos = [dspy.Example(text="gone", intent="card_lost")]
    answering = model(token("B", A=-2.0, C=-3.0))

    prediction = ask(found, answering)

    (request,) = answering.requests
    assert request.system.endswith("A. card_lost\nB. card_stolen\nC. rate")
    assert request.messages[1].text == "A"
    assert prediction.intent == "card_stolen"
    assert prediction.label_logprobs == {"card_lost": -2.0, "card_stolen": -0.1, "rate": -3.0}


@each("reply", ["B", " b.", "B)", "card_stolen"])
def test_an_unheld_reply_may_be_a_letter_or_the_label(reply: str) -> None:
    free = FunctionLM(lambda seen: reply, capabilities=Capabilities())
    assert ask(program(INTENTS, "scored-letters"), free).intent == "card_stolen"


@each(
    ("labels", "name"),
    [
        ("'good', 'bad'", "scored"),
        ("'good', 'gone'", "scored"),  # their tokens may differ: the reply tells
        ("'card lost', 'card stolen'", "scored-letters"),
        ("'card', 'card-lost', 'rate'", "scored-letters"),
        (", ".join(f"'label {n}'" for n in range(27)), "scored"),  # more than there are letters
        ("'alone'", None),
    ],
)
def test_labels_that_begin_with_the_same_word_get_letters(labels: str, name: str | None) -> None:
    assert scored_format(declared(f"text -> label: Literal[{labels}]")) == name


def test_a_signature_without_one_closed_set_is_refused() -> None:
    for text in ("text -> answer", "text -> a: bool, b: bool", "text -> label: Literal['alone']"):
        assert not carries("scored", declared(text))
        assert scored_format(declared(text)) is None
    many = ", ".join(f"'x{n}'" for n in range(27))
    assert not carries("scored-letters", declared(f"text -> label: Literal[{many}]"))


# Offsets of a predictor -----------------------------------------------------------------------------------------


@each(
    ("name", "offsets", "words"),
    [
        ("bare", {"positive": 1.0}, "takes no offsets"),
        ("scored", {"positive": math.nan}, "finite number"),
        ("scored", {"positive": "1"}, "finite number"),
    ],
)
def test_offsets_that_cannot_be_used_are_refused_when_they_are_bound(
    name: str, offsets: dict[str, Any], words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        bind(ts.Predict(Mood), name, offsets)


def test_offsets_of_other_labels_are_refused_when_they_are_applied() -> None:
    candidate = Candidate.of(program()).with_part("self", offsets={"mixed": 1.0})
    with pytest.raises(FormatError, match="'mixed'"):
        candidate.apply(ts.Predict(Mood))


# Over the wire --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["0.24.0", "0.32.15"])
def test_on_ollama_the_plain_prompt_gives_the_label_as_first_token(version: str) -> None:
    reply = Reply("positive", tops=[{"positive": math.log(0.6), "negative": math.log(0.3), "The": math.log(0.1)}])
    with ProtocolServer([FakeModel("m", reply=[reply])], version=version) as server:
        found = ask(program(negative=1.0), lm("ollama/m", host=server.url, cache=False))
        (body,) = [one.body for one in server.requests if one.path == "/api/chat"]

    assert "format" not in body
    assert (body["logprobs"], body["top_logprobs"]) == (True, 20)
    assert found.mood == "negative"
    assert found.label_logprobs == pytest.approx({"positive": math.log(0.6), "negative": math.log(0.3)})


def test_an_ollama_without_log_probabilities_is_an_error_before_the_call() -> None:
    with ProtocolServer([FakeModel("m", reply=["positive"])], version="0.12.10") as server:
        with pytest.raises(FormatError, match=r"0\.12\.11"):
            ask(program(negative=1.0), lm("ollama/m", host=server.url, cache=False))
        assert not [one for one in server.requests if one.path == "/api/chat"]


def test_a_reply_with_thoughts_is_read_as_text() -> None:
    tokens = (token("good", positive=-0.5, negative=-1.0),)
    reply = text_response("negative", model="m", thinking="Good, or not?", logprobs=tokens)
    found = ask(program(), FunctionLM(lambda seen: reply, capabilities=SCHEMA))
    assert dict(found.items()) == {"mood": "negative"}
