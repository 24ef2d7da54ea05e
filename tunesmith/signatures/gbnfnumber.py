"""Grammars of numbers within bounds, on a step, with a limited number of digits.

A number is digits with at most one point, without an exponent. The grammar works digit by digit: while the digits equal
the prefix of a bound, the bound limits the next digit; after that, any digit may follow. For a step, each remainder
is a rule of its own.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any

from tunesmith.signatures.bounds import OWN_FRACTION, own_digits

__all__ = ["number_rules"]

_MOST_LISTED = 200
_MOST_STATES = 400
_EXACT = 15  # digits that a float keeps
_DIVIDED = 20  # digits of a decimal that Python divides exactly, including some after the point
_DIGITS = "0123456789"


def number_rules(held: Mapping[str, Any], rule: str) -> tuple[str, list[str]]:
    """Return the body of a rule for the numbers that `held` allows, and further rules that it uses.

    Args:
        held: optional keys, with numbers as text: `low` and `high` (inclusive; exclusive with `above` or `below`),
            `step`, `places` (maximal digits after the point), `digits` (maximal digits in all); `float` if values are
            rounded to a float.
        rule: prefix for the names of further rules.
    """
    grid = _grid(held)
    if grid.places == 0 and grid.low is not None and grid.high is not None:
        first = -(-grid.low // grid.step) * grid.step
        if (grid.high - first) // grid.step < _MOST_LISTED:
            return " | ".join(f'"{number}"' for number in range(first, grid.high + 1, grid.step)), []
    try:
        return _written(grid, rule)
    except _TooManyError:
        return _written(_Grid(grid.low, grid.high, 1, grid.places, grid.digits, grid.own), rule)


class _TooManyError(Exception):
    """The step would need too many rules."""


@dataclass(frozen=True, slots=True)
class _Grid:
    """Bounds in whole numbers of the smallest unit that may be written.

    Attributes:
        low: the minimum, `None` for no bound.
        high: the maximum, `None` for no bound.
        step: in units.
        places: digits after the point.
        digits: maximal digits in all, `None` for no bound.
        own: our maximal digits before the point, without a bound.
    """

    low: int | None
    high: int | None
    step: int
    places: int
    digits: int | None
    own: int


def _grid(held: Mapping[str, Any]) -> _Grid:
    low, high, step = (Fraction(held[key]) if key in held else None for key in ("low", "high", "step"))
    places = _places(held)
    scale, digits = 10**places, held.get("digits")
    if digits is not None and "places" in held:
        most = 10 ** max(0, digits - held["places"]) - Fraction(1, scale)
        low, high, digits = max(-most, -most if low is None else low), min(most, most if high is None else high), None
    return _Grid(
        None if low is None else _up(low * scale, by=bool(held.get("above"))),
        None if high is None else -_up(-high * scale, by=bool(held.get("below"))),
        1 if step is None or digits is not None else int(step * scale),
        places,
        digits,
        own_digits(low, high) if step is None or held.get("integer") else _EXACT if held.get("float") else _DIVIDED,
    )


def _up(value: Fraction, *, by: bool) -> int:
    return math.floor(value) + 1 if by else math.ceil(value)


def _places(held: Mapping[str, Any]) -> int:
    """Return how many digits may follow the point."""
    if held.get("integer"):
        return 0
    most: int = held.get("places", OWN_FRACTION)
    if "step" in held:
        least = 1 if held.get("float") else 0  # a float is written as `2.0`
        most = min(most, max(least, len(f"{Decimal(held['step']):f}".partition(".")[2].rstrip("0"))))
    if held.get("float"):  # a closer number would be rounded to the exclusive bound
        bounds = [float(held[key]) for key, is_open in (("low", "above"), ("high", "below")) if held.get(is_open)]
        most = min([most, *(max(0, math.floor(-math.log10(math.ulp(bound)))) for bound in bounds if bound)])
    return most


def _written(grid: _Grid, rule: str) -> tuple[str, list[str]]:
    rules = _Digits(grid, rule)
    low, high = grid.low, grid.high
    parts: list[str] = []
    if high is None or high >= 0:
        parts += rules.magnitudes(0 if low is None else max(0, low), high)
    if low is None or low < 0:
        if low is None and high is None:
            return f'"-"? {_joined(parts)}', rules.lines
        below = rules.magnitudes(1 if high is None else max(1, -high), None if low is None else -low)
        parts += [f'"-" ({" | ".join(below)})'] if below else []
    return " | ".join(parts), rules.lines


class _Digits:
    """Writes the digits of magnitudes; `lines` collects the rules of a step."""

    def __init__(self, grid: _Grid, rule: str) -> None:
        self.lines: list[str] = []
        self._grid, self._rule = grid, rule
        self._names: dict[tuple[int, int, int], str | None] = {}

    def magnitudes(self, low: int, high: int | None) -> list[str]:
        """Return alternatives for the numbers from `low` to `high`, with the point."""
        grid = self._grid
        if high is None:
            high = 10 ** (grid.own + grid.places) - 1
        found, whole = list[str](), list[int]()
        for count in range(self._length(low), self._length(high) + 1):
            places = grid.places if grid.digits is None else min(grid.places, grid.digits - count)
            if places < 0:
                break
            scale = 10 ** (grid.places - places)
            part = _Length(self, count, places, -(-low // scale), high // scale)
            if grid.step == 1 and grid.digits is None and part.is_whole():
                whole.append(count)
            else:
                body = part.written()
                found += [] if body is None else [body]
        return ([self._whole(whole[0], whole[-1])] if whole else []) + found

    def _whole(self, least: int, most: int) -> str:
        """Return a pattern for all numbers with `least` to `most` digits before the point."""
        zero = least == 1
        more = f"[1-9] {_any(most - 1, least=least - 1)}".strip()
        return (f'("0" | {more})' if zero else more) + self._fraction(self._grid.places)

    def _length(self, units: int) -> int:
        return len(str(units // 10**self._grid.places))

    def _fraction(self, places: int) -> str:
        return f' ("." {_any(places, least=1)})?' if places else ""

    def free(self, before: int, behind: int, remainder: int) -> str | None:
        """Return a pattern for any further digits: exactly `before` before the point, at most `behind` after it."""
        if self._grid.step == 1:
            return f"{_any(before)}{self._fraction(behind)}".strip()
        return self._rest((before, behind, 0), remainder)

    def behind(self, left: int, remainder: int) -> str | None:
        """Return a pattern for at most `left` more digits, after the point and its first digit."""
        if self._grid.step == 1:
            return _any(left, least=0)
        return self._rest((0, left, 1), remainder)

    def reduced(self, remainder: int, left: int) -> int:
        """Return the part of the remainder that matters with `left` digits left."""
        step = self._grid.step
        return remainder % (step // math.gcd(step, 10**left))

    def ends(self, remainder: int, left: int) -> bool:
        """Return whether zeros in all remaining places give a multiple of the step."""
        return remainder * 10**left % self._grid.step == 0

    def _rest(self, place: tuple[int, int, int], remainder: int) -> str | None:
        before, behind, inside = place
        left = before + behind
        if left == 0:
            return "" if self.ends(remainder, 0) else None
        key = (before, behind * 2 + inside, self.reduced(remainder, left))
        if key not in self._names:
            if len(self._names) >= _MOST_STATES:
                raise _TooManyError
            body = self._state(before, behind, inside, key[2])
            self._names[key] = name = None if body is None else f"{self._rule}-s{len(self._names)}"
            if name is not None:
                self.lines.append(f"{name} ::= {body}")
        return self._names[key]

    def _state(self, before: int, behind: int, inside: int, remainder: int) -> str | None:
        following: dict[str, list[str]] = {}
        for digit in _DIGITS:
            place = (before - 1, behind, 0) if before else (0, behind - 1, 1)
            then = self._rest(place, remainder * 10 + int(digit))
            if then is not None:
                following.setdefault(then, []).append(digit)
        found = " | ".join(f"{_class(digits)} {then}".strip() for then, digits in following.items())
        if before == 0 and not inside and found:
            found = f'"." ({found})'
        if before == 0 and self.ends(remainder, behind):
            return f"({found})?" if found else '""'
        return found or None


@dataclass(frozen=True, slots=True)
class _Length:
    """Numbers with a fixed number of digits before the point, from `low` to `high` in units of the last place."""

    rules: _Digits
    count: int
    places: int
    low: int
    high: int

    def is_whole(self) -> bool:
        first = 10 ** (self.count - 1 + self.places) if self.count > 1 else 0
        return self.low <= first and self.high >= 10 ** (self.count + self.places) - 1

    def written(self) -> str | None:
        first = 10 ** (self.count - 1 + self.places) if self.count > 1 else 0
        last = 10 ** (self.count + self.places) - 1
        low, high = max(self.low, first), min(self.high, last)
        if low > high:
            return None
        size = self.count + self.places
        return self._from(
            0, 0, str(low).zfill(size) if low > first else "", str(high).zfill(size) if high < last else ""
        )

    def _from(self, at: int, remainder: int, low: str, high: str) -> str | None:
        """Return a pattern for the digits from `at` on; a bound limits them while they equal its prefix."""
        left = self.count + self.places - at
        if at == self.count and self.places:
            inside = self._digit(at, remainder, low, high)
            stop = self.rules.ends(remainder, left) and not low.strip("0")
            return f'("." {inside})?' if stop and inside else f'"." {inside}' if inside else "" if stop else None
        if left == 0:
            return "" if self.rules.ends(remainder, 0) else None
        if not low and not high and at:
            return self.rules.free(left - self.places, self.places, remainder)
        return self._digit(at, remainder, low, high)

    def _after(self, at: int, remainder: int, low: str, high: str) -> str | None:
        if at <= self.count:
            return self._from(at, remainder, low, high)
        left = self.count + self.places - at
        if not low and not high:
            return self.rules.behind(left, remainder)
        stop = self.rules.ends(remainder, left) and not low.strip("0")
        more = self._digit(at, remainder, low, high) if left else None
        return f"({more})?" if stop and more else more or ("" if stop else None)

    def _digit(self, at: int, remainder: int, low: str, high: str) -> str | None:
        least = int(low[0]) if low else 1 if at == 0 and self.count > 1 else 0
        most = int(high[0]) if high else 9
        following: dict[str, list[str]] = {}
        for digit in range(least, most + 1):
            then = self._after(
                at + 1,
                remainder * 10 + digit,
                low[1:] if low and digit == least else "",
                high[1:] if high and digit == most else "",
            )
            if then is not None:
                following.setdefault(then, []).append(str(digit))
        parts = [f"{_class(digits)} {then}".strip() for then, digits in following.items()]
        return _joined(parts) if parts else None


def _joined(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"({' | '.join(parts)})"


def _any(count: int, *, least: int | None = None) -> str:
    """Return a pattern for `count` digits, or for `least` to `count` digits."""
    if count == 0:
        return ""
    if least is None or least == count:
        return "[0-9]" if count == 1 else f"[0-9]{{{count}}}"
    return f"[0-9]{{{least},{count}}}"


def _class(digits: list[str]) -> str:
    if len(digits) == 1:
        return f'"{digits[0]}"'
    if int(digits[-1]) - int(digits[0]) == len(digits) - 1:
        return f"[{digits[0]}-{digits[-1]}]"
    return f"[{''.join(digits)}]"
