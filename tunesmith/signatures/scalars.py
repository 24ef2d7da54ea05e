"""Safe schemas of scalars (text, numbers, choices) and of any value."""

import math
from collections.abc import Callable
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from tunesmith.lazy import lazy_module
from tunesmith.signatures.bounds import (
    HELD,
    LISTED_CHARACTERS,
    LONG_ITEMS,
    MOST_CHARACTERS,
    MOST_CHOICES,
    MOST_DECLARED,
    MOST_LABELS,
    OWN_DIGITS,
    OWN_ITEMS,
    OWN_KEYS,
    OWN_LENGTH,
    Node,
    UnsupportedError,
    own_digits,
)

if TYPE_CHECKING:
    from tunesmith.signatures import forms
    from tunesmith.signatures import pattern as patterns
else:
    forms = lazy_module("tunesmith.signatures.forms")  # few fields have a form or a pattern
    patterns = lazy_module("tunesmith.signatures.pattern")

__all__ = [
    "EXACT",
    "SCHEMES",
    "ZONE",
    "any_node",
    "integer_node",
    "labels_node",
    "number_node",
    "ordered",
    "string_node",
]

Note = Callable[[str], None]

SCHEMES = "x-schemes"
"""The key for a URL's schemes."""
EXACT = "x-exact"
"""The key for a decimal's bounds, in the form that `gbnfnumber` takes, or for a date's bounds."""
ZONE = "x-zone"
"""The key for a datetime or time that must be `aware` or `naive`."""
_MOST_LABEL_TEXT = 20_000
_MOST_INTEGER = 10**15
_RANGE = (
    ("minimum", "low", "above", False),
    ("exclusiveMinimum", "low", "above", True),
    ("maximum", "high", "below", False),
    ("exclusiveMaximum", "high", "below", True),
)
_DATE = "[0-9]{4}-[0-9]{2}-[0-9]{2}"
_TIME = "[0-9]{2}:[0-9]{2}:[0-9]{2}"


def labels_node(labels: Any, note: Note) -> Node:
    """Return the node of a choice among values; a choice that is too large becomes its plain type."""
    if not isinstance(labels, list) or not labels:
        raise UnsupportedError("it is a choice among no values")
    for label in labels:
        if not (label is None or isinstance(label, (str, int, float))):
            raise UnsupportedError(f"it has the choice {label!r}, which is not text or number")
        if isinstance(label, float) and not math.isfinite(label):
            raise UnsupportedError(f"it has the choice {label!r}, which JSON cannot hold")
    if len(labels) > MOST_LABELS:
        note(f"a choice among more than {MOST_LABELS} values is too slow for servers")
        return _held_labels(labels, _open_labels(labels))
    texts = sum(len(label) for label in labels if isinstance(label, str))
    numbers = [label for label in labels if isinstance(label, (int, float))]
    if texts > _MOST_LABEL_TEXT or any(abs(number) > _MOST_INTEGER for number in numbers):
        note("a choice among very long texts or large numbers is not sent to engines")
        return _open_labels(labels)
    return {"enum": list(labels)}


def _held_labels(labels: list[Any], node: Node) -> Node:
    """Return the node with a mark of the choices, if they are texts that a grammar can list."""
    if len(labels) > MOST_CHOICES or not all(isinstance(label, str) for label in labels):
        return node
    return {**node, HELD: {"labels": labels}}


def _open_labels(labels: list[Any]) -> Node:
    options: list[Node] = []
    texts = [label for label in labels if isinstance(label, str)]
    if texts:
        longest = max(1, *(len(text) for text in texts))
        options.append({"type": "string", "maxLength": min(longest, MOST_CHARACTERS)})
    if any(isinstance(label, bool) for label in labels):
        options.append({"type": "boolean"})
    numbers = [x for x in labels if isinstance(x, (int, float)) and not isinstance(x, bool)]
    if numbers:
        whole = all(isinstance(number, int) for number in numbers)
        options.append({"type": "integer" if whole else "number"})
    if None in labels:
        options.append({"type": "null"})
    return options[0] if len(options) == 1 else {"anyOf": options}


def string_node(schema: Node, room: int, note: Note) -> Node:
    """Return the node of a text: its format or pattern if engines enforce it, else its length."""
    shaped = _shaped(schema, room, note)
    if shaped is not None:
        return shaped
    least, most = ordered(schema.get("minLength"), schema.get("maxLength"), "characters")
    if least > MOST_CHARACTERS:
        raise UnsupportedError(
            f"it asks for at least {least} characters, and engines can be asked for at most "
            f"{MOST_CHARACTERS}. Lower `min_length`"
        )
    node: Node = {"type": "string", "minLength": least} if least else {"type": "string"}
    node |= _held(schema, room)
    if most is not None and most > MOST_CHARACTERS:
        who = "servers" if most <= MOST_DECLARED else "engines"
        note(f"a length over {MOST_CHARACTERS if who == 'servers' else MOST_DECLARED} is not sent to {who}")
    if most is not None and most <= MOST_DECLARED:
        return node | {"maxLength": most}
    own = MOST_CHARACTERS if most is not None else room
    own = min(MOST_CHARACTERS, max(own, 2 * least))
    return node | {"maxLength": own, OWN_LENGTH: own}


def _can_be_held(pattern: str) -> bool:
    from tunesmith.signatures.regex import read_regex  # imported here, because few types have a pattern

    return read_regex(pattern) is not None


def _held(schema: Node, room: int) -> Node:
    """Return the constraints on a text that a grammar can enforce."""
    form, pattern = schema.get("format"), schema.get("pattern")
    if isinstance(pattern, str) and _can_be_held(pattern):
        least, most = ordered(schema.get("minLength"), schema.get("maxLength"), "characters")
        return {HELD: {"pattern": pattern, "least": least, "most": most, "own": min(room, MOST_CHARACTERS)}}
    if form in ("uri", "multi-host-uri"):
        return {HELD: {"form": "uri", "schemes": schema.get(SCHEMES, [])}}
    return {HELD: {"form": form}} if isinstance(form, str) and form in forms.FORMS else {}


def _days(bounds: Node, note: Note) -> Node:
    """Return the bounds of a date that are set."""
    if bounds:
        note("bounds of a date are not enforced by servers")
    if len(bounds) == 2 and bounds["low"] > bounds["high"]:  # ISO dates sort like text
        raise UnsupportedError("no day is within its bounds")
    return bounds


def _shaped(schema: Node, room: int, note: Note) -> Node | None:
    form = schema.get("format")
    if form == "date":
        return {"type": "string", "format": "date", HELD: {"form": "date", **_days(schema.get(EXACT, {}), note)}}
    if form in ("date-time", "time"):
        # Engines' own formats require a time zone, but a time without one is valid too.
        local = f"{_DATE}T{_TIME}" if form == "date-time" else _TIME
        without_zone: Node = {"type": "string", "pattern": f"^{local}$", HELD: {"form": f"local-{form}"}}
        kinds = {"naive": [without_zone], "aware": [{"type": "string", "format": form, HELD: {"form": form}}]}
        found = kinds.get(str(schema.get(ZONE)), [*kinds["naive"], *kinds["aware"]])
        return found[0] if len(found) == 1 else {"anyOf": found}
    if isinstance(form, str) and form.startswith("uuid"):
        return {"type": "string", "format": "uuid", **({} if form == "uuid" else _held(schema, room))}
    if form is not None:
        note(f"the format {form!r} is not enforced by engines")
    pattern = schema.get("pattern")
    if pattern is None:
        return None
    rewritten = patterns.rewrite_pattern(pattern) if isinstance(pattern, str) else None
    if rewritten is None:
        note(f"the pattern {pattern!r} is not sent, because engines fail on such")
        return None
    if "minLength" in schema or "maxLength" in schema:
        note("a length beside a pattern is not enforced by servers")
    held = _held(schema, room).get(HELD)
    mark = {} if held is None else {HELD: {**held, "sent": patterns.OWN_COUNT}}
    return {"type": "string", "pattern": rewritten, **mark}


def number_node(schema: Node, note: Note) -> Node:
    """Return the node of a number; only a grammar enforces its bounds."""
    held = _bounds(schema, note)
    if {"low", "high"} & held.keys():
        note("number range is not enforced by servers")
    if {"places", "digits"} & held.keys():
        note("a number of digits is not enforced by servers")
    node: Node = {"type": "number"}
    if held:
        node[HELD] = held if EXACT in schema else {**held, "float": True}
    return _with_own_digits(node, held.get("low"), held.get("high"))


def integer_node(schema: Node, note: Note) -> Node:
    """Return the node of an integer with inclusive bounds."""
    held = _bounds(schema, note)
    low, high = _inclusive(held)
    if low is not None and high is not None and low > high:
        raise UnsupportedError("no integer is within its bounds")
    node: Node = {"type": "integer"}
    mark: Node = {"step": held["step"]} if "step" in held else {}
    for key, name, bound in (("minimum", "low", low), ("maximum", "high", high)):
        if bound is not None and abs(bound) > _MOST_INTEGER:
            note(f"a bound beyond {_MOST_INTEGER} is not sent to servers")
            mark[name] = str(bound)
        elif bound is not None:
            node[key] = bound
    if mark:
        node[HELD] = mark
    return _with_own_digits(node, low, high)


def _inclusive(held: Node) -> tuple[int | None, int | None]:
    low, high = (Decimal(held[name]) if name in held else None for name in ("low", "high"))
    least = None if low is None else math.floor(low) + 1 if held["above"] else math.ceil(low)
    return least, None if high is None else math.ceil(high) - 1 if held["below"] else math.floor(high)


def _with_own_digits(node: Node, low: Any, high: Any) -> Node:
    return (
        node
        if None not in (low, high)
        else node | {OWN_DIGITS: own_digits(*(Decimal(x) for x in (low, high) if x is not None))}
    )


def _bounds(schema: Node, note: Note) -> Node:
    """Return the bounds of a number as text: exact if the schema has them, else as rounded by pydantic."""
    found: Node = dict(schema.get(EXACT, ()))
    for key, name, mark, is_open in () if EXACT in schema else _RANGE:
        value = schema.get(key)
        if value is not None and math.isfinite(value) and not _looser(found.get(name), name, Decimal(str(value))):
            found |= {name: str(value), mark: is_open}
    if schema.get("multipleOf") and EXACT not in schema:
        found["step"] = str(schema["multipleOf"])
    if "step" in found:
        note("a multiple of a number is not enforced by servers")
    return found


def _looser(known: str | None, name: str, value: Decimal) -> bool:
    if known is None:
        return False
    return value < Decimal(known) if name == "low" else value > Decimal(known)


def any_node(room: int, note: Note) -> Node:
    """Return the node for a value of any type: a scalar, or a flat list or object of scalars."""
    note("any JSON value is asked for as a scalar, a list of scalars or an object of scalars")
    others: list[Node] = [{"type": "number"}, {"type": "boolean"}, {"type": "null"}]
    inside = {"anyOf": [_own_text(min(room, LISTED_CHARACTERS)), *others]}
    listed = {
        "type": "array",
        "items": inside,
        "maxItems": LONG_ITEMS,
        OWN_ITEMS: LONG_ITEMS,
    }
    keyed = {"type": "object", "additionalProperties": inside, OWN_ITEMS: OWN_KEYS}
    return {"anyOf": [_own_text(room), *others, listed, keyed]}


def _own_text(length: int) -> Node:
    return {"type": "string", "maxLength": length, OWN_LENGTH: length}


def ordered(least: Any, most: Any, of: str) -> tuple[int, int | None]:
    """Return a lower and an upper count; the defaults are 0 and `None`.

    Raises:
        UnsupportedError: the lower count exceeds the upper.
    """
    low = 0 if least is None else max(0, int(least))
    high = None if most is None else max(0, int(most))
    if high is not None and low > high:
        raise UnsupportedError(f"it asks for at least {low} and at most {high} {of}")
    return low, high
