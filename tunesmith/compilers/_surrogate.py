"""What candidates share tells how good others are: a Gaussian process over their parts."""

import math
import random
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tunesmith.lazy import lazy_module
from tunesmith.modules import Candidate

if TYPE_CHECKING:
    import numpy as np
else:
    np = lazy_module("numpy")

__all__ = ["Surrogate"]

# Standard deviations of what a part of a candidate adds to its score, for scores whose own is `_USUAL`.
_LEVEL, _INSTRUCTION, _SOURCE, _FORMAT, _COUNT, _DEMOS, _NEAREST, _SETTING, _OWN = (
    0.15, 0.10, 0.06, 0.06, 0.06, 0.10, 0.10, 0.05, 0.05,
)  # fmt: skip
_USUAL = 0.45
_NOISE = 0.2  # variance of one example's score once its difficulty is known
_DOUBT = 2  # examples of the mean score that are added to the scores of each example


class Surrogate:
    """Scores of candidates, estimated from those that were seen; two candidates are alike in the parts that they share.

    The score of a candidate is taken to be a sum of independent effects: of its instructions and of where they come
    from, formats, numbers of demos, demos, settings, and one of its own. That is Bayesian linear regression, or a
    Gaussian process with the kernel that counts what two candidates share (compare Schneider et al. 2024, "Hyperband-
    based Bayesian Optimization for Black-box Prompt Selection"; they embed texts, here a text is only itself). An
    example counts by how far its score is from what the others got on it.

    Args:
        scores: of each candidate that was seen, by example in one order; `None` is no score.
        source: returns where an instruction comes from.
    """

    def __init__(
        self, scores: Mapping[Candidate, Sequence[float | None]], source: Callable[[str], str] = lambda text: ""
    ) -> None:
        self._source = source
        self._seen = {one: row for one, row in scores.items() if any(value is not None for value in row)}
        found = [value for row in self._seen.values() for value in row if value is not None]
        self._middle = math.fsum(found) / max(1, len(found))
        spread = math.sqrt(math.fsum((value - self._middle) ** 2 for value in found) / max(1, len(found)))
        self._scale = spread / _USUAL or 1.0
        self._fit()

    def means(self, candidates: Sequence[Candidate]) -> list[float]:
        """Return the expected score of each candidate."""
        mean, _ = self._posterior(candidates)
        return [float(value) for value in np.round(mean * self._scale + self._middle, 9)]

    def drawn(self, candidates: Sequence[Candidate], rng: random.Random, boldness: float = 1.0) -> list[float]:
        """Return scores that the candidates may have, drawn jointly (Thompson sampling).

        Args:
            candidates: any.
            rng: draws.
            boldness: by how much the draws spread, as a part of what is not known.
        """
        mean, covariance = self._posterior(candidates)
        factor = np.linalg.cholesky(covariance + 1e-8 * np.eye(len(candidates)))
        noise = np.array([rng.gauss() for _ in candidates])
        return [
            float(value) for value in np.round((mean + boldness * (factor @ noise)) * self._scale + self._middle, 9)
        ]

    def _fit(self) -> None:
        hard = self._difficulties()
        rows = [
            [(v - h) / self._scale for v, h in zip(r, hard, strict=False) if v is not None] for r in self._seen.values()
        ]
        self._parts = [self._features(one) for one in self._seen]
        noise = np.diag([_NOISE / len(row) for row in rows])
        level = [math.fsum(row) / len(row) for row in rows]
        self._inverse = np.linalg.inv(self._kernel(self._parts, self._parts) + noise)
        self._weights = self._inverse @ np.array(level)

    def _difficulties(self) -> list[float]:
        """Return the mean score of each example, drawn towards that of all."""
        size = max(map(len, self._seen.values()), default=0)
        columns = [[row[n] for row in self._seen.values() if n < len(row) and row[n] is not None] for n in range(size)]
        return [(math.fsum(c) + _DOUBT * self._middle) / (len(c) + _DOUBT) for c in columns]  # type: ignore[arg-type]

    def _posterior(self, candidates: Sequence[Candidate]) -> tuple[Any, Any]:
        parts = [self._features(one) for one in candidates]
        shared = self._kernel(parts, self._parts)
        own = self._kernel(parts, parts)
        return shared @ self._weights, own - shared @ self._inverse @ shared.T

    def _kernel(self, first: Sequence[Mapping[Any, float]], second: Sequence[Mapping[Any, float]]) -> Any:
        names = {name: n for n, name in enumerate(dict.fromkeys(name for part in (*first, *second) for name in part))}
        sides = []
        for side in (first, second):
            matrix = np.zeros((len(side), len(names)))
            for row, part in enumerate(side):
                for name, value in part.items():
                    matrix[row, names[name]] = value
            sides.append(matrix)
        return sides[0] @ sides[1].T

    def _features(self, candidate: Candidate) -> dict[Any, float]:
        found: dict[Any, float] = {"level": _LEVEL, ("own", candidate.key): _OWN}
        for path, part in candidate.parts.items():
            found["instruction", path, part.instruction] = _INSTRUCTION
            found["source", path, self._source(part.instruction)] = _SOURCE
            found["format", path, part.format] = _FORMAT
            nearest = candidate.nearest(path)
            if nearest is not None:
                found["nearest", path] = found["nearest", path, str(nearest)] = _NEAREST / math.sqrt(2)
                continue
            found["count", path, min(len(part.demos), 12) // 3, bool(part.demos)] = _COUNT
            for demo in part.demos:
                found["demo", path, demo.key] = _DEMOS / math.sqrt(len(part.demos))
        for place, values in candidate.settings.items():
            for name, value in values.items():
                found["setting", place, name, str(value)] = _SETTING
        found["sampling", str(dict(candidate.sampling))] = _SETTING
        return found
