"""What a compiler is; the door to DSPy's `Teleprompter`."""

import inspect
import logging
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import MISSING, dataclass, fields, replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

from dspy.teleprompt.teleprompt import Teleprompter

from tunesmith.compilers._effort import Effort, planned
from tunesmith.compilers._job import check_program, fitted_dataset, job_of
from tunesmith.compilers._kept import Kept
from tunesmith.compilers._options import check_values, option_names, options_json
from tunesmith.data import Dataset
from tunesmith.errors import UsageError, brief, shown
from tunesmith.evaluation import checked_demos
from tunesmith.lm import LM, BaseLM, Budget
from tunesmith.metrics import Metric, check_metric
from tunesmith.modules import Candidate, Module
from tunesmith.signatures import Example

if TYPE_CHECKING:
    from tunesmith.compilers._mirror import MirrorPlace
    from tunesmith.compilers._search import Search
    from tunesmith.compilers._work import Progress

__all__ = ["Compiler"]

_log = logging.getLogger("tunesmith")


@dataclass(frozen=True, kw_only=True)
class Compiler(Teleprompter, ABC):
    """A way to find a better candidate for a program.

    A subclass is a frozen dataclass: its fields, made with `option`, are its options, `search` is what it does, and
    `effort` says before the first call how much that is. The same compiler with the same seed and the same replies
    gives the same result.

    Args:
        metric: `metric(example, prediction, trace=None)`; `ts.compile` gives its own.
        budget: the most a compile may be charged: a `Budget`, or a number of calls.
        slots: requests on the way at once; default what the LM says.
        seed: of every draw.

    Example:
        >>> from dataclasses import dataclass
        >>> from tunesmith.compilers import Compiler, Effort, option
        >>> @dataclass(frozen=True)
        ... class Shorter(Compiler):
        ...     tries: int = option(4, "Proposals that are asked for.", low=1)
        ...
        ...     def effort(self, *, train, calls):
        ...         return Effort(candidates=self.tries, race="paired-halving", proposals=self.tries)
        ...
        ...     def search(self, search):
        ...         (path,) = search.paths
        ...         given = search.base.parts[path].instruction
        ...         found = search.ask("instruction -> shorter", self.tries, instruction=given)
        ...         texts = [one.shorter for one in found if search.guard(path, one.shorter) is None]
        ...         search.race([search.base.with_part(path, instruction=text) for text in texts])
        >>> Shorter(tries=2)
        Shorter(tries=2)
    """

    name: ClassVar[str] = "Compiler"
    command_name: ClassVar[str] = (
        ""  # in `tunesmith.toml` and `--compiler`; empty for the class's name, as `random-search`
    )
    tries_settings: ClassVar[bool] = (
        False  # whether candidates have other settings of modules, which may cost more calls
    )
    metric: Metric | None = None
    budget: Budget | int | None = None
    slots: int | None = None
    seed: int = 0

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)  # type: ignore[no-untyped-call]
        if "name" not in cls.__dict__:
            cls.name = cls.__name__
        for method in ("__repr__", "__eq__", "__hash__"):  # so that the decorator leaves them alone
            if method not in cls.__dict__:
                setattr(cls, method, getattr(cls, method))

    def __post_init__(self) -> None:
        """Check the options; a subclass that checks more calls this too."""
        missing = [name for name in inspect.get_annotations(type(self)) if not self._is_field(name)]
        if missing:
            raise UsageError(
                f"{type(self).__name__} declares `{missing[0]}`, but it is not a dataclass: write "
                "`@dataclass(frozen=True)` above the class."
            )
        if self.metric is not None:
            check_metric(self.metric)
        if isinstance(self.seed, bool) or not isinstance(self.seed, int) or not 0 <= self.seed < 2**32:
            raise UsageError(f"`seed` must be a whole number from 0 to {2**32 - 1}. Given: {shown(self.seed)}.")
        self._set(budget=Budget.of(self.budget))
        values = {name: getattr(self, name) for name in option_names(type(self))}
        self._set(**check_values(type(self), values))

    def __eq__(self, other: object) -> bool:
        alike = isinstance(other, Compiler) and type(self) is type(other) and self.metric is other.metric
        return alike and (self.options(), self.slots) == (other.options(), other.slots)  # type: ignore[attr-defined]

    def __hash__(self) -> int:
        return hash((type(self), self.name, self.seed))

    def __repr__(self) -> str:
        given = {
            field.name: getattr(self, field.name)
            for field in fields(self)
            if field.name not in ("metric", "budget") and getattr(self, field.name) not in (field.default, MISSING, {})
        }
        return brief(self, **given, budget=self.limit if self.limit.to_json() else None)

    # What a subclass says -----------------------------------------------------------------------------------

    @abstractmethod
    def search(self, search: "Search") -> None:
        """Propose candidates and compare them: `search.race`, `search.score`. The best one is returned."""

    @abstractmethod
    def effort(self, *, train: int, calls: float) -> Effort:
        """Return what `search` will do, for a plan.

        Args:
            train: training examples.
            calls: LM calls of one run of the program.
        """

    def check(self, program: Module, train: Dataset) -> None:
        """Raise an error of `tunesmith.errors` if `program` cannot be compiled, before the first call."""

    def check_model(self, program: Module, lm: LM) -> None:
        """Raise an error of `tunesmith.errors` if the models of `program` cannot be used, before the first call.

        Args:
            program: the predictors may have models of their own.
            lm: the model of those that have none.
        """

    def longest(self, program: Module, examples: Sequence[Example]) -> Candidate | None:
        """Return a candidate with as many demos as this compiler gives, for estimates; `None` if it gives none."""
        return None

    def unjudged(self, program: Module, train: Dataset) -> tuple[Candidate, tuple[str, ...]] | None:
        """Return the candidate, with notes, that is applied without a metric; `None` if the compiler needs one."""
        return None

    # What every compiler has --------------------------------------------------------------------------------

    def compile(
        self,
        student: Module,
        *,
        trainset: Sequence[Example],
        teacher: Module | BaseLM | None = None,
        valset: Sequence[Example] | None = None,
        bad_cases: Sequence[Example] | None = None,
        prompt_lm: BaseLM | None = None,
        judge_lm: BaseLM | None = None,
        freeze: Sequence[str] = (),
        protect: Sequence[str] = (),
        run: str | None = None,
        progress: "Progress | None" = None,
        mirror: "MirrorPlace" = None,
        **kwargs: Any,
    ) -> Module:
        """Return a compiled copy of `student`; `student` is not changed.

        This is `ts.compile` in DSPy's calling form, without a test split and without an artifact. Without `valset` a
        seeded 60/40 split of `trainset` is made and said in the report's notes. The result is never worse than
        `student` on validation: if nothing better is found, it is a copy of `student`.

        Args:
            student: any `dspy.Module`.
            trainset: examples that demos come from.
            teacher: makes demos: a program with the same predictors, or a model for the student itself; default the
                student.
            valset: examples that select; none of them may be in `trainset`.
            bad_cases: examples that a deployed program got wrong; see `ts.compile`.
            prompt_lm: writes proposals, for compilers that ask for some; default `dspy.settings.lm`.
            judge_lm: judges, for judges of the metric without a model of their own and for compilers that compare
                outputs; default `dspy.settings.lm`.
            freeze: what stays as it is: paths of predictors or of modules around them, or one part, such as
                `answer.instruction`, `answer.demos`, `answer.format`, or a setting.
            protect: texts that stay in the instructions that have them.
            run: name of a run folder; the same call goes on in it, a compile of something else is refused.
            progress: is told what goes on, and how many of how many evaluations are done.
            mirror: Optuna URL of a database in which `optuna-dashboard` shows the search; it is only written to.
                Default `study.db` in the run's folder; `False` for none.
            **kwargs: refused; DSPy passes what its own optimizers know.

        Returns:
            The program, with `compile_report` (a `CompileReport`) and `compile_notes`, its notes.

        Raises:
            UsageError: an argument that cannot be used, or a budget without room for a search.
            SplitError: `trainset` and `valset` share examples.
            DataError: an example lacks an input, or a demo of the student cannot be shown.
            RunMismatch: the run folder holds a run of something else.
            BudgetExceeded: the budget ended before the student was scored.
        """
        if kwargs:
            raise UsageError(
                f"{type(self).__name__}.compile does not know {', '.join(sorted(kwargs))}. "
                "How a compiler works is said in its constructor."
            )
        if self.metric is None and bad_cases is None:  # what became of those is judged
            found = self._without_metric(student, trainset, (freeze, protect), progress)
            if found is not None:
                return found
        from tunesmith.compilers._compiling import Place, run_job  # here, since a program may only name a compiler

        given: dict[str, Any] = {"trainset": trainset, "valset": valset, "teacher": teacher}
        given |= {"bad_cases": bad_cases, "prompt_lm": prompt_lm, "judge_lm": judge_lm}
        job = job_of(student, self, freeze=freeze, protect=protect, **given)
        return run_job(job, Place(run=run, mirror=mirror), progress=progress).program

    @property
    def limit(self) -> Budget:
        """The most a compile may be charged."""
        return Budget.of(self.budget)

    def options(self) -> dict[str, Any]:
        """Return how the compiler is configured, as JSON values; part of a run's identity."""
        return {"name": self.name, "seed": self.seed, "budget": self.limit.to_json(), **options_json(self)}

    def plan(self, *, train: int, val: int, calls: float = 1.0) -> dict[str, Any]:
        """Return what a compile will need before the first call.

        Args:
            train: training examples.
            val: validation examples.
            calls: LM calls of one run of the program, those of a metric that calls an LM included; the most, for a
                program that makes now more and now fewer, so that `worst` holds.

        Returns:
            `candidates` at most, the program as given included; `proposals` of the prompt model; charged `calls`, both
            of these included: `expected`, and `worst`, which is never exceeded; a budget of calls limits both. `notes`
            say if it leaves no room to try any candidate.
        """
        advice = "set max_bootstrapped_demos = 0" if "max_bootstrapped_demos" in option_names(type(self)) else ""
        return planned(self.effort(train=train, calls=calls), self.limit, val=val, calls=calls, advice=advice)

    def with_budget(self, budget: Budget) -> Self:
        """Return a copy that differs in the budget alone."""
        return replace(self, budget=budget)

    def _set(self, **values: Any) -> None:
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def _is_field(self, name: str) -> bool:
        return name in {field.name for field in fields(self)} or name == "name" or name.startswith("_")

    def _without_metric(
        self,
        student: Module,
        trainset: Sequence[Example],
        kept: tuple[Sequence[str], Sequence[str]],
        progress: "Progress | None",
    ) -> Module | None:
        check_program(student)
        stays = Kept.of(Candidate.of(student), *kept)
        train, notes = fitted_dataset(student, trainset, "trainset")
        found = self.unjudged(student, train)
        if found is None:
            return None
        program = stays.restored(found[0]).apply(student)
        said = tuple(dict.fromkeys((*checked_demos(student), *notes, *found[1])))
        for note in said:
            _log.warning("%s", note)
            if progress is not None:
                progress(note, 0, 0)
        program._compiled = True
        program.compile_notes = said  # type: ignore[attr-defined]  # promised; DSPy's Module has no slots
        return program
