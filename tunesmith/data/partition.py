"""Allocate rows to splits: sizes, units that stay together, strata."""

import math
import random
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from tunesmith.errors import SplitError, UsageError, shown

__all__ = ["Part", "allocate", "parts_of", "units_of"]


@dataclass(frozen=True, slots=True)
class Part:
    """One split to fill.

    Attributes:
        name: the name in errors.
        size: the requested number of rows.
        exact: whether `size` must be met; a fraction may be missed if units are large.
    """

    name: str
    size: int
    exact: bool


def parts_of(rows: int, wanted: Mapping[str, int | float | None]) -> list[Part]:
    """Return the parts for `rows` rows; the last part, `rest`, takes all remaining rows.

    An int is a number of rows, a float a fraction of all rows. Fractions are rounded cumulatively,
    so fractions that add up to one use every row.

    Raises:
        UsageError: a size of another type or out of range, or no size.
        SplitError: the sizes exceed the rows, or a part would be empty.
    """
    sizes = {name: _checked(name, size) for name, size in wanted.items() if size is not None}
    if not sizes:
        raise UsageError("The split has no sizes. Give at least one of `train`, `val` and `test`.")
    parts, below = [], Fraction(0)
    for name, size in sizes.items():
        if isinstance(size, int):
            parts.append(Part(name, size, exact=True))
            continue
        above = below + Fraction(repr(size))
        count = _rounded(above * rows) - _rounded(below * rows)
        parts.append(Part(name, count, exact=False))
        below = above
    _check_fit(rows, parts, sizes)
    return [*parts, Part("rest", rows - sum(part.size for part in parts), exact=False)]


def units_of(order: Sequence[int], links: Sequence[Sequence[Hashable]]) -> list[list[int]]:
    """Return units of rows that must stay together, in `order`; rows that share a link are one unit."""
    parent: dict[Hashable, Hashable] = {}

    def root(link: Hashable) -> Hashable:
        while parent.setdefault(link, link) != link:
            parent[link] = parent[parent[link]]
            link = parent[link]
        return link

    for row in order:
        first, *others = links[row]
        for other in others:
            parent[root(other)] = root(first)
    units: dict[Hashable, list[int]] = {}
    for row in order:
        units.setdefault(root(links[row][0]), []).append(row)
    return list(units.values())


def allocate(units: Sequence[Sequence[int]], parts: Sequence[Part], strata: Sequence[str], seed: int) -> list[set[int]]:
    """Return the rows of each part.

    The units are visited stratum by stratum, large units first. Each unit goes to the part that is
    furthest behind its share of the rows so far. With units of one row, every size is exact and
    every stratum's share is right within a few rows: a part receives a row only if it is behind, so
    it is never a full row ahead.

    Raises:
        SplitError: units are too large for an exact size, or leave a part empty.
    """
    rows = sum(len(unit) for unit in units)
    given: list[set[int]] = [set() for _ in parts]
    names = sorted({strata[unit[0]] for unit in units})
    random.Random(seed).shuffle(names)  # so that rare strata meet parts at random, not in alphabetical order
    rank = {name: index for index, name in enumerate(names)}
    seen = 0
    for unit in sorted(units, key=lambda unit: (rank[strata[unit[0]]], -len(unit))):
        seen += len(unit)
        behind = [part.size * seen - len(given[i]) * rows for i, part in enumerate(parts)]
        room = [i for i, part in enumerate(parts) if len(given[i]) + len(unit) <= part.size]
        room = room or [i for i, part in enumerate(parts) if not part.exact and part.size > 0]
        if not room:
            raise _misfit(parts, given, len(unit))
        given[max(room, key=lambda i: (behind[i], -i))].update(unit)
    for part, chosen in zip(parts[:-1], given, strict=False):
        if not chosen or (part.exact and len(chosen) != part.size):
            raise _misfit(parts, given, max(map(len, units)))
    return given


def _checked(name: str, size: object) -> int | float:
    if isinstance(size, int) and not isinstance(size, bool) and size >= 1:
        return int(size)
    if isinstance(size, float) and 0 < size <= 1:
        return float(size)
    raise UsageError(
        f"`{name}` must be a number of rows (an int of at least 1) or a fraction of them (a float "
        f"above 0 and up to 1.0). Given: {shown(size)}."
    )


def _rounded(number: Fraction) -> int:
    return math.floor(number + Fraction(1, 2))


def _check_fit(rows: int, parts: Sequence[Part], sizes: Mapping[str, int | float]) -> None:
    asked = ", ".join(f"{name}={size}" for name, size in sizes.items())
    total = sum(part.size for part in parts)
    fractions = math.fsum(size for size in sizes.values() if isinstance(size, float))
    if total > rows or fractions > 1 + 1e-9:
        raise SplitError(f"{asked} ask for {total} rows, but there are only {rows}. Ask for fewer.")
    for part in parts:
        if part.size == 0:
            raise SplitError(
                f"{asked} of {rows} rows leaves `{part.name}` empty. Ask for a larger share, or give more rows."
            )


def _misfit(parts: Sequence[Part], given: Sequence[set[int]], largest: int) -> SplitError:
    have = ", ".join(f"{part.name}: {len(chosen)} of {part.size}" for part, chosen in zip(parts, given, strict=True))
    return SplitError(
        f"The sizes cannot be met by whole groups: rows with the same inputs or group stay "
        f"together, {largest} at a time ({have}). Ask for fractions, or for other sizes."
    )
