"""Fields of a reply that is still being written: in every format they join to what the whole reply says."""

import json
import time
from collections import defaultdict
from datetime import date
from typing import Any, Literal

import dspy
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.contracts.format import HUGE, MODES, TEXTUAL, reply_of
from tests.each import each
from tests.scale import FULL, scaled
from tests.strategies import CASES, Case, by_name, junk_replies, plain_text
from tunesmith.formats import carries, field_reader, format_names, get_format, settled
from tunesmith.signatures import parse_json, parse_text


def carriers(case: Case) -> list[str]:
    """Return the formats that carry the case exactly."""
    names = [name for name in format_names() if carries(name, case.signature)]
    # DSPy writes `None` as a word.
    return [name for name in names if (name, case.name) != ("chat", "Nickname")]


def cuts(text: str, points: list[int]) -> list[str]:
    """Return `text` cut at these points."""
    ends = sorted({min(point, len(text)) for point in points})
    return [text[a:b] for a, b in zip([0, *ends], [*ends, len(text)], strict=True)]


def read(name: str, signature: type[dspy.Signature], mode: str, pieces: list[str]) -> dict[str, str]:
    """Return what was read of each field, all that is certain before the end included."""
    reader = field_reader(get_format(name), signature, MODES[mode])
    found: dict[str, str] = defaultdict(str)
    for piece in pieces:
        for field, text in reader.feed(piece):
            found[field] += text
    for field, text in reader.finish():
        found[field] += text
    return found


def assert_settled(signature: type[dspy.Signature], field: str, value: Any, sent: str) -> None:
    """Assert that what was read of a field, with what its value adds, says the value."""
    rest, again = settled(signature, field, value, sent) or ("", False)
    assert not again, f"{field}: {sent!r} for {value!r}"
    sent += rest
    if isinstance(value, str):
        assert sent == value
    elif value is not None and sent.casefold() != str(value).casefold():
        try:
            again = parse_text(signature, field, sent, raw=sent)
        except Exception:
            again = parse_json(sent)
        assert again == value


@each("case", CASES, ids=lambda case: case.name)
def test_what_is_read_in_parts_is_the_whole_reply(case: Case) -> None:
    names = carriers(case)

    @settings(max_examples=scaled(60) if FULL else 4)
    @given(st.sampled_from(list(MODES)), case.outputs, st.lists(st.floats(0, 1, width=16), max_size=30))
    @example("none", case.good, [0.1, 0.5, 0.9])
    @example("grammar", case.good, [0.2, 0.7])
    def check(mode: str, values: dict[str, Any], places: list[float]) -> None:
        for name in names:
            try:
                reply = reply_of(case, name, mode, values)
            except Exception:  # a value that the format cannot carry
                continue
            assert_read_in_parts(name, case, mode, cuts(reply, [int(place * len(reply)) for place in places]))

    check()


def assert_read_in_parts(name: str, case: Case, mode: str, pieces: list[str]) -> None:
    reply, format_ = "".join(pieces), get_format(name)
    if name == "chat":
        try:
            outputs = format_.parse(case.signature, reply)
        except Exception:
            return
    else:
        outputs = format_.read(case.signature, reply, format_.mode(case.signature, MODES[mode]), cut=False)

    found = read(name, case.signature, mode, pieces)

    for field, value in outputs.items():
        if isinstance(value, str) or name != "chat":  # DSPy repairs JSON
            assert_settled(case.signature, field, value, found[field])


@each("name", TEXTUAL)
@each("mode", MODES)
def test_a_text_is_told_while_it_is_written(name: str, mode: str) -> None:
    case = by_name("Poem")
    reply = reply_of(case, name, mode, {"poem": "Roses are red, violets are blue, and here it goes on"})
    reader = field_reader(get_format(name), case.signature, MODES[mode])
    end = reply.index("blue")

    told = "".join(text for letter in reply[:end] for _, text in reader.feed(letter))

    assert told.rstrip() == "Roses are red, violets are"  # the blank may be the last


@each("name", [name for name in TEXTUAL if not name.startswith("bare")])
def test_a_field_is_told_before_the_next_one_begins(name: str) -> None:
    case = by_name("Two")
    reply = reply_of(case, name, "none", {"answer": "forty two", "sure": True})
    reader = field_reader(get_format(name), case.signature, MODES["none"])

    order = [field for letter in reply for field, _ in reader.feed(letter)]

    assert [field for i, field in enumerate(order) if order[i - 1 : i] != [field]] == ["answer", "sure"]


@pytest.mark.parametrize("name", format_names())
@settings(max_examples=scaled(200))
@given(reply=junk_replies() | plain_text(), points=st.lists(st.integers(0, 100), max_size=10), data=st.data())
@example(reply="```", points=[], data=None)
@example(reply='{"answer": "\\ud83d', points=[12], data=None)
def test_no_reply_upsets_a_reader(name: str, reply: str, points: list[int], data: Any) -> None:
    for case in ("Two", "Sentiment", "Tags"):
        signature = by_name(case).signature
        if carries(name, signature):
            read(name, signature, "none", cuts(reply, points))


@each("name", format_names())
@each("junk", HUGE)
def test_no_reply_takes_long(name: str, junk: str) -> None:
    signature = by_name("Tags" if name.startswith("bare") else "Two").signature
    text = HUGE[junk][: max(10_000, scaled(50_000))]
    started = time.process_time()

    read(name, signature, "none", [text[at : at + 50] for at in range(0, len(text), 50)])

    assert time.process_time() - started < 4 * len(text) / 50_000 + 0.5


@each("fence", ["```", "```json", "```JSON"])
@each("letters", [1, 3, 1000])
def test_a_fenced_object_is_read(fence: str, letters: int) -> None:
    reply = f'  {fence}\n{{"answer": "a \\ud83d\\ude42 \\u00e9", "other": {{"x": ["}}"]}}, "sure": false}}\n```'

    found = read(
        "json", by_name("Two").signature, "schema", [reply[i : i + letters] for i in range(0, len(reply), letters)]
    )

    assert found == {"answer": "a 🙂 é", "sure": "false"}


class Mood(dspy.Signature):
    """Say the mood."""

    text: str = dspy.InputField()
    mood: Literal["Good", "bad"] = dspy.OutputField()
    shout: str = dspy.OutputField()
    counts: dict[str, int] = dspy.OutputField()


def test_what_was_said_otherwise_is_said_again() -> None:
    assert settled(Mood, "mood", "Good", "Go") == ("od", False)
    assert settled(Mood, "mood", "Good", "GOOD") == ("Good", True)
    assert settled(Mood, "mood", "Good", "Good") is None
    assert settled(Mood, "shout", "HEY", "hey") == ("HEY", True)
    assert settled(Mood, "counts", {"a": 1}, '{"a":1}') is None
    assert settled(Mood, "counts", {"a": 1}, "") == (json.dumps({"a": 1}), False)
    assert settled(Mood, "shout", None, "") is None


@each(
    ("kind", "value", "sent", "rest"),
    [
        (int, 4, "Let me think.\nAnswer: 4", ("4", True)),
        (int, 4, "4.", None),
        (int, 12, "1", ("2", False)),
        (float, 4.0, "4", None),
        (list[str], ["a"], "Sure:", ('["a"]', True)),
        (list[str], ["a"], '["a" ]', None),
        (date | None, date(2024, 5, 1), "2024-05-01", None),
    ],
)
def test_a_value_replaces_a_text_that_does_not_say_it(kind: Any, value: Any, sent: str, rest: Any) -> None:
    signature = dspy.Signature({"text": (str, dspy.InputField()), "found": (kind, dspy.OutputField())})

    assert settled(signature, "found", value, sent) == rest
