"""Default bounds for the length of a reply.

Every string and array in a schema has a bound, so that a reply always ends. Without a bound of the user, ours are
1,000 characters for a string, 11 strings of 136 characters for a list of strings, and 61 numbers for a list of
numbers. So a list has at most 1,500 characters. Nested lists keep these bounds at every level, since real values
would reach smaller ones. In a grammar, a mapping has at most 61 keys of 100 characters, and a number 33 digits before
the point and 21 after it. Our bounds of items, keys and digits are odd numbers, because a reply that fills one exactly
counts as cut, unless it is a list or a text that ends in a loop. The user's own bounds are sent up to 4,000 characters
and 500 items; to a server only up to 1,000 characters, because one runner crashes at 3,000.
"""

from collections.abc import Iterable, Sequence
from decimal import Decimal
from enum import IntEnum
from typing import TYPE_CHECKING, Any

from tunesmith.lazy import lazy_module

if TYPE_CHECKING:
    from tunesmith.signatures import forms
else:
    forms = lazy_module("tunesmith.signatures.forms")  # few fields have a form

__all__ = [
    "HELD",
    "LISTED_CHARACTERS",
    "LONG_ITEMS",
    "MOST_CHARACTERS",
    "MOST_CHOICES",
    "MOST_DECLARED",
    "MOST_ITEMS",
    "MOST_LABELS",
    "MOST_KEY",
    "OWN_DIGITS",
    "OWN_FRACTION",
    "OWN_ITEMS",
    "OWN_KEYS",
    "OWN_LENGTH",
    "Filled",
    "Node",
    "UnsupportedError",
    "filled",
    "listed_room",
    "own_digits",
    "own_count",
    "own_items",
    "without_marks",
]

Node = dict[str, Any]

# Marks on a node with our own bound; removed before a schema is sent.
OWN_LENGTH = "x-own-length"
OWN_ITEMS = "x-own-items"
OWN_DIGITS = "x-own-digits"
# A mark with constraints that only a grammar can enforce; removed as well.
HELD = "x-held"

MOST_CHARACTERS = 1000
MOST_DECLARED = 4000
MOST_ITEMS = 500
MOST_LABELS = 200
"""The maximal size of a closed set in a schema: a server takes seconds per call for 500 labels."""
MOST_CHOICES = 3000
"""The maximal size of a closed set in a grammar."""
MOST_KEY = 100
LONG_ITEMS = 11
OWN_KEYS = 61
_SHORT_ITEMS = 61
_ROOM = 1499
LISTED_CHARACTERS = _ROOM // LONG_ITEMS
_LEAST_CHARACTERS = 100
_LEAST_REPEATED = 4
_MOST_PERIOD = 200
_LEAST_LOOP = 200
"""The minimal length of a loop in a text: shorter repetition can be a line of a table, or an item of a list."""
_OWN_DIGITS = 33
OWN_FRACTION = 21
"""The maximal digits after the point of a number without a declared limit."""


class UnsupportedError(Exception):
    """A type, or a part of it, has no safe schema."""


def listed_room(room: int, most: int) -> int:
    """Return our bound for a string in an array of at most `most` items; outside the array it is `room`."""
    return min(room, max(_LEAST_CHARACTERS, _ROOM // most))


def own_digits(*bounds: Any) -> int:
    """Return our bound for the digits before the point: more than any likely number, or any given bound, has."""
    return max([_OWN_DIGITS, *(len(str(abs(int(bound)))) + 2 for bound in bounds if bound is not None)])


def own_items(inside: Node | None) -> int:
    """Return our bound for an array of `inside`: many short items, or few texts or arrays."""
    return _SHORT_ITEMS if inside is None or _is_short(inside) else LONG_ITEMS


def own_count(own: int, least: int) -> int:
    """Return our bound for at least `least` items or keys: odd, above the minimum, and `own` or more."""
    return max(own, min(2 * least + 1, MOST_ITEMS - 1), (least + 1) | 1)


def _is_short(node: Node) -> bool:
    if "anyOf" in node:
        return all(_is_short(one) for one in node["anyOf"])
    if node.get("type") == "object":
        return "properties" in node and all(map(_is_short, node["properties"].values()))
    return node.get("type") != "array" and "maxLength" not in node


def without_marks(node: Any) -> Any:
    """Return a copy of a schema without our marks."""
    if isinstance(node, dict):
        return {
            key: value if key in ("enum", "required") else _unmarked(key, value)
            for key, value in node.items()
            if key not in (OWN_LENGTH, OWN_ITEMS, OWN_DIGITS, HELD)
        }
    return [without_marks(item) for item in node] if isinstance(node, list) else node


def _unmarked(key: str, value: Any) -> Any:
    if key == "properties":  # a property may bear any name
        return {name: without_marks(inside) for name, inside in value.items()}
    return without_marks(value)


class Filled(IntEnum):
    """Whether a value ends at one of our own bounds."""

    NO = 0
    REPEATING = 1
    """A list or a text ends at a bound, within a loop; what is missing is most likely more of the loop."""
    CUT = 2
    """A part of the value may be missing."""


def filled(node: Node, value: Any) -> Filled:
    """Return whether a string, number, array or mapping in `value` is exactly as long as one of our bounds."""
    if "anyOf" in node:
        return _most(filled(one, value) for one in node["anyOf"])
    if isinstance(value, str):
        if len(value) != node.get(OWN_LENGTH) and not _fills_held(node.get(HELD, {}), value):
            return Filled.NO
        # Every character of an address or a number matters, and a loop in prose adds nothing.
        is_prose = not {"form", "pattern"} & node.get(HELD, {}).keys()
        return Filled.REPEATING if is_prose and _is_loop(value) else Filled.CUT
    if isinstance(value, (int, float, Decimal)):
        return _cut(_fills_digits(node, value))
    if isinstance(value, list):
        return _filled_array(node, value)
    if isinstance(value, dict) and node.get("type") == "object":
        properties, rest = node.get("properties", {}), node.get("additionalProperties")
        inside = ((properties.get(key, rest), item) for key, item in value.items())
        at_bound = len(value) == node.get(OWN_ITEMS) or (
            isinstance(rest, dict) and any(len(key) == MOST_KEY for key in value)
        )
        return _most([_cut(at_bound), *(filled(one, item) for one, item in inside if isinstance(one, dict))])
    return Filled.NO


def _filled_array(node: Node, items: list[Any]) -> Filled:
    first, inside = node.get("prefixItems"), node.get("items")
    if first is not None:
        return _most(filled(one, item) for one, item in zip(first, items, strict=False))
    own = Filled.NO
    if len(items) == node.get(OWN_ITEMS):
        own = Filled.REPEATING if _repeats(items, _LEAST_REPEATED) else Filled.CUT
    return _most([own, *(filled(inside, item) for item in items if inside is not None)])


def _is_loop(text: str) -> bool:
    """Return whether the end of a text is a long loop of words; signs alone can be a line in a table, or space."""
    has_words = any(map(str.isalnum, text[-_MOST_PERIOD:]))
    return has_words and len(text) >= _LEAST_LOOP and _repeats(text, _LEAST_LOOP)


def _repeats(items: Sequence[Any], least: int) -> bool:
    """Return whether a third of a list or a text, and `least` items, only repeat one to a few items or characters."""
    third = -(-len(items) // 3)
    for period in range(1, min(len(items) // 3, _MOST_PERIOD) + 1):
        if items[-1] == items[-1 - period]:  # comparing the whole tail takes longer
            tail = items[-max(least, third, 3 * period) :]
            if tail[:-period] == tail[period:]:
                return True
    return False


def _most(found: Iterable[Filled]) -> Filled:
    return max(found, default=Filled.NO)


def _cut(is_cut: bool) -> Filled:  # noqa: FBT001
    return Filled.CUT if is_cut else Filled.NO


def _fills_held(held: Node, text: str) -> bool:
    if "pattern" not in held:
        return forms.fills_form(held.get("form", ""), text)
    from tunesmith.signatures.gbnfpattern import fills_pattern  # imported here, because few types have a pattern

    return fills_pattern(held, text)


def _fills_digits(node: Node, value: Any) -> bool:
    own, held = node.get(OWN_DIGITS), node.get(HELD, {})
    if own is None or isinstance(value, (bool, float)):  # `parse_json` reads a long run of digits as an int or Decimal
        return False
    if isinstance(value, Decimal) and int(value.as_tuple().exponent) > 0:
        return False  # written with an exponent
    if 10 ** (own - 1) <= abs(value) < 10**own:
        side = ("maximum", "high") if value > 0 else ("minimum", "low")
        return side[0] not in node and side[1] not in held
    places = -int(value.as_tuple().exponent) if isinstance(value, Decimal) else 0
    return places == OWN_FRACTION and "places" not in held
