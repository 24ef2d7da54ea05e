"""Many compiles that differ in program, compiler, model or seed: a run for each, one after the other, and compared."""

import inspect
import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tunesmith.compilers import Compiler, CompileResult, Plan, Progress
from tunesmith.errors import Interrupted, ModelMissing, UsageError, brief, shown
from tunesmith.evaluation import RunInfo, run_path
from tunesmith.experiments.comparison import Comparison, compare_runs
from tunesmith.experiments.compiling import compile_program, is_run_of, plan
from tunesmith.lm import BaseLM, ScriptedLM
from tunesmith.modules import Module, class_name

__all__ = ["Cell", "CellOutcome", "Experiment", "cell_name"]

_UNFIT = re.compile(r"[^A-Za-z0-9.]+")
_LONGEST = 40  # characters of one part of a name
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")

Watch = Callable[["Cell", Mapping[str, Any]], AbstractContextManager[Progress | None]]
"""Is given a cell and the arguments of its compile before it runs, and yields what is told of the progress."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One compile of an experiment.

    Attributes:
        run: name of its run, which stays the same if the experiment grows.
        program, compiler, model: in words.
        seed: of the compile.
        arguments: makes the arguments of `ts.compile`, without the models.
        models: makes the models by role: `lm` and maybe `prompt_lm`, `judge_lm`, `teacher`.
    """

    run: str
    program: str
    compiler: str
    model: str
    seed: int
    arguments: Callable[[], dict[str, Any]]
    models: Callable[[], dict[str, Any]]

    def __repr__(self) -> str:
        return brief(self, self.run)

    def called(self) -> dict[str, str]:
        """Return what its program, compiler and model are called, for a comparison."""
        return {"program": self.program, "compiler": self.compiler, "model": self.model}

    def to_json(self) -> dict[str, Any]:
        """Return what it is of, as JSON values."""
        names = ("run", "program", "compiler", "model", "seed")
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True, slots=True)
class CellOutcome:
    """What became of a cell.

    Attributes:
        cell: the cell.
        state: `done`, `was done` if an earlier command had finished it, `running` if another process runs it, or
            `failed`.
        verdict: of the run, `None` if it is not finished.
        result: what the compile returned, if it ran now.
        error: why it failed.
    """

    cell: Cell
    state: str
    verdict: str | None = None
    result: CompileResult | None = None
    error: Exception | None = None

    def __repr__(self) -> str:
        return brief(self, self.cell.run, self.state)


@dataclass(frozen=True, slots=True)
class Experiment:
    """A matrix of compiles, each a run of its own. `Experiment.matrix` makes one, as `[experiments.NAME]` does.

    Attributes:
        name: with which the names of its runs begin.
        cells: in the order in which they run.
        root: the folder with `runs`.

    Example:
        >>> import tempfile
        >>> import tunesmith as ts
        >>> rows = [{"text": f"{word} {n}", "label": word} for n in range(20) for word in ("good", "bad")]
        >>> data = ts.Dataset.load(rows, signature=ts.Signature("text -> label")).split(train=20, val=10, test=10)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     experiment = ts.Experiment.matrix(
        ...         "demos",
        ...         programs=ts.Predict("text -> label"),
        ...         compilers={"one": ts.LabeledFewShot(1), "four": ts.LabeledFewShot(4)},
        ...         models=ts.FunctionLM(lambda seen: "good"),
        ...         seeds=[0, 1],
        ...         metric=ts.metrics.exact_match("label"),
        ...         trainset=data.train,
        ...         valset=data.val,
        ...         testset=data.test,
        ...         root=folder,
        ...     )
        ...     outcomes = experiment.run()
        ...     compared = experiment.compare(by=["compiler"])
        >>> [outcome.cell.run for outcome in outcomes]
        ['demos_one_seed0', 'demos_one_seed1', 'demos_four_seed0', 'demos_four_seed1']
    """

    name: str
    cells: tuple[Cell, ...]
    root: Path = Path()

    def __post_init__(self) -> None:
        """Refuse two cells that would share a run."""
        if not _NAME.fullmatch(self.name):
            raise UsageError(
                f"The name of an experiment has letters, digits, `.`, `_` and `-`. Given: {shown(self.name)}."
            )
        seen: dict[str, Cell] = {}
        for cell in self.cells:
            other = seen.setdefault(cell.run.casefold(), cell)
            if other is not cell:
                raise UsageError(
                    f"Two cells of the experiment {self.name!r} would share the run {cell.run!r}: {_words(other)}, and "
                    f"{_words(cell)}. Give one of them a `name`, or name each once."
                )

    def __repr__(self) -> str:
        return brief(self, self.name, f"{len(self.cells)} cells")

    @classmethod
    def matrix(
        cls,
        name: str,
        *,
        programs: Module | Sequence[Module] | Mapping[str, Module],
        compilers: Compiler | Sequence[Compiler] | Mapping[str, Compiler],
        models: BaseLM | Sequence[BaseLM] | Mapping[str, BaseLM],
        seeds: int | Sequence[int] = 0,
        root: str | Path = "",
        **given: Any,
    ) -> "Experiment":
        """Return the experiment of every program with every compiler, model and seed.

        What is given as a list or a mapping is a part of the names of the runs; a mapping gives the names. So a list
        may grow later, and what is finished is not run again.

        Args:
            name: of the experiment.
            programs: one, or several.
            compilers: one, or several; their seed is that of the cell.
            models: one, or several.
            seeds: one, or several.
            root: the folder with `runs`; default the current one.
            **given: arguments of `ts.compile` that are the same for all: `metric`, `trainset` and so on.

        Raises:
            UsageError: two runs would have one name, or one of the lists is empty.
        """
        axes = (
            _axis("programs", programs, Module, lambda one: class_name(one).rpartition(":")[2]),
            _axis("compilers", compilers, Compiler, lambda one: one.name),
            _axis("models", models, BaseLM, lambda one: str(one.model)),
            _axis("seeds", seeds, int, lambda one: f"seed{one}"),
        )
        several = [isinstance(one, Mapping | Sequence) for one in (programs, compilers, models, seeds)]
        # The model changes last, so that each is loaded once.
        order = sorted(itertools.product(*axes), key=lambda parts: axes[2].index(parts[2]))
        return cls(name, tuple(_cell(name, parts, several, given) for parts in order), Path(root))

    def path(self, cell: Cell) -> Path:
        """Return the folder of the cell's run."""
        return run_path(cell.run, self.root)

    def chosen(self, only: Sequence[str] = ()) -> tuple[Cell, ...]:
        """Return the cells whose runs are named, all if none is.

        Raises:
            UsageError: there is no such cell.
        """
        runs = [cell.run for cell in self.cells]
        wrong = [name for name in only if name not in runs]
        if wrong:
            raise UsageError(
                f"The experiment {self.name!r} has no run {shown(wrong[0])}. It has: {', '.join(runs[:8])}"
                f"{', ...' if len(runs) > 8 else ''}."
            )
        return tuple(cell for cell in self.cells if not only or cell.run in only)

    def state(self, cell: Cell) -> str:
        """Return `done`, `running`, `stopped`, `damaged`, or `new` if the cell has no run."""
        try:
            return RunInfo.of(self.path(cell)).state
        except UsageError:
            return "new"

    def plan(self, cell: Cell) -> Plan:
        """Return what the cell would need, as `experiments.plan`. A model that is not there is not needed.

        Raises: as `ts.compile`, before its first call.
        """
        try:
            model = cell.models()["lm"]
        except ModelMissing:
            model = ScriptedLM()
        return plan(**_planned(cell.arguments()), lm=model)

    def run(
        self,
        *,
        only: Sequence[str] = (),
        new: bool = False,
        watch: Watch | None = None,
        command: Callable[[Cell], dict[str, Any]] | None = None,
        **given: Any,
    ) -> tuple[CellOutcome, ...]:
        """Run the cells, one after the other, and return what became of each.

        A cell that was finished by an earlier call is not run again, one that another process runs is left to it, and
        one that was interrupted goes on. A cell that fails does not stop the others.

        Args:
            only: names of runs; default all.
            new: set runs that are there aside, the finished ones too.
            watch: shows the progress of a cell.
            command: how a cell's run is started, for `tunesmith runs resume`.
            **given: further arguments of `ts.compile`, such as `store` and `executor`.

        Raises:
            UsageError: there is no such cell.
            Interrupted: by Ctrl-C; the same call goes on.
        """
        return tuple(self.outcomes(only=only, new=new, watch=watch, command=command, **given))

    def outcomes(
        self,
        *,
        only: Sequence[str] = (),
        new: bool = False,
        watch: Watch | None = None,
        command: Callable[[Cell], dict[str, Any]] | None = None,
        **given: Any,
    ) -> Iterator[CellOutcome]:
        """Yield what becomes of each cell as soon as it is known; see `run`."""
        for cell in self.chosen(only):
            started = {} if command is None else command(cell)
            place = {"run": self.path(cell), "new": new, "command": {**started, "called": cell.called()}}
            try:
                yield self._outcome(cell, watch or _unwatched, {**place, **given})
            except Interrupted:
                raise
            except Exception as error:  # noqa: BLE001 - the others run, and the caller is told
                yield CellOutcome(cell, "failed", error=error)

    def _outcome(self, cell: Cell, watch: Watch, place: dict[str, Any]) -> CellOutcome:
        arguments = {**cell.arguments(), **cell.models()}
        if not place["new"] and self.state(cell) == "done" and is_run_of(self.path(cell), **_planned(arguments)):
            return CellOutcome(cell, "was done", RunInfo.of(self.path(cell)).verdict)
        try:
            with watch(cell, arguments) as tell:
                result = compile_program(**arguments, **place, progress=tell)
        except UsageError:
            if self.state(cell) == "running":
                return CellOutcome(cell, "running")
            raise
        return CellOutcome(cell, "done", result.verdict, result)

    def compare(
        self,
        *,
        only: Sequence[str] = (),
        split: str | None = None,
        reference: str | None = None,
        by: Sequence[str] = (),
    ) -> Comparison:
        """Compare the finished runs; see `experiments.compare_runs`. Rows and groups are called as in the experiment.

        Raises:
            UsageError: none is finished, or they cannot be compared.
        """
        done = [cell for cell in self.chosen(only) if self.state(cell) == "done"]
        called = {cell.run: cell.called() for cell in done}
        return compare_runs(list(map(self.path, done)), split=split, reference=reference, by=by, called=called)


def cell_name(experiment: str, parts: Iterable[str]) -> str:
    """Return the name of the run of a cell: that of the experiment, and its parts in letters that a folder may have.

    Example:
        >>> cell_name("grid", ["program:program", "gepa", "ollama/qwen3:4b", "seed0"])
        'grid_program-program_gepa_ollama-qwen3-4b_seed0'
    """
    return "_".join([experiment, *(_UNFIT.sub("-", part).strip("-.")[:_LONGEST] or "x" for part in parts)])


def _planned(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments that say what a run is of."""
    known = inspect.signature(plan).parameters
    return {name: value for name, value in arguments.items() if name in known}


def _unwatched(cell: Cell, arguments: Mapping[str, Any]) -> AbstractContextManager[None]:
    return nullcontext()


def _axis(name: str, given: Any, kind: type, label: Callable[[Any], str]) -> list[tuple[str, Any]]:
    named = dict(given) if isinstance(given, Mapping) else None
    values = list(named.values()) if named is not None else list(given) if isinstance(given, Sequence) else [given]
    wrong = [one for one in values if not isinstance(one, kind) or isinstance(one, bool)]
    if not values or wrong:
        what = shown(wrong[0]) if wrong else "none"
        raise UsageError(f"`{name}` of an experiment are one or more of {kind.__name__}. Given: {what}.")
    return list(named.items()) if named is not None else [(label(one), one) for one in values]


def _cell(name: str, parts: Sequence[tuple[str, Any]], several: Sequence[bool], given: Mapping[str, Any]) -> Cell:
    (program_name, program), (compiler_name, compiler), (model_name, model), (_, seed) = parts
    run = cell_name(name, (label for (label, _), more in zip(parts, several, strict=True) if more))
    roles = {role: given[role] for role in ("prompt_lm", "judge_lm", "teacher") if role in given}
    rest = {key: value for key, value in given.items() if key not in roles}
    return Cell(
        *(run, program_name, compiler_name, model_name, seed),
        arguments=lambda: {**rest, "program": program, "compiler": replace(compiler, seed=seed), "seed": seed},
        models=lambda: {**roles, "lm": model},
    )


def _words(cell: Cell) -> str:
    return f"{cell.program}, {cell.compiler}, {cell.model}, seed {cell.seed}"
