"""One compile as one value: its arguments, checked once, and what they make it: the identity of its run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from tunesmith.compilers._bad_cases import BadCases
from tunesmith.compilers._kept import Kept
from tunesmith.data import Dataset, check_disjoint, content_key
from tunesmith.errors import DataError, UsageError, shown
from tunesmith.evaluation import (
    as_dataset,
    as_model,
    check_compared,
    checked_demos,
    fit_to_program,
    lm_key,
    program_source,
)
from tunesmith.lm import LM, SECRET_OPTIONS, BaseLM, Budget
from tunesmith.metrics import Metric, judged_by, metric_fingerprint, metric_name
from tunesmith.modules import Candidate, Module, caller_adapter, class_name, copy_program, program_fingerprint
from tunesmith.signatures import Example

__all__ = ["Job", "Policy", "check_program", "fitted_dataset", "job_of"]

_VALIDATION_SHARE = 0.4


class Policy(Protocol):
    """What a job needs of its compiler; see `Compiler`."""

    @property
    def name(self) -> str:
        """What reports call it."""

    @property
    def metric(self) -> Metric | None:
        """What it was made with."""

    @property
    def slots(self) -> int | None:
        """Requests on the way at once; `None` for what the LM says."""

    @property
    def seed(self) -> int:
        """Of every draw."""

    @property
    def limit(self) -> Budget:
        """The most a compile may be charged."""

    @property
    def tries_settings(self) -> bool:
        """Whether candidates have other settings of modules, which may cost more calls."""

    def options(self) -> dict[str, Any]:
        """Return how it is configured."""

    def check(self, program: Module, train: Dataset) -> None:
        """Refuse what cannot be compiled, before the first call."""

    def check_model(self, program: Module, lm: LM) -> None:
        """Refuse models that cannot be used, before the first call."""

    def search(self, search: Any) -> None:
        """Propose candidates and compare them."""

    def with_budget(self, budget: Budget) -> "Policy":
        """Return a copy that differs in the budget alone."""

    def plan(self, *, train: int, val: int, calls: float = 1.0) -> dict[str, Any]:
        """Return what a compile will need."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """The checked arguments of one compile. `ts.compile` and `Compiler.compile` make one, and hand on nothing else.

    Attributes:
        program: the program as given; it is never changed.
        compiler: searches.
        metric: judges one prediction.
        train: examples that demos come from.
        val: examples that select.
        test: examples that only label the result, `None` for none.
        bad_cases: examples that a deployed program got wrong, at the end of `train` too; `None` for none.
        teacher: makes demos; `None` for the program itself. Given a model, it is the program under that model.
        lm: the model.
        prompt_lm: writes proposals; `None` for `lm`.
        teacher_lm: the model that was given as the teacher, `None` if none was.
        judge_lm: judges, for the metric's judges too; `None` for `lm`.
        kept: what no candidate changes.
        budget: the most everything together may be charged.
        notes: what was decided for the caller.
        seed: of the split.
    """

    program: Module
    compiler: Policy
    metric: Metric
    train: Dataset
    val: Dataset
    test: Dataset | None
    bad_cases: BadCases | None
    teacher: Module | None
    lm: LM
    prompt_lm: LM | None
    teacher_lm: LM | None
    judge_lm: LM | None
    kept: Kept
    budget: Budget
    notes: tuple[str, ...]
    seed: int

    @property
    def slots(self) -> int:
        """Requests on the way at once."""
        return self.lm.slots if self.compiler.slots is None else self.compiler.slots

    @property
    def checked_at_end(self) -> int:
        """On how many examples both programs are run when the search has ended: the test split and bad cases."""
        return len(self.test or ()) + (0 if self.bad_cases is None else len(self.bad_cases.examples))

    @property
    def proposer(self) -> LM:
        """The model that writes proposals."""
        return self.lm if self.prompt_lm is None else self.prompt_lm

    @property
    def model_of_judge(self) -> LM:
        """The model that judges."""
        return self.lm if self.judge_lm is None else self.judge_lm

    @property
    def objectives(self) -> tuple[str, ...]:
        """Names of `OBJECTIVES`, for a compiler with such an option: what the search looks for."""
        return tuple(getattr(self.compiler, "objectives", ("score",)))

    @property
    def limits(self) -> Mapping[str, float]:
        """The most that one example may cost, by objective, for a compiler with such an option."""
        return dict(getattr(self.compiler, "limits", {}))

    def identity(self) -> dict[str, Any]:
        """Return what makes a run of this another run if it differs."""
        adapter = caller_adapter()
        return {
            "program": program_fingerprint(self.program),
            "source": program_source(self.program),
            "candidate": Candidate.of(self.program).key,
            "adapter": None if adapter is None else class_name(adapter),
            "metric": metric_fingerprint(self.metric),
            **_lm_parts(self.lm, self.program),
            **self._optional_parts(),
            "trainset": self.train.fingerprint,
            "valset": self.val.fingerprint,
            "testset": None if self.test is None else self.test.fingerprint,
            "group": [self.val.group, None if self.test is None else self.test.group],
            # Its own budget gives way to the run's, which stands for itself.
            "compiler": {name: value for name, value in self.compiler.options().items() if name != "budget"},
            "budget": self.budget.to_json(),
            "seed": self.seed,
        }

    def _optional_parts(self) -> dict[str, Any]:
        """Return the parts that only some runs have, so that the runs of earlier versions go on."""
        found: dict[str, Any] = {}
        if self.teacher_lm is not None:
            found["teacher lm"] = lm_key(self.teacher_lm, self.program)
        elif self.teacher is not None:
            found["teacher"] = [program_fingerprint(self.teacher), Candidate.of(self.teacher).key]
        if self.prompt_lm is not None:
            found["prompt lm"] = lm_key(self.prompt_lm, self.program)
        if self.judge_lm is not None:
            found["judge lm"] = lm_key(self.judge_lm, self.program)
        if self.bad_cases is not None:
            found["bad cases"] = [self.bad_cases.examples.fingerprint, content_key(dict(self.bad_cases.said))]
        if self.kept.parts or self.kept.settings:
            found["freeze"] = [".".join(one) for one in sorted(self.kept.parts | self.kept.settings)]
        if self.kept.protect:
            found["protect"] = content_key(sorted(self.kept.protect), escaped=True)
        return found

    def about(self, **more: str) -> dict[str, Any]:
        """What a mirror of the search says of it."""
        return {"compiler": self.compiler.name, "metric": metric_name(self.metric), "seed": self.seed, **more}


def job_of(
    program: Module,
    compiler: Policy,
    *,
    metric: Metric | None = None,
    trainset: Sequence[Example],
    valset: Sequence[Example] | None = None,
    testset: Sequence[Example] | None = None,
    bad_cases: Sequence[Example] | None = None,
    teacher: Module | BaseLM | None = None,
    lm: BaseLM | None = None,
    prompt_lm: BaseLM | None = None,
    judge_lm: BaseLM | None = None,
    freeze: Sequence[str] = (),
    protect: Sequence[str] = (),
    budget: Budget | int | None = None,
    seed: int | None = None,
) -> Job:
    """Return the checked arguments of a compile, each as `ts.compile` describes it.

    `metric`, `budget` and `seed`, which splits, are by default the compiler's.
    """
    model = as_model(lm)
    check_program(program)
    teaching, teacher_lm = _teacher(program, teacher)
    judge = compiler.metric if metric is None else metric
    if judge is None:
        raise UsageError(
            f"{compiler.name} needs a metric. Pass `metric=`, for instance `ts.metrics.exact_match('answer')`."
        )
    judging = None if judge_lm is None else as_model(judge_lm)
    judge = judge if judging is None else judged_by(judge, judging)
    chosen = compiler.seed if seed is None else seed
    bad, noted = (None, ()) if bad_cases is None else BadCases.of(program, bad_cases)
    splits, notes = _splits(program, trainset, valset, testset, chosen, bad)
    notes += noted
    for name in ("val", "test"):
        if name in splits:
            check_compared(judge, splits[name], program)
    kept = Kept.of(Candidate.of(program), freeze, protect)
    compiler.check(program, splits["train"])
    compiler.check_model(program, model)
    return Job(
        program=program,
        compiler=compiler,
        metric=judge,
        train=splits["train"],
        val=splits["val"],
        test=splits.get("test"),
        bad_cases=bad,
        teacher=teaching,
        lm=model,
        prompt_lm=None if prompt_lm is None else as_model(prompt_lm),
        teacher_lm=teacher_lm,
        judge_lm=judging,
        kept=kept,
        budget=compiler.limit if budget is None else Budget.of(budget),
        notes=tuple(notes),
        seed=chosen,
    )


def _teacher(program: Module, given: Any) -> tuple[Module | None, LM | None]:
    """Return the program that makes demos and, if it is the program under another model, that one."""
    if isinstance(given, list) and len(given) == 1:  # as `dspy.BetterTogether` passes it
        given = given[0]
    if given is None:
        return None, None
    if not isinstance(given, BaseLM):
        check_program(given)
        _check_same_predictors(program, given)
        return given, None
    model, copied = as_model(given), copy_program(program)
    for _, predictor in copied.named_predictors():
        predictor.lm = model if predictor.lm is None else predictor.lm
    return copied, model


def check_program(given: object) -> None:
    """Raise `UsageError` unless `given` is a program."""
    if not isinstance(given, Module):
        raise UsageError(f"A program is a `dspy.Module`. Given: {shown(given)}. Pass an instance, not a class.")


def fitted_dataset(program: Module, examples: Sequence[Example], name: str) -> tuple[Dataset, tuple[str, ...]]:
    """Return `examples` as `program` gets them, and what to note of them.

    Raises:
        UsageError: they are not a list of examples, or one does not say which fields are inputs.
        DataError: there are none, or one lacks an input.
    """
    return fit_to_program(program, as_dataset(examples, name))


def _splits(
    program: Module,
    trainset: Sequence[Example],
    valset: Sequence[Example] | None,
    testset: Sequence[Example] | None,
    seed: int,
    bad: BadCases | None,
) -> tuple[dict[str, Dataset], list[str]]:
    """Return the splits by name as the program gets them, and what to note; without `valset` 60/40 of `trainset`.

    Raises:
        SplitError: two of them share examples.
    """
    train, noted = fitted_dataset(program, trainset, "trainset")
    train = train if bad is None else bad.without(train)
    notes = [*checked_demos(program), *noted]
    if valset is None:
        parts = train.split(train=1 - _VALIDATION_SHARE, val=_VALIDATION_SHARE, seed=seed)
        if parts.train is None or parts.val is None:
            raise UsageError("The training set is too small to split. Pass `valset=`.")
        train, val = parts.train, parts.val
        notes.append(
            f"No validation set was given: {len(train)} examples of the training set give demos and {len(val)} select."
        )
    else:
        val, noted = fitted_dataset(program, valset, "valset")
        notes += noted
    found = {"train": train, "val": val}
    if testset is not None:
        found["test"], noted = fitted_dataset(program, testset, "testset")
        notes += noted
    check_disjoint(**{f"{name}set": split for name, split in found.items()})
    if bad is not None:
        check_disjoint(bad_cases=bad.examples, **{f"{name}set": found[name] for name in found if name != "train"})
        found["train"] = bad.joined(train)
    return found, notes


def _check_same_predictors(student: Module, teacher: Module) -> None:
    ours = {path: list(p.signature.fields) for path, p in student.named_predictors()}
    theirs = {path: list(p.signature.fields) for path, p in teacher.named_predictors()}
    if ours != theirs:
        raise UsageError(
            f"Student and teacher must have the same predictors with the same fields. The student has {ours}, "
            f"the teacher {theirs}. Pass a teacher of the same structure."
        )


def _lm_parts(lm: LM, program: Module) -> dict[str, Any]:
    """Return what the models of a run are, so that a change of the digest or of one option is named as such.

    The hash of everything stands under `lm` only if a predictor has a model or options of its own: else it would
    differ whatever differs.
    """
    about = lm.identity.to_json()
    own = any(predictor.lm is not None or predictor.config for _, predictor in program.named_predictors())
    return {
        "lm": lm_key(lm, program) if own else f"{about['backend']} {about['model']}",
        "lm digest": about["digest"],
        **{f"lm option {name}": value for name, value in about["details"].items()},
        **{f"lm option {name}": _shown_option(value) for name, value in lm.kwargs.items() if _counts(name, value)},
    }


def _counts(name: str, value: Any) -> bool:
    return value is not None and name not in SECRET_OPTIONS and name != "rollout_id"


def _shown_option(value: Any) -> Any:
    """Return a number as it is and a hash of any other value: a text may be private."""
    if isinstance(value, (bool, int, float)):
        return value
    try:
        return content_key(value, escaped=True)
    except DataError:
        return class_name(value)
