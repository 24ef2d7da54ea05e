"""What a shape of data files is, and the row that it is given."""

import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from tunesmith.errors import shown

__all__ = ["Dropped", "Given", "Shape", "WrongField"]

_PLACE = re.compile(r"\[\d+\]")


class WrongField(Exception):
    """A value that the shape does not allow.

    Attributes:
        path: where in the row, such as `messages[2].role`.
        problem: what is wrong, as a sentence.
        value: what is there.
    """

    def __init__(self, path: str, problem: str, value: object = None) -> None:
        self.path, self.problem, self.value = path, problem, value
        super().__init__(f"{path}: {problem}")


@dataclass(frozen=True, slots=True)
class Dropped:
    """What a conversion leaves out.

    Attributes:
        fields: fields that nothing was made of, with the number of rows that have them.
        rows: reasons why a row, or a part of it, was left out, with how often.
    """

    fields: Counter[str] = field(default_factory=Counter)
    rows: Counter[str] = field(default_factory=Counter)


class Given:
    """An object of a file, which remembers what was read of it, so that a preview can say what was not.

    Args:
        value: the object.
        dropped: takes what is left out.
        path: where the object is in its row; empty for the row itself.
    """

    def __init__(self, value: Mapping[str, Any], dropped: Dropped, path: str = "") -> None:
        self.value, self.dropped, self._path = value, dropped, path
        self._read: set[str] = set()
        self._parts: list[Given] = []

    def get(self, name: str, default: Any = None) -> Any:
        """Return the value of a field, or `default` if it is absent or null."""
        self._read.add(name)
        found = self.value.get(name)
        return default if found is None else found

    def text(self, name: str, default: str | None = None) -> str:
        """Return the text of a field.

        Raises:
            WrongField: it is not a text, or it is absent and there is no default.
        """
        found = self.get(name, default)
        if isinstance(found, str):
            return found
        if found is None:
            raise self.wrong(name, f"The field is missing. The object has: {', '.join(self.value) or 'no fields'}.")
        raise self.wrong(name, f"The value must be text, not {_kind(found)}.", found)

    def items(self, name: str) -> list[Any]:
        """Return the list of a field; an absent one is empty.

        Raises:
            WrongField: it is not a list.
        """
        found = self.get(name, [])
        if not isinstance(found, (list, tuple)):
            raise self.wrong(name, f"The value must be a list, not {_kind(found)}.", found)
        return list(found)

    def parts(self, name: str) -> "list[Given]":
        """Return the objects in the list of a field; an absent one is empty.

        Raises:
            WrongField: it is not a list of objects.
        """
        return [self._part(f"{name}[{place}]", item) for place, item in enumerate(self.items(name))]

    def part(self, name: str) -> "Given":
        """Return the object of a field; an absent one is empty.

        Raises:
            WrongField: it is not an object.
        """
        return self._part(name, self.get(name, {}))

    def drop(self, reason: str, count: int = 1) -> None:
        """Count something that is left out."""
        self.dropped.rows[reason] += count

    def wrong(self, name: str, problem: str, value: object = None) -> WrongField:
        """Return the error of a field, or of a place inside it."""
        return WrongField(f"{self._path}.{name}".lstrip("."), problem, value)

    def unread(self) -> Iterator[str]:
        """Yield the fields that nothing was read of, inside its parts too."""
        place = _PLACE.sub("", self._path)
        yield from (f"{place}.{name}".lstrip(".") for name in self.value if name not in self._read)
        for part in self._parts:
            yield from part.unread()

    def _part(self, name: str, value: object) -> "Given":
        if not isinstance(value, Mapping):
            raise self.wrong(name, f"This must be an object, not {_kind(value)}.", value)
        found = Given(value, self.dropped, f"{self._path}.{name}".lstrip("."))
        self._parts.append(found)
        return found


class Shape(ABC):
    """A shape of data files: how to know it, and what its rows become.

    Attributes:
        name: chooses it, as in `--from squad`.
        about: what it is, for help and docs.
        signature: a signature that its rows fit, such as `question -> answer`; empty if every file has other fields.
        breadth: of the shapes that fit a file, the one with the smallest breadth is chosen: 0 for a shape with marks of
            its own, more for one that takes much.
    """

    name: ClassVar[str]
    about: ClassVar[str]
    signature: ClassVar[str] = ""
    breadth: ClassVar[int] = 0

    @abstractmethod
    def fits(self, row: Mapping[str, Any], path: Path) -> bool:
        """Return whether a row of the file at `path` looks like this shape; at least half of the first rows must."""

    @abstractmethod
    def convert(self, row: Given, path: Path) -> Iterator[dict[str, Any]]:
        """Yield the rows that one row of the file at `path` becomes.

        Raises:
            WrongField: the row does not have this shape.
        """


def _kind(value: object) -> str:
    if isinstance(value, Mapping):
        return "an object"
    if isinstance(value, (list, tuple)):
        return "a list"
    return f"the text {shown(value, 40)}" if isinstance(value, str) else shown(value, 40)
