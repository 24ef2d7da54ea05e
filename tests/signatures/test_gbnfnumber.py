"""A number that its grammar allows is within its bounds, and a number within them is allowed."""

import random
from decimal import Decimal
from typing import Annotated, Any

from annotated_types import Gt, Interval, MultipleOf
from pydantic import Field, NegativeFloat, PositiveInt, condecimal, confloat, conint

from tests.each import each
from tests.formats.gbnf import allows, written
from tests.scale import scaled
from tests.signatures.strategies import signature_of
from tunesmith.errors import ParseError
from tunesmith.signatures import grammar, parse_text

A = Annotated
BOUNDED: list[tuple[Any, str, str]] = [
    (A[float, Field(ge=0, le=1)], "0.25 0 1 1.0 0.0", "1.01 -0.1 2 1.5 00.5 .5"),
    (A[float, Field(gt=0, lt=1)], "0.5 0.0000001 0.999", "0 0.0 1 1.0"),
    (A[float, Field(gt=-2.5, lt=1000)], "-2.4999 -1 0 999.999", "-2.5 1000 -3"),
    (A[float, Field(ge=0.15, le=0.35)], "0.15 0.2 0.35 0.350", "0.1 0.14999 0.351 0.4"),
    (A[float, Field(ge=-90, le=90)], "-90 90.0 -0.5 47.5", "90.1 -91 100"),
    (A[float, Field(multiple_of=0.5)], "0.5 1.0 -2.5 3 17.0", "0.25 1.3"),
    (A[float, Field(multiple_of=0.05, ge=0, le=10)], "0.05 0.1 10 9.95", "0.01 9.96 10.05"),
    (confloat(ge=1.5), "1.5 2 17.25", "1.4 1"),
    (NegativeFloat, "-0.1 -5", "0 1 -0"),
    (A[float, Gt(99.5)], "99.6 100 123.4", "99.5 99 1"),
    (A[Decimal, Field(max_digits=5, decimal_places=2)], "999.99 -1.5 0.01 0", "1000 0.001"),
    (A[Decimal, Field(max_digits=4)], "1234 12.34 0.123", "12345 123.45"),
    (A[Decimal, Field(gt=Decimal("0.1"), lt=Decimal("0.3"))], "0.2 0.11 0.299999999", "0.1 0.3 0.10"),
    (A[Decimal, Field(multiple_of=Decimal("0.25"))], "0.25 1.5 -3.75 2", "0.2 0.26"),
    (condecimal(ge=0, le=1, decimal_places=1), "0.5 1 0.0 1.0", "0.55 1.1"),
    (A[Decimal, Interval(ge=10, le=20)], "10 20 15.5", "9.99 20.01 2 1"),
    (A[int, Field(ge=0, le=5000)], "0 7 5000 4999", "5001 9999 -1"),
    (A[int, Field(ge=-12345, lt=77)], "-12345 76 0 -1", "77 -12346 99"),
    (A[int, Field(multiple_of=7)], "0 7 49 -21 700000000007", "8 1 700000000001"),
    (A[int, MultipleOf(100)], "0 100 -2500 12300", "50 10 12310"),
    (conint(multiple_of=15, ge=20, le=100000), "30 99990 45", "15 31 100005"),
    (A[int, Field(ge=10**17)], "100000000000000000 998877665544332211", "99999999999999999 5"),
    (A[int, Field(ge=10**17, le=10**18)], "998877665544332211 1000000000000000000", "1000000000000000001"),
    (PositiveInt, "1 10 998877665544332211", "0 -1"),
]  # fmt: skip


@each(("kind", "right", "wrong"), BOUNDED, ids=lambda value: str(value)[-70:])
def test_bounds_are_followed_exactly(kind: Any, right: str, wrong: str) -> None:
    found = grammar(signature_of(kind), "o0")

    assert found is not None
    assert [text for text in right.split() if not allows(found, text)] == []
    assert [text for text in wrong.split() if allows(found, text)] == []


@each("kind", [kind for kind, _, _ in BOUNDED], ids=str)
def test_whatever_the_grammar_allows_is_a_value(kind: Any) -> None:
    signature = signature_of(kind)
    found = grammar(signature, "o0")
    assert found is not None

    for at in range(scaled(400)):
        text = written(found, random.Random(at))
        assert allows(found, text)
        assert _reason(signature, text) in (None, "truncated"), text


def _reason(signature: Any, text: str) -> str | None:
    """Return why a text cannot be read, `None` where it can: it fills a bound of ours, or is no such number."""
    try:
        parse_text(signature, "o0", text, raw=text)
    except ParseError as error:
        return error.reason
    return None


def test_a_step_with_too_many_remainders_is_left_to_validation() -> None:
    found = grammar(signature_of(A[int, Field(multiple_of=997)]), "o0")

    assert found == grammar(signature_of(int), "o0")
    assert grammar(signature_of(A[int, Field(multiple_of=997, ge=0, le=5000)]), "o0") == (
        'root ::= "0" | "997" | "1994" | "2991" | "3988" | "4985"'
    )
