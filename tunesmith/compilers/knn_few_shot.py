"""`KNNFewShot`: demos chosen for each input, raced against fixed ones; and its candidates for other compilers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

from tunesmith.compilers._bootstrap import expected_attempts
from tunesmith.compilers._demos import COST_OF_CHOICE, draw, in_turn, labelled_pools
from tunesmith.compilers._effort import Effort
from tunesmith.compilers._options import option
from tunesmith.compilers._study import check_limits, check_objectives
from tunesmith.compilers.compiler import Compiler
from tunesmith.compilers.few_shot import few_shot_candidate
from tunesmith.data import Dataset
from tunesmith.errors import DataError, UsageError, shown
from tunesmith.evaluation import RACES
from tunesmith.formats import carries, get_format
from tunesmith.modules import Candidate, Module, Nearest, VectorIndex
from tunesmith.signatures import Demo, Example

if TYPE_CHECKING:
    from tunesmith.compilers._search import Search

__all__ = ["KNNFewShot", "demo_pools", "knn_candidates"]


@dataclass(frozen=True)
class KNNFewShot(Compiler):
    """Show each input the training examples most like it (Liu et al. 2022, "What Makes Good In-Context Examples", 2.2).

    As DSPy's optimizer of this name, with these differences: similarity is BM25, as in Rubin et al. 2022, "Learning To
    Retrieve Prompts", so that no embedding model is needed; demos are labelled examples, or those of a teacher's runs,
    made once rather than in every call; several numbers of demos, orders and formats are raced, fixed demo sets as
    well; the result is kept only if it helps on validation, and an artifact holds it. With `race="full"` a compile
    takes (candidates + 1) x validation examples runs of the program, and the runs of the teacher.

    Args: its options are in `docs/compilers.md`; the others as `Compiler`.

    Example:
        >>> import tunesmith as ts
        >>> compiler = ts.KNNFewShot(metric=ts.metrics.exact_match("label"), k=(4,), race="full", num_candidates=3)
        >>> compiler.plan(train=60, val=20)["calls"]["expected"]
        80
    """

    k: tuple[int, ...] = option((4, 8, 2), "Numbers of demos of a call that are tried, in this order.")
    orders: tuple[str, ...] = option(
        ("nearest-last",), "Orders of the demos that are tried: `nearest-last`, `nearest-first`."
    )
    similarity: str = option(
        "bm25",
        "What is near: by shared words, or by vectors of the model at one more request of each call.",
        choices=("bm25", "embedding"),
    )
    formats: tuple[str, ...] | None = option(
        None, "Prompt formats to try; default `bare` and `json` if they can carry the signature."
    )
    num_candidates: int = option(8, "The most candidates that are tried, fixed sets included.", low=1)
    fixed_sets: int = option(2, "How many of them have fixed demos, as many as the largest `k`.", low=0)
    max_bootstrapped_demos: int = option(
        32, "Successful runs that are taken if the training set does not label every output of a predictor.", low=0
    )
    metric_threshold: float | None = option(
        None, "What the metric must reach in a teacher's run; without one any value but zero passes."
    )
    race: str | None = option(
        None, "How candidates are compared; default `paired-halving`, with several objectives `full`.", choices=RACES
    )
    objectives: tuple[str, ...] = option(
        ("score",),
        "`score`, and of what one example is charged `tokens`, `latency` or `calls`; the notes name the front.",
    )
    limits: Mapping[str, float] = option(
        {},
        "The most that one example may be charged on average, as in `{latency = 0.5}`; what is over is not returned.",
    )

    def __post_init__(self) -> None:
        """Check what the fields cannot say, and set the race."""
        self._set(objectives=check_objectives(self.objectives), limits=check_limits(self.limits))
        if self.race is None:
            self._set(race="paired-halving" if len(self.objectives) == 1 else "full")
        super().__post_init__()
        for name in ("k", "orders"):
            if not getattr(self, name):
                raise UsageError(f"`{name}` is empty, so no demos can be chosen. Give at least one.")
        for k, order in product(self.k, self.orders):
            Nearest(k, order, self.similarity)
        for name in self.formats or ():
            get_format(name)

    def search(self, search: "Search") -> None:
        """Race chosen demos against fixed ones."""
        pools = demo_pools(search, self.max_bootstrapped_demos, threshold=self.metric_threshold)
        fixed = _fixed_sets(search, pools, max(self.k), self.fixed_sets)
        found = knn_candidates(
            search,
            self.k,
            orders=self.orders,
            similarity=self.similarity,
            formats=self._formats(search),
            pools=pools,
        )
        room = max(1, self.num_candidates - len(fixed))
        tried = dict([*list(found.items())[:room], *fixed.items()][: self.num_candidates])
        tried.pop(search.base, None)
        search.race(list(tried), self.race or "full", origins=list(tried.values()))

    def effort(self, *, train: int, calls: float) -> Effort:
        """Return the race, and bootstrapping, which is expected of a program of several steps."""
        wanted = self.max_bootstrapped_demos
        return Effort(
            candidates=self.num_candidates,
            race=self.race,
            runs=expected_attempts(wanted, train=train, rounds=1) if calls > 1 else 0,
            most_runs=train if wanted else 0,
            notes=(COST_OF_CHOICE,),
        )

    def check(self, program: Module, train: Dataset) -> None:
        """Refuse examples of which none is a demo."""
        pools = labelled_pools(program, train)
        if not self.max_bootstrapped_demos and not any(pool.demos for pool in pools.values()):
            notes = " ".join(note for path, pool in pools.items() if (note := pool.note(path)))
            raise DataError(f"No training example can be a labelled demo. {notes}")

    def longest(self, program: Module, examples: Sequence[Example]) -> Candidate:
        """Return the program with as many labelled demos as a call may show."""
        return few_shot_candidate(program, examples, max(self.k), self.seed)

    def _formats(self, search: "Search") -> list[str | None]:
        """Return the formats that are tried, `None` for those that the program has."""
        if self.formats is None:
            return [None, "bare", "json"]
        usable = [name for name in self.formats if any(carries(name, search.signature(p)) for p in search.format_paths)]
        if not usable and search.format_paths:
            raise UsageError(f"None of the formats {shown(self.formats)} can carry a predictor. Add `json` or `chat`.")
        return list(usable) or [None]


def knn_candidates(
    search: "Search",
    k: int | Sequence[int] = 4,
    *,
    orders: Sequence[str] = ("nearest-last",),
    similarity: str = "bm25",
    formats: Sequence[str | None] = (None,),
    pools: Mapping[str, Sequence[Demo]] | None = None,
    base: Candidate | None = None,
) -> dict[Candidate, str]:
    """Return candidates that choose the demos of each call, each with its origin for the report.

    To be raced as in `search.race(list(found), origins=list(found.values()))`. Nothing is evaluated, except that a
    teacher runs if `pools` is not given and labels do not serve every predictor.

    Args:
        search: the compile.
        k: demos of a call, one number or several.
        orders: `nearest-last`, `nearest-first`.
        similarity: `bm25`, or `embedding` if the models of the predictors give vectors.
        formats: prompt formats; `None` leaves those of `base`, as a predictor does that cannot be carried.
        pools: demos by predictor path; default `demo_pools(search)`.
        base: what instructions and everything else come from; default the program as given.

    Raises:
        UsageError: a number or an order is not allowed, or a model gives no vectors.
        BudgetExceeded: the budget ended while a teacher ran.
    """
    start = search.base if base is None else base
    if similarity != "bm25":
        models = [search.job.lm if p.lm is None else p.lm for _, p in search.job.program.named_predictors()]
        for model in models:
            VectorIndex((), model)  # refuses one that gives none
    pools = demo_pools(search) if pools is None else pools
    found: dict[Candidate, str] = {}
    for count, order, name in product([k] if isinstance(k, int) else k, orders, formats):
        candidate = start
        for path in search.format_paths:
            if name is not None and carries(name, search.signature(path)):
                candidate = candidate.with_part(path, format=name)
        for path in search.demo_paths:
            kept = _carried(search, path, candidate.parts[path].format, pools.get(path, ()))
            if kept:
                candidate = candidate.with_demos(path, kept, Nearest(count, order, similarity))
        if any(candidate.nearest(path) is not None for path in search.demo_paths):
            words = [f"nearest {count} demos", *([] if order == "nearest-last" else [order]), *([name] if name else [])]
            found.setdefault(candidate, ", ".join(words))
    return found


def demo_pools(search: "Search", bootstrapped: int = 32, *, threshold: float | None = None) -> dict[str, list[Demo]]:
    """Return the demos of each predictor: labelled ones, and where there are none those of a teacher's runs.

    They are in random order, the labels of a closed set in turn, so that any beginning of a pool is a balanced set.

    Args:
        search: the compile.
        bootstrapped: successful runs that are taken at most.
        threshold: what the metric must reach in a run; without one any value but zero passes.

    Raises:
        BudgetExceeded: the budget ended while a teacher ran.
    """
    labelled = labelled_pools(search.job.program, search.train)
    pools = {path: labelled[path].demos for path in search.demo_paths}
    search.note(*(note for path in pools if (note := labelled[path].note(path))))
    if bootstrapped and not all(pools.values()):
        made = search.bootstrap(bootstrapped, threshold=threshold).pools
        pools = {path: demos or made[path] for path, demos in pools.items()}
    rng = search.rng("pools")
    return {path: in_turn(search.signature(path), demos, rng) for path, demos in pools.items()}


def _carried(search: "Search", path: str, name: str | None, demos: Sequence[Demo]) -> list[Demo]:
    """Return the demos that a format carries, and note how many it does not."""
    signature = search.signature(path)
    kept = [demo for demo in demos if name is None or carries(name, signature, (demo,))]
    if len(kept) < len(demos):
        search.note(
            f"Demos of `{path}`: {len(demos) - len(kept)} of {len(demos)} are left out of candidates in the format "
            f"`{name}`, which cannot carry a value of theirs, such as an empty text."
        )
    return kept


def _fixed_sets(search: "Search", pools: Mapping[str, Sequence[Demo]], count: int, sets: int) -> dict[Candidate, str]:
    """Return candidates with `count` demos drawn from the pools."""
    found: dict[Candidate, str] = {}
    rng = search.rng("fixed sets")
    for _ in range(sets):
        candidate = search.base
        for path in search.demo_paths:
            kept = _carried(search, path, candidate.parts[path].format, pools[path])
            if kept:
                candidate = candidate.with_demos(path, draw(search.signature(path), kept, count, rng))
        if candidate != search.base:
            found.setdefault(candidate, f"{count} fixed demos")
    return found
