"""Near vectors by a graph, without comparing every one; the door to usearch."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tunesmith.errors import UsageError, shown
from tunesmith.lazy import lazy_module
from tunesmith.modules.retrieval.ranking import best

if TYPE_CHECKING:
    import numpy as np
else:
    np = lazy_module("numpy")

__all__ = ["DTYPES", "VectorGraph", "check_graph"]

DTYPES = ("f32", "f16", "i8")
_NEIGHBOURS, _BUILD, _SEARCH = 16, 128, 64  # usearch's own defaults, written out because they may change
_WIDEST = 2048
_ASKED, _NEAREST, _RECALL = 50, 10, 0.95


def check_graph(dtype: str) -> None:
    """Check that vectors can be stored in a graph.

    Raises:
        UsageError: the extra `hnsw` is not installed, or there is no such `dtype`.
    """
    if dtype not in DTYPES:
        raise UsageError(f"`dtype` must be one of: {', '.join(DTYPES)}. Given: {shown(dtype)}.")
    _library()


def _library() -> Any:
    try:
        from usearch import index
    except ImportError as error:
        raise UsageError(
            "`index='hnsw'` needs the `hnsw` extra. Install it: pip install 'tunesmith[hnsw]'. Or search with "
            "`index='exact'`, which needs nothing."
        ) from error
    return index


class VectorGraph:
    """Malkov and Yashunin 2016, "Efficient and robust approximate nearest neighbor search using HNSW graphs".

    Equal vectors are one node: many of them would hide all others. The graph is built by one thread, so that it is the
    same in every process. Then its search is widened until it finds 95 % of the ten nearest of 50 stored vectors. What
    is found is scored exactly.

    Args:
        rows: one vector for each position, of length 1, or of zeros: that one is never found.
        dtype: how the graph stores a number: `f32`, `f16` or `i8`.

    Attributes:
        recall: share of the ten nearest of 50 stored vectors that is found, from 0 to 1.
    """

    def __init__(self, rows: "np.ndarray[Any, Any]", dtype: str) -> None:
        self._rows = rows
        found = np.flatnonzero(rows.any(axis=1))
        nodes: dict[bytes, list[int]] = {}
        for position in found.tolist():
            nodes.setdefault(rows[position].tobytes(), []).append(position)
        self._positions = list(nodes.values())  # of each node
        self._index = _library().Index(
            ndim=rows.shape[1],
            metric="ip",
            dtype=dtype,  # without it, bf16 on a machine that has it
            connectivity=_NEIGHBOURS,
            expansion_add=_BUILD,
            expansion_search=_SEARCH,
        )
        firsts = [positions[0] for positions in self._positions]
        self._index.add(np.arange(len(firsts)), rows[firsts], threads=1)
        self._widen(firsts)

    def search(
        self, row: "np.ndarray[Any, Any]", k: int, skip: Callable[[int], bool] | None = None
    ) -> list[tuple[int, float]]:
        """Return up to `k` pairs of a position and its cosine, the best first, ties by position."""
        wanted = k
        while True:
            near = self._near(row, wanted)
            positions = sorted(position for node in near for position in self._positions[node])
            may = np.array([position for position in positions if skip is None or not skip(position)], dtype=int)
            if len(may) >= k or len(near) == len(self._positions):
                return [(int(may[place]), score) for place, score in best(self._rows[may] @ row, k, -np.inf)]
            wanted *= 4

    def _near(self, row: "np.ndarray[Any, Any]", count: int) -> list[int]:
        count = min(count, len(self._positions))
        if count > self._index.expansion_search:  # the graph finds fewer than it looks at
            firsts = [positions[0] for positions in self._positions]
            return [node for node, _ in best(self._rows[firsts] @ row, count, -np.inf)]
        found: list[int] = self._index.search(row, count, threads=1).keys.tolist()
        return found

    def _widen(self, firsts: list[int]) -> None:
        step = max(1, len(firsts) // _ASKED)
        asked = self._rows[firsts[::step][:_ASKED]]
        nearest = [{node for node, _ in best(self._rows[firsts] @ row, _NEAREST, -np.inf)} for row in asked]
        while True:
            found = sum(
                len(wanted & set(self._near(row, _NEAREST))) for wanted, row in zip(nearest, asked, strict=True)
            )
            self.recall = found / max(1, sum(map(len, nearest)))
            if self.recall >= _RECALL or self._index.expansion_search >= _WIDEST:
                return
            self._index.expansion_search *= 2
