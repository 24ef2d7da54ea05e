"""Labels, predicted values, and when two values are the same."""

import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum
from typing import Any, Final

from pydantic import BaseModel, PydanticUserError, Secret, SecretBytes, SecretStr, TypeAdapter
from pydantic_core import to_jsonable_python

from tunesmith.data import MISSING, Score
from tunesmith.errors import MetricError, UsageError, shown
from tunesmith.metrics.digits import as_decimal, is_near, whole_number
from tunesmith.metrics.wording import same_text
from tunesmith.signatures import Example, without_numpy

__all__ = [
    "MISSING",
    "MISSING_FIELD",
    "checked_fields",
    "common_fields",
    "given",
    "items_of",
    "judged",
    "label_of",
    "listed",
    "missing",
    "one_field",
    "plain",
    "same",
    "text_of",
    "texts_of",
]


MISSING_FIELD: Final = ": missing;"
"""The feedback for a prediction that lacks the field."""

_SHOWN = 80


def checked_fields(names: Iterable[object]) -> None:
    """Raise `UsageError` if a field name is not text."""
    for name in names:
        if not isinstance(name, str) or name == "":
            raise UsageError(f"A field name must be text. Given: {shown(name)}.")


def label_of(example: Example, field: str) -> Any:
    """Return a label.

    Raises:
        MetricError: the example lacks it.
    """
    if not isinstance(example, Example):
        raise MetricError(f"A metric judges an example. Given: {shown(example)}.")
    if field not in example:
        names = ", ".join(map(str, example.keys()))
        raise MetricError(f"The example has no label `{field}`. It has: {names}.")
    return example[field]


def given(prediction: object, field: str) -> Any:
    """Return the value of a predicted field, or `MISSING`."""
    if isinstance(prediction, (Example, Mapping)):
        return prediction.get(field, MISSING)
    if isinstance(prediction, BaseModel):
        names: Iterable[str] = type(prediction).model_fields
    elif is_dataclass(prediction):
        names = [item.name for item in fields(prediction)]
    else:
        return MISSING
    return getattr(prediction, field, MISSING) if field in names else MISSING


def common_fields(example: Example, prediction: object) -> tuple[str, ...]:
    """Return the labels (fields that are not inputs) that the prediction has, or all labels if it has none.

    Raises:
        MetricError: the example has no labels, or does not say which of its fields are inputs.
    """
    if not isinstance(example, Example):
        raise MetricError(f"A metric judges an example. Given: {shown(example)}.")
    try:
        labels = tuple(example.labels().keys())
    except ValueError as error:
        raise MetricError(
            "The example does not say which fields are its inputs. Call `with_inputs(...)` on it, "
            "or name the field that the metric compares."
        ) from error
    if not labels:
        raise MetricError("The example has no labels. Give it one, or name another metric.")
    return tuple(name for name in labels if given(prediction, name) is not MISSING) or labels


def one_field(example: Example, prediction: object, field: str | None) -> str:
    """Return `field`, or the only label that the prediction has.

    Raises:
        MetricError: there is no such label, or more than one.
    """
    if field is not None:
        return field
    names = common_fields(example, prediction)
    if len(names) > 1 and given(prediction, names[0]) is not MISSING:
        raise MetricError(f"The prediction has several labels: {', '.join(names)}. Name the field to compare.")
    return names[0]


def missing(field: str, prediction: object) -> Score:
    """Return the score of a prediction without the field: zero, since it is the program's fault."""
    if isinstance(prediction, (Example, Mapping)):
        names = ", ".join(shown(name, 40) for name in list(prediction.keys())[:8])
        has = f"the prediction has {names}" if names else "the prediction is empty"
    else:
        has = f"the prediction is a {type(prediction).__name__}"
    return Score(0.0, f"{field}{MISSING_FIELD} {has}")


def judged(field: str, value: float, expected: object, got: object, note: str = "") -> Score:
    """Return a score with the expected and the actual value as feedback."""
    value = float(value)
    if value == 1:
        return Score(value, f"{field}: correct")
    return Score(value, f"{field}: {note}expected {shown(expected, _SHOWN)}, got {shown(got, _SHOWN)}")


def listed(items: Sequence[object], most: int) -> str:
    """Return the first `most` of some values, as the words of a score name them."""
    return ", ".join([*(shown(item, 40) for item in items[:most]), *(["..."] if len(items) > most else [])])


def text_of(value: object) -> str | None:
    """Return the JSON text of a scalar; `None` for any other value."""
    value = plain(value)
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, (int, float, Decimal)):
        return format(as_decimal(value), "f") if _is_short(value) else None
    return value.isoformat() if isinstance(value, (date, time)) else _json_text(value)


def texts_of(value: object) -> list[str | None]:
    """Return the text of a scalar, or the texts of the items of a list or a set; `None` for an item without text."""
    items = items_of(value)
    return [text_of(item) for item in ([value] if items is None else items)]


def items_of(value: object) -> list[Any] | None:
    """Return the items of a list or a set (a set in a fixed order); `None` for any other value."""
    value = plain(value)
    if isinstance(value, _SETS):
        return sorted(value, key=lambda item: (type(item).__name__, repr(plain(item))))
    return list(value) if isinstance(value, _LISTS) else None


def plain(value: Any) -> Any:
    """Return the value of an Enum member, the fields of a model, or any other value unchanged."""
    if isinstance(value, Enum):
        return plain(value.value)
    if isinstance(value, BaseModel):
        return {name: getattr(value, name, None) for name in type(value).model_fields}
    if isinstance(value, Example):
        return dict(value.items())
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name, None) for field in fields(value)}
    return without_numpy(value)


def same(expected: object, got: object, *, normalize: bool = True) -> bool:
    """Return whether two values are the same.

    Two texts are compared by `same_text`, or exactly if `normalize` is off. Numbers, booleans and
    dates are compared by value, also with a text that spells one; floats within a relative 1e-9.
    Lists are compared in order, sets without order; mappings, models and dataclasses by field.
    Values of other types (URLs, addresses, durations, bytes) are compared with `==`, also with a
    text that the type can parse.
    """
    try:
        return _same(plain(expected), plain(got), normalize=normalize)
    except RecursionError:  # nested too deeply for a label
        return False


def _same(expected: Any, got: Any, *, normalize: bool) -> bool:
    for kinds in _SCALARS:
        if isinstance(expected, kinds) or isinstance(got, kinds):
            one, other = _read(expected, kinds), _read(got, kinds)
            return one is not None and other is not None and _same_scalar(one, other)
    if isinstance(expected, str) and isinstance(got, str):
        return same_text(expected, got) if normalize else expected == got
    if isinstance(expected, Mapping) and isinstance(got, Mapping):
        return expected.keys() == got.keys() and all(
            same(value, got[name], normalize=normalize) for name, value in expected.items()
        )
    if isinstance(expected, _SETS) or isinstance(got, _SETS):
        return _same_members(expected, got, normalize=normalize)
    if isinstance(expected, _LISTS) and isinstance(got, _LISTS):
        return len(expected) == len(got) and all(
            same(one, other, normalize=normalize) for one, other in zip(expected, got, strict=True)
        )
    return _same_typed(expected, got)


_NUMBERS = (int, float, Decimal)
_SETS = (set, frozenset)
_LISTS = (list, tuple)
_SCALARS: tuple[Any, ...] = (bool, _NUMBERS, datetime, date, time)
_TRUTH = {"true": True, "yes": True, "false": False, "no": False}


def _read(value: Any, kinds: Any) -> Any:
    """Return `value`, or its text, as one of `kinds`; `None` if neither is one."""
    if isinstance(value, str):
        return _read_text(value.strip(), kinds)
    if kinds is _NUMBERS and isinstance(value, bool):
        return None
    return value if isinstance(value, kinds) else None


def _read_text(text: str, kinds: Any) -> Any:
    if kinds is bool:
        return _TRUTH.get(text.lower())
    if kinds is _NUMBERS:
        return whole_number(text)
    try:
        return kinds.fromisoformat(text)
    except ValueError:
        return None


def _same_scalar(one: Any, other: Any) -> bool:
    if isinstance(one, float) or isinstance(other, float):
        return is_near(as_decimal(one), as_decimal(other), 1e-9, 0.0)
    return bool(one == other)


def _same_members(expected: Any, got: Any, *, normalize: bool) -> bool:
    if not isinstance(got, (*_SETS, *_LISTS)) or not isinstance(expected, (*_SETS, *_LISTS)):
        return False
    left: list[object] = list(got)
    if len(left) != len(expected):
        return False
    for value in expected:
        found = next((i for i, other in enumerate(left) if same(value, other, normalize=normalize)), None)
        if found is None:
            return False
        del left[found]
    return True


def _same_typed(expected: Any, got: Any) -> bool:
    """Return whether two values of other types are equal: addresses, identifiers, durations, bytes.

    A text is parsed as the type of the other value.
    """
    if expected is None or got is None:
        return expected is got
    if isinstance(expected, str):
        expected = _parsed(expected, type(got))
    elif isinstance(got, str):
        got = _parsed(got, type(expected))
    try:
        return type(expected) is type(got) and bool(expected == got)
    except Exception:  # noqa: BLE001 - a user's __eq__ may do anything
        return expected is got


def _parsed(text: str, kind: type) -> Any:
    adapter = _adapter(kind)
    try:
        return MISSING if adapter is None else adapter.validate_python(text.strip())
    except ValueError:
        return MISSING


@functools.lru_cache(maxsize=128)
def _adapter(kind: type) -> TypeAdapter[Any] | None:
    try:
        return TypeAdapter(kind)
    except (PydanticUserError, TypeError):
        return None


def _json_text(value: Any) -> str | None:
    """Return the text of a value that JSON writes as text, such as an address or a duration; else `None`."""
    if isinstance(value, (Mapping, *_LISTS, *_SETS, Secret, SecretBytes, SecretStr)):
        return None
    try:
        found = to_jsonable_python(value)
    except (ValueError, TypeError, RecursionError):
        return None
    return found if isinstance(found, str) else None


def _is_short(number: int | float | Decimal) -> bool:
    """Return whether a number is short enough to write out."""
    value = as_decimal(number)
    return value.is_finite() and abs(value.adjusted()) < 1000
