"""What is particular to `bare`: plain text where possible, and replies that were cut."""

import datetime
import json
import random
import uuid
from ipaddress import IPv4Address, IPv4Network, IPv6Address
from pathlib import Path
from typing import Annotated, Any, Literal

import dspy
import pytest
from pydantic import (
    UUID4,
    AwareDatetime,
    Field,
    FileUrl,
    HttpUrl,
    IPvAnyAddress,
    NaiveDatetime,
    PostgresDsn,
    SecretStr,
)

from tests.contracts.format import MODES
from tests.each import each
from tests.formats.gbnf import allows, written
from tests.scale import scaled
from tunesmith.errors import FormatError, ParseError
from tunesmith.formats import default_format, get_format, read_inputs
from tunesmith.lm import ScriptedLM, message_text, text_response
from tunesmith.modules import bind, render

Code = Annotated[str, Field(max_length=3)]
CARDS = Literal["card", "card_arrival", "Exchange", "été"]


def asked(
    annotation: Any, reply: str, *, mode: str = "grammar", finish: str = "length", name: str = "bare", demos: Any = ()
) -> Any:
    """Return the output that is read from a reply which ended so, and the request."""
    signature = dspy.Signature({"text": (str, dspy.InputField()), "kind": (annotation, dspy.OutputField())})
    lm = ScriptedLM(text_response(reply, model="m", finish_reason=finish), capabilities=MODES[mode])
    program = dspy.Predict(signature)
    program.demos = [dspy.Example(text="a", kind=kind).with_inputs("text") for kind in demos]
    bind(program, name)
    with dspy.context(lm=lm):
        return program(text="x").kind, lm.requests[0]


@each(
    ("annotation", "mode", "reply", "value"),
    [
        (CARDS, "grammar", "card_arrival", "card_arrival"),
        (CARDS, "none", " Card_Arrival\n", "card_arrival"),
        (CARDS, "none", "card\nIt says so, and then", "card"),
        (CARDS, "none", "```\ncard\n```\nIt says so, and", "card"),
        (CARDS, "grammar", "été", "été"),
        (CARDS, "schema", '"card"', "card"),
        (bool, "grammar", "true", True),
        (bool, "schema", "true", True),
        (datetime.date, "grammar", "2024-02-29", datetime.date(2024, 2, 29)),
        (datetime.date, "schema", '"2024-02-29"', datetime.date(2024, 2, 29)),
        (uuid.UUID, "none", "12345678-1234-5678-1234-567812345678", uuid.UUID("12345678123456781234567812345678")),
        (int, "schema", "12 ", 12),
        (Code, "schema", '"ABC"', "ABC"),
        (list[int], "schema", "[1, 2]", [1, 2]),
        (list[int], "none", "```json\n[1, 2]\n", [1, 2]),
        (dict[str, int], "grammar", '{"a": 1}', {"a": 1}),
        (int | None, "schema", "null", None),
    ],
)
def test_a_cut_reply_whose_value_is_complete_is_a_good_reply(
    annotation: Any, mode: str, reply: str, value: Any
) -> None:
    assert asked(annotation, reply, mode=mode)[0] == value


@each(
    ("annotation", "mode", "reply"),
    [
        (CARDS, "grammar", "card"),
        (CARDS, "grammar", "card_arr"),
        (CARDS, "none", "EXCH"),
        (CARDS, "schema", '"card'),
        (int, "grammar", "12"),
        (int, "schema", "12"),
        (float, "schema", "1.5"),
        (float, "grammar", "1.5"),
        (int | None, "schema", "1"),
        (str, "grammar", "a whole text."),
        (Code, "schema", '"AB'),
        (str, "schema", "a whole text"),
        (CARDS, "none", "card because it"),
        (CARDS, "none", "```\ncard"),
        (datetime.date, "grammar", "2024-02-2"),
        (datetime.datetime, "grammar", "2024-02-29T10:00:00"),
        (list[int], "schema", "[1, 2"),
        (list[int], "none", "```json\n[1, 2"),
        (CARDS, "grammar", ""),
        (list[int], "grammar", " "),
    ],
)
def test_a_cut_reply_that_may_go_on_is_truncated(annotation: Any, mode: str, reply: str) -> None:
    with pytest.raises(ParseError) as caught:
        asked(annotation, reply, mode=mode)
    assert caught.value.reason == "truncated"


@pytest.mark.parametrize("reply", ['{"kind": "card"}', ' {"kind": "card"}\n', '```json\n{"kind": "card"}'])
def test_a_cut_object_that_is_whole_is_a_good_reply(reply: str) -> None:
    assert asked(CARDS, reply, name="json")[0] == "card"


@each("reply", ["", "{", '{"kind"', '{"kind": "card"', '{"kind": "card",', "Sure! Here"])
def test_a_cut_object_that_may_go_on_is_truncated(reply: str) -> None:
    with pytest.raises(ParseError) as caught:
        asked(CARDS, reply, name="json")
    assert caught.value.reason == "truncated"


def test_a_reply_that_was_not_cut_may_be_the_beginning_of_another() -> None:
    assert asked(CARDS, "card", finish="stop")[0] == "card"
    assert asked(int, "12", finish="stop")[0] == 12


def test_a_label_is_held_by_a_grammar_else_by_a_schema_until_demos_show_how_it_looks() -> None:
    by_grammar = asked(CARDS, "card", finish="stop")[1].config
    assert by_grammar.response_format is None
    assert by_grammar.extensions["grammar"] == 'root ::= "card" | "card_arrival" | "Exchange" | "été"'
    assert by_grammar.stop == ()

    by_schema = asked(CARDS, '"card"', mode="schema", finish="stop")[1].config
    assert by_schema.response_format["schema"] == {"enum": ["card", "card_arrival", "Exchange", "été"]}
    assert by_schema.stop == ()

    for mode, name, stop in (("schema", "bare-free", ("\n",)), ("grammar", "bare-free", ("\n",)), ("none", "bare", ())):
        free = asked(CARDS, "card", mode=mode, finish="stop", name=name, demos=["Exchange"])[1].config
        assert free.response_format is None
        assert not free.extensions
        assert free.stop == stop


@each(
    ("annotation", "reply", "name"),
    [
        (CARDS, '"card"', "bare-schema"),
        (int, "12", "bare"),
        (bool, "true", "bare"),
        (datetime.date, '"2024-02-29"', "bare"),
        (Code, '"ABC"', "bare"),
        (list[int], "[1]", "bare"),
    ],
)
def test_no_stop_goes_out_with_a_schema(annotation: Any, reply: str, name: str) -> None:
    _, request = asked(annotation, reply, mode="schema", finish="stop", name=name)

    assert request.config.response_format["schema"]
    assert request.config.stop == ()


@each("annotation", [CARDS, int, bool, datetime.date, str, list[int], Code])
def test_every_engine_gets_the_same_messages_in_every_way_of_holding(annotation: Any) -> None:
    signature = dspy.Signature({"text": (str, dspy.InputField()), "kind": (annotation, dspy.OutputField())})
    values = {str: "a", int: 1, bool: True, datetime.date: "2024-02-29", Code: "ABC", CARDS: "card"}
    sent = set()
    for name in ("bare", "bare-schema", "bare-free", "bare-likeliest", "bare-nearest"):
        for capabilities in MODES.values():
            program = dspy.Predict(signature)
            program.demos = [dspy.Example(text="a", kind=values.get(annotation, [1])).with_inputs("text")]
            bind(program, name)
            request = render(program, lm=ScriptedLM("x", capabilities=capabilities), text="x").request
            sent.add((request.system, tuple((m.role, message_text(m)) for m in request.messages)))

    assert len(sent) == 1


@pytest.mark.parametrize("annotation", [list[int], dict[str, int], list[str] | None])
def test_a_value_of_several_lines_has_no_stop_at_the_first(annotation: Any) -> None:
    for mode in ("schema", "grammar"):
        request = asked(annotation, "[]" if annotation != dict[str, int] else "{}", mode=mode, finish="stop")[1]
        assert request.config.stop == ()
        assert request.config.response_format or request.config.extensions["grammar"]


SCALARS: list[Any] = [
    HttpUrl, FileUrl, PostgresDsn, datetime.timedelta, IPv4Address, IPv6Address, IPv4Network, IPvAnyAddress, UUID4,
    AwareDatetime, NaiveDatetime, bytes, Path, SecretStr, Literal["a", None], Literal["", "x"], Literal[0.5, 1.5],
    Literal["two\nlines", 3], Annotated[datetime.timedelta, Field(strict=False)],
]  # fmt: skip


def reason_of(found: Any, signature: Any, mode: str, reply: str) -> str | None:
    """Return why a reply cannot be read, `None` where it can."""
    try:
        found.read(signature, reply, mode, cut=False)
    except ParseError as error:
        return error.reason
    return None


@each("annotation", SCALARS, ids=str)
def test_a_scalar_that_is_json_is_held_by_our_own_grammar_where_the_engine_takes_one(annotation: Any) -> None:
    """llama.cpp's grammar of a schema lets a reply begin with a Markdown fence, and the stop ended it there."""
    signature = dspy.Signature({"text": (str, dspy.InputField()), "kind": (annotation, dspy.OutputField())})
    found = get_format("bare")
    mode = found.mode(signature, MODES["grammar"])
    held = found.constraint(signature, mode)

    assert held.grammar is not None
    assert (held.schema, held.stop) == (None, ())
    for reply in ("", "```json", '```json\n"a"\n```', "\n", " null", "Sure!"):
        assert not allows(held.grammar, reply)
    for at in range(scaled(200)):
        reply = written(held.grammar, random.Random(at))
        assert reason_of(found, signature, mode, reply) in (None, "truncated")  # it fills a bound of ours


@each(("count", "sent"), [(500, True), (4000, False)])
def test_a_huge_label_set_is_not_sent_as_a_grammar(count: int, sent: bool) -> None:
    labels = Literal[tuple(f"label {i}" for i in range(count))]  # type: ignore[valid-type]
    value, request = asked(labels, "label 499", finish="stop")

    assert value == "label 499"
    assert ("grammar" in (request.config.extensions or {})) == sent


def test_a_message_ends_with_the_name_of_the_output() -> None:
    request = asked(str, "yes", finish="stop")[1]

    assert message_text(request.messages[-1]) == "Text: x\nKind:"
    assert read_inputs(dspy.Signature("text -> kind"), message_text(request.messages[-1])) == {"text": "x"}


def test_several_outputs_are_refused_with_what_to_do() -> None:
    with pytest.raises(FormatError, match=r"2: a, b\. Use the format `json`"):
        get_format("bare").check(dspy.Signature("q -> a, b"))
    assert default_format(dspy.Signature("q -> a, b")) == "json"


@each("name", ["bare", "json"])
@each("mode", MODES)
def test_a_text_of_1500_characters_is_read_whole(name: str, mode: str) -> None:
    text = "a word, " * 187 + "1500"
    reply = json.dumps({"kind": text} if name == "json" else text)
    if name == "bare":
        reply = text

    assert asked(str, reply, mode=mode, finish="stop", name=name)[0] == text


def test_a_text_that_fills_a_bound_of_ours_is_taken_as_cut() -> None:
    for length in (999, 1001):
        reply = json.dumps({"kind": "x" * length})
        assert asked(str, reply, mode="schema", finish="stop", name="json")[0] == "x" * length
    with pytest.raises(ParseError) as caught:
        asked(
            str, json.dumps({"kind": "".join(map(str, range(400)))[:1000]}), mode="schema", finish="stop", name="json"
        )
    assert caught.value.reason == "truncated"


def test_display_shows_what_an_engine_with_every_constraint_gets() -> None:
    signature = dspy.Signature({"text": (str, dspy.InputField()), "kind": (CARDS, dspy.OutputField())})
    demos = [dspy.Example(text="a", kind="card")]

    assert get_format("bare").format(signature, demos, {"text": "b"}) == [
        {"role": "system", "content": f"{signature.instructions}\nKind is one of: card, card_arrival, Exchange, été."},
        {"role": "user", "content": "Text: a\nKind:"},
        {"role": "assistant", "content": "card"},
        {"role": "user", "content": "Text: b\nKind:"},
    ]


@pytest.mark.parametrize("reply", ["card", '"card"', " CARD "])
def test_parsing_by_hand_takes_both_ways_of_writing(reply: str) -> None:
    signature = dspy.Signature({"text": (str, dspy.InputField()), "kind": (CARDS, dspy.OutputField())})
    assert get_format("bare").parse(signature, reply) == {"kind": "card"}
