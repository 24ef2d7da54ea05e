"""Read numbers as people and models write them."""

import re
from collections.abc import Iterator
from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal, InvalidOperation

__all__ = ["as_decimal", "is_near", "last_number", "numbers_in", "whole_number"]

_CURRENCY = "$€£¥"
_CORE = r"(?:\d{1,3}(?:,\d{3})+(?!\d)(?:\.\d+)?|\d+(?:\.\d+)?|(?<!\w)\.\d+)(?:[eE][-+]?\d+(?!\w))?"
_NUMBER = re.compile(_CORE)
_WHOLE = re.compile(rf"([-+−]?)\s?[{_CURRENCY}]?([-+−]?)({_CORE})\s?%?\.?")

# Precise enough for any written number; overflow raises nothing.
_EXACT = Context(prec=60, Emax=MAX_EMAX, Emin=MIN_EMIN, traps=[])


def numbers_in(text: str) -> Iterator[Decimal]:
    """Yield the numbers of a text in order: "-$1,234.50" is -1234.5, "45%" is 45, "1e-3" is 0.001.

    A minus is a sign only if no letter, digit or bracket precedes it: "5-3" holds 5 and 3.
    A comma separates thousands only before exactly three digits.
    """
    for match in _NUMBER.finditer(text):
        number = _decimal(match.group())
        if number is not None:
            # The unary minus would round.
            yield number.copy_negate() if _is_negative(text, match.start()) else number


def last_number(text: str) -> Decimal | None:
    """Return the last number of a text, or `None`."""
    number = None
    for number in numbers_in(text):  # noqa: B007 - returns the last one
        pass
    return number


def whole_number(text: str) -> Decimal | None:
    """Return the number if a text is one number, with or without currency sign, percent sign and full stop."""
    match = _WHOLE.fullmatch(text.strip())
    if match is None:
        return None
    number = _decimal(match.group(3))
    if number is None:
        return None
    return number.copy_negate() if set("-−") & {match.group(1), match.group(2)} else number


def as_decimal(number: int | float | Decimal) -> Decimal:
    """Return a number as the decimal that Python prints: 0.1 is 0.1, not its binary neighbour."""
    return Decimal(repr(float(number))) if isinstance(number, float) else Decimal(number)


def is_near(one: Decimal, other: Decimal, rel: float, abs_: float) -> bool:
    """Return whether two numbers differ by at most `abs_`, or `rel` times the larger of them."""
    if not (one.is_finite() and other.is_finite()):
        return False
    if one == other:
        return True
    gap = _EXACT.abs(_EXACT.subtract(one, other))
    larger = max(_EXACT.abs(one), _EXACT.abs(other))
    return gap <= max(_EXACT.multiply(as_decimal(rel), larger), as_decimal(abs_))


def _decimal(digits: str) -> Decimal | None:
    try:
        return Decimal(digits.replace(",", ""))
    except InvalidOperation:  # an exponent of twenty digits
        return None


def _is_negative(text: str, start: int) -> bool:
    if start > 0 and text[start - 1] in _CURRENCY:
        start -= 1
    if start == 0 or text[start - 1] not in "-−":
        return False
    before = text[start - 2 : start - 1]
    return not (before.isalnum() or before in (")", "]"))
