"""What searches of several rounds share: how they begin, and how they divide budget and proposals."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from tunesmith.compilers._anew import written_anew
from tunesmith.compilers._outcome import Outcome
from tunesmith.modules import Candidate

if TYPE_CHECKING:
    from tunesmith.compilers._search import Search

__all__ = ["KEPT", "from_scratch", "share_of_round", "turns_of"]

KEPT = {  # what a race calls the number of candidates that are wanted
    "paired-halving": "survivors",
    "s-sr": "keep",
    "block-race": "keep",
    "wilcoxon": "keep",
    "bound": "keep",
    "multistage": "few",
}

_LEAST = 4  # evaluations of each candidate in a race that another one follows


def from_scratch(search: "Search", count: int) -> dict[Candidate, str]:
    """Return programs with an instruction that is written from pairs alone, with its predictor, which take turns."""
    found: dict[Candidate, str] = {}
    for number in range(count):
        path = search.paths[number % len(search.paths)]
        text = written_anew(search, path, draw=number)
        if text is not None:
            found[search.base.with_part(path, instruction=text)] = path
    return found


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
