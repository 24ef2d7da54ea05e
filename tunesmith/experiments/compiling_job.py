"""The checked arguments of one compile, and what they make it: the identity of its run."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tunesmith.compilers import Compiler, RandomSearch, as_model, check_seed, fitted_dataset, split_validation
from tunesmith.data import Dataset, check_disjoint, content_key
from tunesmith.errors import DataError, UsageError, shown
from tunesmith.evaluation import Metric, check_compared, checked_demos, lm_key, program_source
from tunesmith.lm import LM, SECRET_OPTIONS, BaseLM, Budget
from tunesmith.metrics import metric_fingerprint, metric_name
from tunesmith.modules import Candidate, Module, caller_adapter, class_name, program_fingerprint
from tunesmith.signatures import Example

__all__ = ["Job", "job_of"]


@dataclass(frozen=True, slots=True)
class Job:
    """The checked arguments of one compile."""

    program: Module
    metric: Metric
    train: Dataset
    val: Dataset
    test: Dataset | None
    compiler: Compiler
    lm: LM
    budget: Budget
    notes: tuple[str, ...]
    seed: int

    def identity(self) -> dict[str, Any]:
        """Return what makes a run of this another run where it differs."""
        adapter = caller_adapter()
        return {
            "program": program_fingerprint(self.program),
            "source": program_source(self.program),
            "candidate": Candidate.of(self.program).key,
            "adapter": None if adapter is None else class_name(adapter),
            "metric": metric_fingerprint(self.metric),
            **_lm_parts(self.lm, self.program),
            "trainset": self.train.fingerprint,
            "valset": self.val.fingerprint,
            "testset": None if self.test is None else self.test.fingerprint,
            "group": [self.val.group, None if self.test is None else self.test.group],
            # Its own budget gives way to the run's, which stands for itself.
            "compiler": {name: value for name, value in self.compiler.options().items() if name != "budget"},
            "budget": self.budget.to_json(),
            "seed": self.seed,
        }

    def about(self, **more: str) -> dict[str, Any]:
        """What a mirror of the search says of it."""
        return {"compiler": self.compiler.name, "metric": metric_name(self.metric), "seed": self.seed, **more}


def _lm_parts(lm: LM, program: Module) -> dict[str, Any]:
    """Return what the models of a run are, so that a change of the digest or of one option is named as such.

    The hash of everything stands under `lm` only where a predictor has a model or options of its own: else it would
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
    """Whether an option makes another run; what is secret is never written down, and no reply depends on it."""
    return value is not None and name not in SECRET_OPTIONS and name != "rollout_id"


def _shown_option(value: Any) -> Any:
    """Return a number as it is and a hash of any other value: a text may be private."""
    if isinstance(value, (bool, int, float)):
        return value
    try:
        return content_key(value, escaped=True)
    except DataError:
        return class_name(value)


def job_of(
    program: Module,
    metric: Metric,
    trainset: Sequence[Example],
    valset: Sequence[Example] | None,
    testset: Sequence[Example] | None,
    compiler: Compiler | None,
    lm: BaseLM | None,
    budget: Budget | int | None,
    seed: int,
) -> Job:
    """Return the checked arguments of a compile, each as `compile_program` describes it."""
    model = as_model(lm)
    check_seed(seed)
    if not isinstance(program, Module):
        raise UsageError(f"A program is a `dspy.Module`. Given: {shown(program)}. Pass an instance, not a class.")
    if compiler is not None and not isinstance(compiler, Compiler):
        raise UsageError(
            f"`compiler` is one of tunesmith's, such as `ts.RandomSearch(metric=...)`. Given: {shown(compiler)}."
        )
    train, noted = fitted_dataset(program, trainset, "trainset")
    notes = [*checked_demos(program), *noted]
    if valset is None:
        train, val = split_validation(train, seed)
        notes.append(
            f"No validation set was given: {len(train)} examples of the training set give demos and {len(val)} select."
        )
    else:
        val, noted = fitted_dataset(program, valset, "valset")
        notes += noted
    test = None
    if testset is not None:
        test, noted = fitted_dataset(program, testset, "testset")
        notes += noted
    splits = {"trainset": train, "valset": val} | ({} if test is None else {"testset": test})
    check_disjoint(**splits)
    for judged in (val, test):
        if judged is not None and metric is not None:
            check_compared(metric, judged, program)
    chosen = RandomSearch(metric=metric, seed=seed) if compiler is None else compiler
    limit = chosen.budget if budget is None else Budget.of(budget)
    return Job(program, metric, train, val, test, chosen, model, limit, tuple(notes), seed)
