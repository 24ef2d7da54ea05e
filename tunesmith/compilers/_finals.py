"""The end of a search of several rounds: what it keeps back of the budget, and what becomes of that."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from tunesmith.modules import Candidate

if TYPE_CHECKING:
    from tunesmith.compilers._search import Search

__all__ = ["score_finalists", "spare_room"]


def spare_room(search: "Search", finalists: int) -> int | None:
    """Return the evaluations that the budget has room for beside the finalists'; below zero if not even for one."""
    room = search.room()
    return None if room is None else room - max(search.size, min(finalists * search.size, room // 3))


def score_finalists(
    search: "Search", ranked: Iterable[Candidate], finalists: int, origins: dict[Candidate, str]
) -> None:
    """Score the first candidates on every validation example, as far as the budget has room.

    Args:
        search: scores.
        ranked: the best first; the program as given, which is scored already, does not count.
        finalists: how many.
        origins: where each comes from, for the report.
    """
    for candidate in [one for one in ranked if one != search.base][:finalists]:
        room = search.room()
        if room is None or room >= search.size - search.seen(candidate):
            search.score(candidate, origin=origins.get(candidate, ""))
