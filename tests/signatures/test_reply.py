"""Replies become typed values, or an error that says why not."""

import enum
from collections.abc import Callable
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Annotated, Any, Literal
from uuid import UUID

import dspy
import pytest
from pydantic import AfterValidator, BaseModel, Field, HttpUrl

from tests.each import each
from tests.scale import FULL
from tests.signatures.strategies import Color, Level, Mixed, signature_of
from tunesmith.errors import ParseError, SignatureError
from tunesmith.signatures import Signature, notes_watched, parse_json, parse_text, validate_output, validate_outputs


class Person(BaseModel):
    name: str
    age: int = 3
    paid: bool = False


def _explode(value: Any) -> Any:
    raise KeyError(value)


Brittle = Annotated[str, AfterValidator(_explode)]
_ID = "12345678-1234-5678-1234-567812345678"


@each(
    ("raw", "value"),
    [
        ('{"a": 1}', {"a": 1}),
        (' [1, 2.5, null, true, "x"] \n\t ', [1, 2.5, None, True, "x"]),
        ("3", 3),
        ('"é\\u00e9"', "éé"),
        ('```json\n{"a": 1}\n```', {"a": 1}),
        ("```\n[1]\n```", [1]),
        ("```JSON\r\n[1]", [1]),
        ('{"label": "negative"}          ', {"label": "negative"}),
        ('"```"', "```"),
    ],
)
def test_one_json_value_is_read(raw: str, value: Any) -> None:
    assert parse_json(raw) == value


@each(
    ("raw", "reason"),
    [
        ("", "empty"),
        (" \n", "empty"),
        ("``````", "empty"),
        ("```json\n```", "empty"),
        ("{", "truncated"),
        ('{"a', "truncated"),
        ('{"a":', "truncated"),
        ('{"a": "b', "truncated"),
        ("[1,", "truncated"),
        ("[1", "truncated"),
        ("[1, 2.", "truncated"),
        ('{"a": [1, -2e', "truncated"),
        ('{"a": 2.5E+', "truncated"),
        ("[1, 2 3", "syntax"),
        ("tru", "truncated"),
        ('{"a": fal', "truncated"),
        ("-", "truncated"),
        ("1.", "truncated"),
        ("1e", "truncated"),
        ('"\\', "truncated"),
        ('"\\u12', "truncated"),
        ("```json\n[1, 2", "truncated"),
        ("hello", "syntax"),
        ("{'a': 1}", "syntax"),
        ("[1] and more", "syntax"),
        ("1 2", "syntax"),
        ("{} {}", "syntax"),
        ("NaN", "syntax"),
        ("[Infinity]", "syntax"),
        ("-Infinity", "syntax"),
        ("1e999", "syntax"),
        ('"a\nb"', "syntax"),
        ("[1,]", "syntax"),
        ("01", "syntax"),
        ("\ufeff1", "syntax"),
        ('Here: {"a": 1}', "syntax"),
        ('"\\x41"', "syntax"),
        ("9" * 5000, "syntax"),
        ("[" * 100_000, "syntax"),
        ("\ud800", "syntax"),
        ("// a\n1", "syntax"),
    ],
)
def test_what_is_no_json_says_why(raw: str, reason: str) -> None:
    with pytest.raises(ParseError) as caught:
        parse_json(raw)

    assert caught.value.reason == reason
    assert caught.value.raw == raw


@each(
    ("kind", "text", "value"),
    [
        (str, "  two words \n", "two words"),
        (int, " -5", -5),
        (int, "+7", 7),
        (float, "0.5", 0.5),
        (float, "-3", -3.0),
        (float, "1e3", 1000.0),
        (float, ".5", 0.5),
        (bool, "True", True),
        (bool, "false", False),
        (date, "2024-05-01", date(2024, 5, 1)),
        (datetime, "2024-05-01T10:20:30", datetime(2024, 5, 1, 10, 20, 30)),  # noqa: DTZ001
        (datetime, "2024-05-01 10:20:30Z", datetime(2024, 5, 1, 10, 20, 30, tzinfo=UTC)),
        (time, "10:20", time(10, 20)),
        (UUID, _ID, UUID(_ID)),
        (Decimal, "1.10", Decimal("1.10")),
        (Literal["yes", "no"], "yes", "yes"),
        (Literal["yes", "no"], " YES\n", "yes"),
        (Literal["Ja", "ja"], "ja", "ja"),
        (Literal[1, 2], "2", 2),
        (Literal["a", True], "TRUE", True),
        (Color, "deep blue", Color.DEEP_BLUE),
        (Color, "Red", Color.RED),
        (Level, "2", Level.HIGH),
        (Mixed, "true", Mixed.YES),
        (Literal["Straße"], "STRASSE", "Straße"),
        (Annotated[int, Field(ge=0)], "3", 3),
        (list[int], "[1, 2]", [1, 2]),
        (int | None, "null", None),
        (str | None, '"x"', "x"),
        (Person, '```json\n{"name": "Ada"}\n```', Person(name="Ada")),
        (dspy.Reasoning, " because ", dspy.Reasoning(content="because")),
        (Literal["a", None], '"a"', "a"),
        (int | str, '"5"', "5"),
    ],
)
def test_plain_text_becomes_a_typed_value(kind: Any, text: str, value: Any) -> None:
    got = parse_text(signature_of(kind), "o0", text, raw=text)

    assert got == value
    assert type(got) is type(value)


@each(
    ("kind", "text", "reason"),
    [
        (str, " ", "empty"),
        (int, "", "empty"),
        (list[int], "\n", "empty"),
        (Literal["a"], "", "empty"),
        (int, "five", "invalid"),
        (int, "5.0", "invalid"),
        (int, "1_000", "invalid"),
        (int, "٣", "invalid"),
        (int, "5 apples", "invalid"),
        (float, "nan", "invalid"),
        (float, "inf", "invalid"),
        (float, "1e999", "invalid"),
        (float, "1_0.5", "invalid"),
        (bool, "yes", "invalid"),
        (bool, "1", "invalid"),
        (date, "1704067200", "invalid"),
        (date, "2024-02-31", "invalid"),
        (date, "2024-05-01T00:00:00", "invalid"),
        (datetime, "1704067200", "invalid"),
        (UUID, "x" * 36, "invalid"),
        (Decimal, "NaN", "invalid"),
        (Literal["yes", "no"], "maybe", "invalid"),
        (Literal["yes", "no"], "yes.", "invalid"),
        (Literal["Ja", "ja"], "JA", "invalid"),
        (Literal[1, 2], "1.0", "invalid"),
        (Annotated[int, Field(ge=0)], "-3", "invalid"),
        (Annotated[str, Field(max_length=2)], "abc", "invalid"),
        (Annotated[str, Field(pattern="^(?:a|b)$")], "c", "invalid"),
        (list[int], "1, 2", "syntax"),
        (list[int], "[1,", "truncated"),
        (list[int], '["x"]', "invalid"),
        (str, "\ud800", "invalid"),
        (Brittle, "x", "invalid"),
        (list[Brittle], '["x"]', "invalid"),
        (Person, "[]", "invalid"),
        (Person, '{"age": 3}', "invalid"),
    ],
)
def test_a_text_of_another_type_is_an_error(kind: Any, text: str, reason: str) -> None:
    with pytest.raises(ParseError, match=r"o0|reply") as caught:
        parse_text(signature_of(kind), "o0", text, raw=f"o0: {text}")

    assert caught.value.reason == reason
    assert caught.value.field == "o0"
    assert caught.value.raw == f"o0: {text}"


@each(
    ("kind", "given", "value"),
    [
        (str, " kept ", " kept "),
        (str, "", ""),
        (int, "5", 5),
        (int, 5.0, 5),
        (int, 10**30, 10**30),
        (float, 5, 5.0),
        (float, "0.5", 0.5),
        (bool, True, True),
        (bool, "True", True),
        (Literal["yes"], "YES", "yes"),
        (Literal[1], "1", 1),
        (Color, "red", Color.RED),
        (Level, 1, Level.LOW),
        (date, "2024-05-01", date(2024, 5, 1)),
        (Decimal, 0.1, Decimal("0.1")),
        (Decimal, "0.10", Decimal("0.10")),
        (list[int], ["5", 6], [5, 6]),
        (list[date], ["2024-05-01"], [date(2024, 5, 1)]),
        (set[int], [1, 1], {1}),
        (tuple[int, str], [1, "a"], (1, "a")),
        (dict[int, bool], {"1": True}, {1: True}),
        (Person, {"name": "A", "age": "4", "more": 1}, Person(name="A", age=4)),
        (int | str, 5, 5),
        (int | str, "5", "5"),
        (Any, {"a": [True, 1]}, {"a": [True, 1]}),
        (Literal["a", None], None, None),
        (dict[Color, int], {"red": 1}, {Color.RED: 1}),
        (bytes, "ab", b"ab"),
    ],
)
def test_a_json_value_becomes_a_typed_value(kind: Any, given: Any, value: Any) -> None:
    got = validate_output(signature_of(kind), "o0", given, raw="raw")

    assert got == value
    assert type(got) is type(value)


@each(
    ("kind", "given"),
    [
        (str, 5),
        (str, None),
        (str, ["a"]),
        (str, True),
        (int, True),
        (int, 5.5),
        (int, None),
        (int, "5.5"),
        (int, 1e300),
        (float, True),
        (float, [1]),
        (float, 10**400),
        (float, float("inf")),
        (bool, 1),
        (bool, 0),
        (bool, "yes"),
        (bool, None),
        (Literal["a"], 1),
        (Literal[1], True),
        (Literal[True], 1),
        (Literal[1, None], True),
        (list[Literal[1]], [True]),
        (Color, "green"),
        (Color, ["red"]),
        (Color, {}),
        (date, 5),
        (Decimal, True),
        (list[int], [True]),
        (list[int], [1.5]),
        (list[int], {"a": 1}),
        (list[str], [5]),
        (list[bool], [1]),
        (dict[str, bool], {"a": 0}),
        (Person, {"name": 5}),
        (Person, {"name": "A", "age": True}),
        (Person, {"name": "A", "paid": 1}),
        (Person, {"name": "A", "paid": 1, "age": "4"}),
        (list[date], [1704067200]),
        (set[int], [True, "1"]),
        (list[float], [float("nan")]),
        (str, "\ud800"),
        (list[str], ["\ud800"]),
        (list[Any], [[[float("inf")]]]),
        (Annotated[int, Field(le=3)], 4),
        (tuple[int, int], [1]),
        (int | None, True),
    ],
)
def test_a_json_value_of_another_type_is_an_error(kind: Any, given: Any) -> None:
    with pytest.raises(ParseError, match="o0") as caught:
        validate_output(signature_of(kind), "o0", given, raw="raw")

    assert caught.value.reason == "invalid"
    assert caught.value.field == "o0"


@pytest.fixture(scope="module")
def nested() -> Any:
    """Lists in lists, very deep."""
    value: Any = 1
    for _ in range(100_000 if FULL else 20_000):
        value = [value]
    return value


@pytest.mark.parametrize("kind", [Any, list[Any], Person, dict[str, Any]])
def test_a_value_nested_too_deeply_is_an_error(kind: Any, nested: Any) -> None:
    with pytest.raises(ParseError):
        validate_output(signature_of(kind), "o0", nested, raw="raw")


_MANY_KEYS = Annotated[dict[str, int], Field(min_length=40)]
_NEW = "x".join(map(str, range(1000)))  # says something new up to its end


@each(
    ("kind", "given", "cut"),
    [
        (str, _NEW[:1000], True),
        (str, "a" * 999, False),
        (str, "a" * 1001, False),
        (Annotated[str, Field(max_length=1000)], "a" * 1000, False),
        (Annotated[str, Field(max_length=5000)], _NEW[:1000], True),
        (list[str], list("abcdefghijk"), True),
        (list[str], list("abcdefghij"), False),
        (list[str], [_NEW[:136]], True),
        (Annotated[list[str], Field(max_length=11)], ["a"] * 11, False),
        (list[int], list(range(61)), True),
        (set[int], list(range(61)), True),
        (list[list[int]], [[1], list(range(61))], True),
        (dict[str, int], {f"k{at}": at for at in range(61)}, True),
        (dict[str, int], {f"k{at}": at for at in range(60)}, False),
        (_MANY_KEYS, {f"k{at}": at for at in range(80)}, False),
        (_MANY_KEYS, {f"k{at}": at for at in range(81)}, True),
        (Annotated[dict[str, int], Field(min_length=500)], {f"k{at}": at for at in range(500)}, False),
        (Annotated[list[int], Field(min_length=40)], list(range(80)), False),
        (Annotated[list[int], Field(min_length=40)], list(range(81)), True),
        (dict[str, int], {"k" * 100: 1}, True),
        (Person, {"name": _NEW[:1000]}, True),
        (str | None, _NEW[:1000], True),
        (dict[str, str], {"k": _NEW[:136]}, True),
        (tuple[str, int], [_NEW[:1000], 1], True),
        (Literal["a" * 1000], "a" * 1000, False),
    ],
)
def test_a_value_as_long_as_a_bound_of_ours_counts_as_cut(kind: Any, given: Any, cut: bool) -> None:
    signature = signature_of(kind)
    if not cut:
        validate_output(signature, "o0", given, raw="")
        return
    with pytest.raises(ParseError, match="max_length") as caught:
        validate_output(signature, "o0", given, raw="")
    assert caught.value.reason == "truncated"


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        (list[str], [*"abcdefg", "h", "h", "h", "h"]),
        (list[str], ["a", *"bcbcbcbcbc"]),
        (list[int], [*range(31), *[7] * 30]),
        (list[dict[str, int]], [{"a": 1}] * 11),
        (list[list[int]], [[1], [0] * 61]),
        (set[int], [1] * 61),
    ],
)
def test_a_list_that_repeats_itself_until_our_bound_is_a_value_with_a_note(kind: Any, given: Any) -> None:
    with notes_watched() as noted:
        found = validate_output(signature_of(kind), "o0", given, raw="")

    assert list(found) == ([1] if isinstance(found, set) else given)
    assert len(noted) == 1
    assert "`o0`" in next(iter(noted))
    assert "max_length" in next(iter(noted))


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        (str, ("It was good. " * 100)[:1000]),
        (str, "a" * 1000),
        (str | None, ("A first part. " + "and so on, " * 100)[:1000]),
        (Person, {"name": "ab" * 500}),
        (str, _NEW[:666] + "ab" * 167),
    ],
)
def test_a_text_that_repeats_itself_until_our_bound_is_a_value_with_a_note(kind: Any, given: Any) -> None:
    with notes_watched() as noted:
        validate_output(signature_of(kind), "o0", given, raw="")

    assert len(noted) == 1
    assert "`o0`" in next(iter(noted))


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        (Annotated[str, Field(pattern=r"^\d+ EUR$")], "9" * 1000 + " EUR"),
        (HttpUrl, "https://a.org/" + "b" * 255),
        (int, 10**32),
        (dict[str, int], {"k" * 100: 1}),
    ],
)
def test_an_address_a_number_or_a_key_that_repeats_itself_counts_as_cut(kind: Any, given: Any) -> None:
    with pytest.raises(ParseError) as caught:
        validate_output(signature_of(kind), "o0", given, raw="")
    assert caught.value.reason == "truncated"


@pytest.mark.parametrize("tail", ["", "x" * 300, "and so on, " * 20])
def test_a_text_that_says_something_new_near_our_bound_counts_as_cut(tail: str) -> None:
    text = _NEW[: 1000 - len(tail)] + tail

    with pytest.raises(ParseError, match="max_length"):
        validate_output(signature_of(str), "o0", text, raw="")


@each(
    ("kind", "given"),
    [
        (str, ("It was good. " * 100)[:990] + "IMPORTANT!"),
        (str, ("1. Deposit " + "." * 1000)[:990] + " 1,200 EUR"),
        (str, "Name | Price\n".ljust(1000, "-")),
        (str, ("Name | Price\n" + "|---" * 250)[:1000]),
        (str, _NEW[:500] + "\n" * 500),
        (list[str], ["no " * 45 + "n"]),
        (list[str], ["a table: " + "-" * 127]),
    ],
)
def test_a_text_that_has_left_its_loop_or_only_draws_a_line_counts_as_cut(kind: Any, given: Any) -> None:
    with pytest.raises(ParseError) as caught:
        validate_output(signature_of(kind), "o0", given, raw="")
    assert caught.value.reason == "truncated"


@pytest.mark.parametrize("given", [[*range(50), *[7] * 11], [*range(58), 1, 1, 1], [1, 2] * 30 + [3]])
def test_a_list_that_says_something_new_near_our_bound_counts_as_cut(given: list[int]) -> None:
    with pytest.raises(ParseError, match="max_length"):
        validate_output(signature_of(list[int]), "o0", given, raw="")


def test_outside_of_an_evaluation_the_note_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    validate_output(signature_of(list[int]), "o0", [1] * 61, raw="")

    assert "repeats itself in output `o0`" in caplog.text


class _Defaults(Signature):
    """Answer."""

    question: str = dspy.InputField()
    answer: str = dspy.OutputField()
    note: str | None = dspy.OutputField(default=None)
    tags: list[str] = dspy.OutputField(default_factory=list)


def test_all_outputs_come_in_order_with_defaults_and_without_strangers() -> None:
    got = validate_outputs(_Defaults, {"more": 1, "answer": "x"}, raw="")

    assert list(got.items()) == [("answer", "x"), ("note", None), ("tags", [])]


def test_an_absent_output_is_missing() -> None:
    with pytest.raises(ParseError) as caught:
        validate_outputs(signature_of(int, int | None), {"o0": 1}, raw="{}")
    assert (caught.value.reason, caught.value.field) == ("missing", "o1")


@each("values", [[], "text", 3, None, True])
def test_outputs_that_are_no_object_are_invalid(values: Any) -> None:
    with pytest.raises(ParseError, match="o0") as caught:
        validate_outputs(signature_of(int), values, raw="[]")
    assert caught.value.reason == "invalid"


@pytest.mark.parametrize(
    "attempt",
    [
        lambda: parse_text(signature_of(int), "gone", "1", raw="1"),
        lambda: validate_output(signature_of(int), "gone", 1, raw="1"),
        lambda: parse_text(int, "o0", "1", raw="1"),  # type: ignore[type-var]
    ],
)
def test_an_unknown_field_is_the_callers_error(attempt: Callable[[], Any]) -> None:
    with pytest.raises(SignatureError):
        attempt()


def test_literals_that_compare_equal_keep_their_own_types() -> None:
    numbers, truths = signature_of(Literal[1, 0]), signature_of(Literal[True, False])

    assert validate_output(numbers, "o0", 1, raw="") is not True
    assert validate_output(truths, "o0", True, raw="") is True
    for signature, value in ((numbers, True), (truths, 1)):
        with pytest.raises(ParseError):
            validate_output(signature, "o0", value, raw="")


def test_an_enum_with_the_same_value_twice_has_one_label() -> None:
    class Size(enum.Enum):
        BIG = "big"
        LARGE = "big"  # noqa: PIE796

    assert parse_text(signature_of(Size), "o0", "big", raw="") is Size.BIG


@each("text", ["1e+32", "-1e32", "1.5e+32", "1.2345678901234567E32"])
def test_a_number_with_an_exponent_fills_no_digits_of_a_text(text: str) -> None:
    assert parse_text(signature_of(float), "o0", text, raw=text) == float(text)


@each("text", ["1" * 33, "1" + "0" * 32, "-" + "3" * 33 + ".5", "1" + "0" * 32 + ".0", "9" * 33 + ".00"])
def test_a_run_of_digits_as_long_as_our_bound_counts_as_cut(text: str) -> None:
    with pytest.raises(ParseError, match="length limit"):
        parse_text(signature_of(float), "o0", text, raw=text)
    with pytest.raises(ParseError, match="length limit"):
        validate_output(signature_of(float), "o0", parse_json(text), raw=text)


EXPONENTS = [
    "1e+32",
    "-1.5e32",
    "1.234567890123456e32",
    "-1.2345678901234567E32",
    "1.23456789012345678901234567890e32",
    "9.9999999999999999999e+32",
    "1234567890123456789e14",
]


@each("text", EXPONENTS)
@each("kind", [float, Decimal, list[float], dict[str, Decimal]])
def test_a_number_of_json_with_an_exponent_fills_no_digits(kind: Any, text: str) -> None:
    around = {float: "{}", Decimal: "{}", list[float]: "[{}]", dict[str, Decimal]: '{"a":{}}'}[kind].replace("{}", text)
    found = validate_output(signature_of(kind), "o0", parse_json(around), raw=text)
    value = found[0] if isinstance(found, list) else found["a"] if isinstance(found, dict) else found
    assert float(value) == float(text)


@each("text", EXPONENTS)
def test_a_decimal_with_an_exponent_keeps_its_digits(text: str) -> None:
    assert parse_text(signature_of(Decimal), "o0", text, raw=text) == Decimal(text)
    assert validate_output(signature_of(Decimal), "o0", parse_json(text), raw=text) == Decimal(text)
