"""Candidates that are each best on some examples: who is drawn how often, and what two of them make together."""

from collections.abc import Sequence
from typing import Any

from tunesmith.modules import Candidate, nearest_path

__all__ = ["ancestors", "front", "merged"]


def front(scores: Sequence[Sequence[float | None]]) -> list[int]:
    """Return on how many examples each candidate is best, 0 for those that others make needless.

    The Pareto front per example of GEPA (Agrawal et al. 2025, algorithm 2): of every example all candidates with the
    highest score, ties included. From the lowest mean up, a candidate is left out if on each of its examples another
    one that is still in is as good; of equal ones the first stays.

    Args:
        scores: of each candidate, by example. `None`, or an example that a shorter row lacks, is no score.

    Example:
        >>> front([[1.0, 0.0, 0.0], [0.0, 1.0, 1.0], [0.0, 1.0, 0.0]])
        [1, 2, 0]
    """
    columns = range(max(map(len, scores), default=0))
    best = [set(_best([row[n] if n < len(row) else None for row in scores])) for n in columns]
    for number in sorted(range(len(scores)), key=lambda number: (_mean(scores[number]), -number)):
        won = [tied for tied in best if number in tied]
        if all(len(tied) > 1 for tied in won):
            for tied in won:
                tied.discard(number)
    return [sum(number in tied for tied in best) for number in range(len(scores))]


def merged(base: Candidate, a: Candidate, b: Candidate) -> Candidate | None:
    """Return a candidate with what `a` and with what `b` changed of `base`, `None` if it would be one of the three.

    Each instruction is a part, so are the demos of a predictor with their format, a setting, and the sampling. If both
    changed a part, it is that of `a`: pass the better one first.

    Args:
        base: from which both come.
        a: a candidate of the same program.
        b: another.
    """
    parts, chosen = {}, {}
    for path, part in base.parts.items():
        instruction = _either(part.instruction, a.parts[path].instruction, b.parts[path].instruction)
        demos, name, nearest = _either(*(_demos(candidate, path) for candidate in (base, a, b)))
        # Offsets belong to the prompt that they were learned on.
        whole = part._replace(instruction=instruction, demos=demos, format=name, offsets={})
        parts[path] = next((o for c in (a, b, base) if (o := c.parts[path])._replace(offsets={}) == whole), whole)
        chosen[nearest_path(path)] = nearest
    settings = {
        path: {name: _either(value, a.settings[path][name], b.settings[path][name]) for name, value in values.items()}
        for path, values in base.settings.items()
        if path not in chosen
    }
    settings |= {path: nearest for path, nearest in chosen.items() if nearest is not None}
    found = Candidate(parts, _either(base.sampling, a.sampling, b.sampling), settings)
    return None if found in (base, a, b) else found


def ancestors(parents: Sequence[Sequence[int]], number: int) -> list[int]:
    """Return from which others candidate `number` comes, in order.

    Args:
        parents: of each candidate, by number; each comes from earlier ones.
        number: of the candidate.
    """
    found: set[int] = set()
    left = [*parents[number]]
    while left:
        one = left.pop()
        if one not in found:
            found.add(one)
            left += parents[one]
    return sorted(found)


def _best(column: list[float | None]) -> list[int]:
    highest = max((score for score in column if score is not None), default=None)
    return [] if highest is None else [number for number, score in enumerate(column) if score == highest]


def _mean(row: Sequence[float | None]) -> float:
    known = [score for score in row if score is not None]
    return sum(known) / len(known) if known else float("-inf")


def _either(base: Any, a: Any, b: Any) -> Any:
    return b if a == base else a


def _demos(candidate: Candidate, path: str) -> tuple[Any, ...]:
    """Return demos, format and choice together: a format may not be able to carry another one's demos."""
    part = candidate.parts[path]
    return part.demos, part.format, candidate.settings.get(nearest_path(path))
