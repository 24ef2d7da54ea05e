"""What differs between two JSON values, as one change per place."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tunesmith.data import canonical_json, content_key
from tunesmith.modules import ValueChange, same_json

__all__ = ["value_changes"]

_LISTED = 8  # values of a list that are shown; a longer one is counted


def value_changes(before: Any, after: Any, place: str) -> Iterator[ValueChange]:
    """Return the places below `place` that differ, such as `lm.digest`; a value that is not there is `None`.

    A list of objects with names is compared by name, another list by what is only in one of the two.
    """
    if same_json(before, after):
        return
    one, other = _as_mapping(before), _as_mapping(after)
    if one is None or other is None or not (one or other):
        yield _list_change(before, after, place)
        return
    found = [change for name in dict.fromkeys([*one, *other]) for change in _below(one, other, place, name)]
    shared = [[name for name in names if name in one and name in other] for names in (one, other)]
    if shared[0] != shared[1] and isinstance(before, list) and isinstance(after, list):
        found.append(ValueChange(f"{place} (order)", *map(", ".join, shared)))
    yield from found or [ValueChange(place, before, after)]  # `null` in place of nothing


def _below(one: Mapping[str, Any], other: Mapping[str, Any], place: str, name: str) -> Iterator[ValueChange]:
    return value_changes(one.get(name), other.get(name), f"{place}.{name}")


def _as_mapping(value: Any) -> Mapping[str, Any] | None:
    """Return an object, or a list of objects by their names; absent is empty, `None` is any other value."""
    if value is None:
        return {}
    if isinstance(value, Mapping):
        return value
    if not isinstance(value, list) or not all(isinstance(one, Mapping) and "name" in one for one in value):
        return None
    named = {str(one["name"]): {name: inside for name, inside in one.items() if name != "name"} for one in value}
    return named if value and len(named) == len(value) else None


def _list_change(before: Any, after: Any, place: str) -> ValueChange:
    if not isinstance(before, list) or not isinstance(after, list):
        return ValueChange(place, _short(before), _short(after))
    gone, new = (Counter(map(canonical_json, values)) for values in (before, after))
    left = [_only(before, gone - new), _only(after, new - gone)]
    if not any(left):  # only the order differs
        left = [before, after]
    return ValueChange(place, *(_short(values) if values else None for values in left))


def _only(values: Sequence[Any], counts: Counter[str]) -> list[Any]:
    left = counts.copy()
    found = []
    for value in values:
        text = canonical_json(value)
        if left[text] > 0:
            left[text] -= 1
            found.append(value)
    return found


def _short(value: Any) -> Any:
    if isinstance(value, list) and len(value) > _LISTED:
        return f"{len(value)} values with the sha256 {content_key(value, escaped=True)[:12]}"
    return value
