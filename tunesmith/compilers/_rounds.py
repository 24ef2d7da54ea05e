"""How a search of several rounds divides what is left of its budget, and its proposals among predictors."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from tunesmith.compilers._outcome import Outcome

if TYPE_CHECKING:
    from tunesmith.compilers._search import Search

__all__ = ["KEPT", "share_of_round", "turns_of"]

KEPT = {  # what a race calls the number of candidates that are wanted
    "paired-halving": "survivors",
    "s-sr": "keep",
    "block-race": "keep",
    "wilcoxon": "keep",
    "bound": "keep",
    "multistage": "few",
}

_LEAST = 4  # evaluations of each candidate in a race that another one follows


def share_of_round(search: "Search", wanted: int, *, count: int, another: int) -> int | None:
    """Return how many evaluations the race of a round gets, `None` if the budget has no room for a round after it.

    Half of what is left beyond the next round, and beyond scoring its leader on every example, is kept for its race.

    Args:
        search: the search.
        wanted: evaluations of a race without a limit.
        count: candidates in the race.
        another: runs and proposals of the next round.
    """
    room = search.room()
    if room is None:
        return wanted
    share = min(wanted, (room - another - search.size) // 2)
    return share if share >= min(wanted, _LEAST * count) else None


def turns_of(blame: Mapping[str, Sequence[Outcome]], count: int, first: int) -> list[str]:
    """Return the predictor of each proposal, by how many failures each is to blame for; equals take turns.

    Args:
        blame: the failures of each predictor.
        count: proposals.
        first: which of equals begins.
    """
    paths = [*blame][first % len(blame) :] + [*blame][: first % len(blame)]
    given = dict.fromkeys(paths, 0)
    for _ in range(count):
        given[max(paths, key=lambda path: len(blame[path]) / (1 + given[path]))] += 1
    return [path for path in paths for _ in range(given[path])]
