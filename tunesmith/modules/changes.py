"""What differs between two candidates: instructions, demos, formats, offsets, request options and settings."""

import json
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from tunesmith.data import content_key
from tunesmith.errors import brief
from tunesmith.modules.word_changes import TextChange
from tunesmith.notebook import changes_html

__all__ = ["Changes", "DemoChange", "PartChanges", "ValueChange", "same_json"]

_NO_PART: Mapping[str, Any] = {"instruction": "", "demos": [], "format": None, "settings": {}}
_NO_FORMAT = "the caller’s adapter"


@dataclass(frozen=True, slots=True, repr=False)
class ValueChange:
    """A named JSON value before and after; `None` if there is none."""

    name: str
    before: Any
    after: Any

    def __repr__(self) -> str:
        return brief(self, self.name, before=self.before, after=self.after)

    def lines(self) -> list[str]:
        """Return the lines of a diff."""
        sides = (("-", self.before), ("+", self.after))
        return [_signed(sign, f"{self.name}: {_text(value)}") for sign, value in sides if value is not None]

    def to_json(self) -> dict[str, Any]:
        """Return the change as JSON values."""
        return {"name": self.name, "before": self.before, "after": self.after}


@dataclass(frozen=True, slots=True, repr=False)
class DemoChange:
    """A demo that was added, removed, moved among the others, or got other outputs for the same inputs.

    Attributes:
        kind: which of these.
        before, after: its places, from 1; `None` if it is not there.
        demo: the demo, as `Demo.to_json` returns it; of a changed one, as it is after.
        was: of a changed one, as it was before.
    """

    kind: Literal["added", "removed", "moved", "changed"]
    before: int | None
    after: int | None
    demo: Mapping[str, Any]
    was: Mapping[str, Any] | None = None

    def __repr__(self) -> str:
        return brief(self, self.kind, before=self.before, after=self.after, demo=dict(self.demo))

    def lines(self) -> list[str]:
        """Return the lines of a diff."""
        if self.kind == "moved":
            sides = (", ".join(_named(self.demo[side])) for side in ("inputs", "outputs"))
            return [_signed(" ", f"demo {self.before} is now {self.after}: {' -> '.join(sides)}")]
        if self.was is None:
            sign = "+" if self.kind == "added" else "-"
            return [*_fields(sign, self.demo, "inputs"), *_fields(sign, self.demo, "outputs")]
        outputs = _value_changes(self.was["outputs"], self.demo["outputs"], "demo output ")
        marks = _value_changes({"": self.was["augmented"]}, {"": self.demo["augmented"]}, "demo made by a program")
        return [*_fields(" ", self.demo, "inputs"), *_all_lines([*outputs, *marks])]

    def to_json(self) -> dict[str, Any]:
        """Return the change as JSON values."""
        was = {} if self.was is None else {"was": dict(self.was)}
        return {"kind": self.kind, "before": self.before, "after": self.after, "demo": dict(self.demo), **was}


@dataclass(frozen=True, slots=True, repr=False)
class PartChanges:
    """What differs in one predictor.

    Attributes:
        path: of the predictor.
        presence: `added` or `removed` if only one side has it, else `both`.
        instruction: `None` if it is the same.
        demos: in the order after, those that were removed at the end.
        values: the format, and the offsets of labels.
    """

    path: str
    presence: Literal["both", "added", "removed"]
    instruction: TextChange | None
    demos: tuple[DemoChange, ...]
    values: tuple[ValueChange, ...]

    @classmethod
    def of(cls, path: str, before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> "PartChanges":
        """Compare two parts, as `Part.to_json` returns them; `None` if there is none."""
        presence: Literal["both", "added", "removed"] = "both"
        if before is None or after is None:
            presence = "added" if before is None else "removed"
        one, other = before or _NO_PART, after or _NO_PART
        text = TextChange(one["instruction"], other["instruction"])
        was, now = ({"format": part["format"], **_offsets(part)} for part in (one, other))
        return cls(
            path,
            presence,
            None if text.before == text.after else text,
            _demo_changes(one["demos"], other["demos"]),
            tuple(_value_changes(was, now)),
        )

    def __bool__(self) -> bool:
        return self.presence != "both" or self.instruction is not None or bool(self.demos or self.values)

    def __repr__(self) -> str:
        words = "another instruction" if self.instruction else ""
        return brief(self, self.path, "" if self.presence == "both" else self.presence, words, demos=len(self.demos))

    def lines(self) -> list[str]:
        """Return the lines of a diff."""
        sign = {"both": " ", "added": "+", "removed": "-"}[self.presence]
        found = [f"{sign}[{self.path}]"]
        for value in self.values:
            if value.name == "format" and self.presence == "both":
                sides = (_NO_FORMAT if side is None else side for side in (value.before, value.after))
                found += ValueChange("format", *sides).lines()
            else:
                found += value.lines()
        if self.instruction is not None:
            found += [f"{line[0]}instruction: {line[1:]}" for line in self.instruction.lines()]
        return found + [line for demo in self.demos for line in demo.lines()]

    def to_json(self) -> dict[str, Any]:
        """Return the changes as JSON values."""
        return {
            "presence": self.presence,
            "instruction": None if self.instruction is None else self.instruction.to_json(),
            "demos": [demo.to_json() for demo in self.demos],
            "values": [value.to_json() for value in self.values],
        }


@dataclass(frozen=True, slots=True, repr=False)
class Changes:
    """What differs between two candidates; false if nothing does.

    Attributes:
        parts: a predictor each, only those that differ.
        values: request options as `sampling NAME`, settings as `setting PATH.NAME`.

    Example:
        >>> import tunesmith as ts
        >>> given = ts.Candidate.of(ts.Predict(ts.Signature("text -> label", "Name the label.")))
        >>> changes = given.changes(given.with_part("self", instruction="Name the one label."))
        >>> print(changes)
         [self]
         instruction: Name the {+one +}label.
    """

    parts: tuple[PartChanges, ...]
    values: tuple[ValueChange, ...]

    @classmethod
    def of(cls, before: Mapping[str, Any], after: Mapping[str, Any]) -> "Changes":
        """Compare two candidates, as `Candidate.to_json` returns them."""
        paths = dict.fromkeys([*before["parts"], *after["parts"]])
        parts = (PartChanges.of(path, before["parts"].get(path), after["parts"].get(path)) for path in paths)
        values = [
            *_value_changes(before["sampling"], after["sampling"], "sampling "),
            *_value_changes(_settings(before), _settings(after), "setting "),
        ]
        return cls(tuple(part for part in parts if part), tuple(values))

    def __bool__(self) -> bool:
        return bool(self.parts or self.values)

    def __repr__(self) -> str:
        return brief(self, *map(repr, self.parts[:2]), *(value.name for value in self.values[:3]))

    def __str__(self) -> str:
        return "\n".join([*(line for part in self.parts for line in part.lines()), *_all_lines(self.values)])

    def _repr_html_(self) -> str:
        return changes_html(str(self) or "Nothing differs.")

    def to_json(self) -> dict[str, Any]:
        """Return the changes as JSON values."""
        return {
            "predictors": {part.path: part.to_json() for part in self.parts},
            "values": [value.to_json() for value in self.values],
        }


def _all_lines(values: Sequence[ValueChange]) -> Iterator[str]:
    for value in values:
        yield from value.lines()


def _settings(candidate: Mapping[str, Any]) -> dict[str, Any]:
    settings = candidate.get("settings", {})
    return {f"{path}.{name}": value for path, values in settings.items() for name, value in values.items()}


def _value_changes(before: Mapping[str, Any], after: Mapping[str, Any], title: str = "") -> list[ValueChange]:
    names = dict.fromkeys([*before, *after])
    pairs = ((name, before.get(name), after.get(name)) for name in names)
    return [ValueChange(f"{title}{name}", one, other) for name, one, other in pairs if not same_json(one, other)]


def same_json(one: Any, other: Any) -> bool:
    """Whether two JSON values are the same: `1`, `1.0` and `true` are three."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def _demo_changes(before: Sequence[Mapping[str, Any]], after: Sequence[Mapping[str, Any]]) -> tuple[DemoChange, ...]:
    places = _partners(before, after)
    stayed = set(_longest_ascending([place for place in places if place is not None]))
    moved = [
        DemoChange("moved", at + 1, place + 1, after[place])
        for at, place in enumerate(places)
        if place is not None and place not in stayed
    ]
    gone = {at: before[at] for at, place in enumerate(places) if place is None}
    new = {at: after[at] for at in sorted({*range(len(after))} - set(places))}
    changed = [
        DemoChange("changed", at + 1, place + 1, new.pop(place), gone.pop(at)) for at, place in _same_inputs(gone, new)
    ]
    added = [DemoChange("added", None, place + 1, demo) for place, demo in new.items()]
    here = sorted([*moved, *changed, *added], key=lambda change: change.after or 0)
    return (*here, *(DemoChange("removed", at + 1, None, demo) for at, demo in gone.items()))


def _same_inputs(gone: Mapping[int, Mapping[str, Any]], new: Mapping[int, Mapping[str, Any]]) -> list[tuple[int, int]]:
    """Return the places before and after of demos with the same inputs."""
    there = list(new)
    found = _partners([demo["inputs"] for demo in gone.values()], [demo["inputs"] for demo in new.values()])
    return [(at, there[place]) for at, place in zip(gone, found, strict=True) if place is not None]


def _partners(before: Sequence[Mapping[str, Any]], after: Sequence[Mapping[str, Any]]) -> list[int | None]:
    """Return for each demo before where the same one is after; equal demos are taken in turn."""
    places: dict[str, list[int]] = defaultdict(list)
    for place in range(len(after) - 1, -1, -1):
        places[content_key(after[place], escaped=True)].append(place)
    found: list[int | None] = []
    for demo in before:
        left = places[content_key(demo, escaped=True)]
        found.append(left.pop() if left else None)
    return found


def _longest_ascending(places: Sequence[int]) -> list[int]:
    """Return a longest ascending subsequence of distinct numbers: the demos outside it have moved."""
    ends = list[int]()  # the smallest last number of an ascending sequence of each length
    before = dict[int, int | None]()
    for place in places:
        length = bisect_left(ends, place)
        before[place] = ends[length - 1] if length else None
        ends[length : length + 1] = [place]
    found, at = list[int](), ends[-1] if ends else None
    while at is not None:
        found.append(at)
        at = before[at]
    return found[::-1]


def _offsets(part: Mapping[str, Any]) -> dict[str, Any]:
    return {f"offset {label}": value for label, value in part["settings"].get("offsets", {}).items()}


def _named(values: Mapping[str, Any]) -> list[str]:
    return [f"{name}: {_text(value)}" for name, value in values.items()]


def _fields(sign: str, demo: Mapping[str, Any], side: str) -> list[str]:
    return [_signed(sign, f"demo {side[:-1]} {field}") for field in _named(demo[side])]


def _signed(sign: str, text: str) -> str:
    """Return a line of a diff; the other lines of a text with several have the sign too."""
    return sign + text.replace("\n", f"\n{sign}  ")


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
