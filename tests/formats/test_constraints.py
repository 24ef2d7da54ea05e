"""What a type asks for beyond its kind is held in every format, if the engine takes a grammar; else as a schema can."""

import random
from decimal import Decimal
from typing import Annotated, Any

import dspy
import pytest
from annotated_types import Gt, Len, MultipleOf
from pydantic import BaseModel, Field, StringConstraints, condecimal, confloat, conint

from tests.contracts.format import MODES
from tests.each import each
from tests.formats.gbnf import allows, written
from tests.scale import scaled
from tunesmith.errors import ParseError
from tunesmith.formats import Format, default_format, get_format

NAMES = ("bare", "json", "lines", "markdown", "xml")
A = Annotated
Code = A[str, Field(pattern=r"^INV-\d+$")]
Share = A[float, Field(ge=0, le=1)]


class Bill(BaseModel):
    number: Code
    share: Share
    prices: list[A[Decimal, Field(gt=0, decimal_places=2, max_digits=6)]] = []


ASKED: list[tuple[Any, Any, Any]] = [  # type, a value, what is like one and is none
    (A[str, Field(pattern=r"^[A-Z]{3}$")], "EUR", "EURO"),
    (Code, "INV-7", "INV-x"),
    (A[str, Field(pattern=r"^\w+\s\w+$")], "Ada Stone", "AdaStone"),
    (A[str, StringConstraints(pattern="^[a-z]+$", min_length=2, max_length=5)], "abc", "abcdef"),
    (A[str, Field(pattern="^[^0-9]*$"), Len(2, 9)], "no digit", "n0 digit"),
    (Share, 0.25, 1.25),
    (A[float, Field(gt=0)], 0.5, -0.5),
    (A[float, Gt(10)], 10.5, 9.5),
    (confloat(ge=-90, le=90), -45.5, -145.5),
    (A[float, MultipleOf(0.5)], 2.5, 2.3),
    (condecimal(max_digits=5, decimal_places=2), Decimal("123.45"), Decimal("1234.5")),
    (A[Decimal, Field(lt=5)], Decimal("4.99"), Decimal("5.01")),
    (conint(multiple_of=5), 35, 36),
    (A[int, Field(ge=300, le=9000)], 4000, 9500),
    (list[Code], ["INV-1", "INV-22"], ["INV-1", "22"]),
    (dict[str, Share], {"a": 0.5}, {"a": 1.5}),
    (tuple[Code, Share], ("INV-1", 0.5), ("INV-1", 7.5)),
    (A[str, Field(pattern=r"^\d+ EUR$")] | None, "12 EUR", "12 USD"),
    (Share | None, 0.5, 1.5),
    (Bill, Bill(number="INV-1", share=0.5), {"number": "INV-1", "share": 1.5, "prices": []}),
]  # fmt: skip


def signature_of(kind: Any) -> Any:
    return dspy.Signature({"text": (str, dspy.InputField()), "found": (kind, dspy.OutputField())}, "Find it.")


def form(name: str) -> Format:
    found = get_format(name)
    assert isinstance(found, Format)
    return found


def plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


@each("name", NAMES)
@each(("kind", "good", "bad"), ASKED, ids=lambda value: str(value)[:60])
def test_a_value_that_validation_would_refuse_cannot_be_written(kind: Any, good: Any, bad: Any, name: str) -> None:
    signature, found = signature_of(kind), form(name)
    mode = found.mode(signature, MODES["grammar"])
    grammar = found.constraint(signature, mode).grammar
    # The same format shows what is no value for a type without constraints.
    loose = type(bad) if isinstance(bad, str | Decimal) else Any
    shown = found.demo_reply(signature_of(loose), {"found": plain(bad)})

    schema = str(found.constraint(signature, mode).schema)
    assert grammar is not None or "pattern" in schema or "maximum" in schema
    if grammar is None:  # the schema says it all
        return
    assert allows(grammar, found.demo_reply(signature, {"found": good}))
    assert not allows(grammar, shown)
    for at in range(scaled(60)):
        reply = written(grammar, random.Random(at))
        assert _reason(found, signature, reply, mode) in (None, "truncated"), reply


def _reason(found: Format, signature: Any, reply: str, mode: str) -> str | None:
    try:
        found.read(signature, reply, mode, cut=False)
    except ParseError as error:
        return error.reason
    return None


@pytest.mark.parametrize(
    ("kind", "pattern"),
    [
        (A[str, Field(pattern=r"^[A-Z]{3}$")], "^[A-Z]{3}$"),
        (Code, "^INV-[0-9]{1,97}$"),
        (A[str, Field(pattern=r"^\w+\s?\d*$")], "^[A-Za-z0-9_]{1,97}[ ]?[0-9]{0,97}$"),
    ],
)
def test_a_server_that_takes_schemas_only_is_sent_the_pattern(kind: Any, pattern: str) -> None:
    for name in ("bare", "json"):
        signature, found = signature_of(kind), form(name)
        schema = found.constraint(signature, found.mode(signature, MODES["schema"])).schema
        assert schema is not None
        assert {"type": "string", "pattern": pattern} in (schema, schema.get("properties", {}).get("found"))


def test_a_format_that_cannot_hold_a_pattern_is_not_the_default() -> None:
    """Plain text is read without its outer white space."""
    assert default_format(signature_of(Code)) == "bare"
    assert default_format(signature_of(A[str, Field(pattern=r"^\t\w$")])) == "json"
    assert default_format(signature_of(A[str, Field(pattern="^ +x$")])) == "json"
    assert default_format(signature_of(A[str, Field(pattern="^ *x$")])) == "bare"


@each("kind", [type, type[int], list[type], dict[str, type[str]]])
def test_a_type_that_json_cannot_hold_says_so_before_chat_is_taken(kind: Any) -> None:
    signature = signature_of(kind)

    with pytest.warns(UserWarning, match=r"`found` .*uses the format `chat`"):
        assert default_format(signature) == "chat"


def test_pictures_and_tool_calls_get_chat_without_a_word(recwarn: pytest.WarningsRecorder) -> None:
    pictured = dspy.Signature({"picture": (dspy.Image, dspy.InputField()), "found": (str, dspy.OutputField())})
    assert default_format(pictured) == default_format(signature_of(dspy.ToolCalls)) == "chat"
    assert [one for one in recwarn if "chat" in str(one.message)] == []
