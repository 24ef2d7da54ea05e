"""Every point of a grid once, in a random order that takes no memory for the points not yet reached."""

import math
import random
from collections.abc import Iterator, Mapping

__all__ = ["grid_points"]


def grid_points(space: Mapping[str, int], seed: int) -> Iterator[dict[str, int]]:
    """Yield each point of `space` once.

    A Fisher-Yates shuffle of the points' numbers that keeps only what it has moved: Optuna's `GridSampler` lists the
    whole grid first, which a space of some predictors with demo sets does not allow.
    """
    rng, size = random.Random(seed), math.prod(space.values())
    moved: dict[int, int] = {}
    for place in range(size):
        other = rng.randrange(place, size)
        number = moved.get(other, other)
        moved[other] = moved.get(place, place)
        moved.pop(place, None)
        yield _point(space, number)


def _point(space: Mapping[str, int], number: int) -> dict[str, int]:
    point = {}
    for name, count in space.items():
        number, point[name] = divmod(number, count)
    return point
