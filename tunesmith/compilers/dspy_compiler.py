"""`DSPyCompiler`: one of DSPy's own optimizers, with our cache, budget and verdict."""

import inspect
import sys
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from dspy import teleprompt
from dspy.teleprompt.teleprompt import Teleprompter

from tunesmith.compilers._effort import Effort
from tunesmith.compilers._options import option
from tunesmith.compilers.compiler import Compiler
from tunesmith.data import Dataset
from tunesmith.errors import BudgetExceeded, DataError, UsageError, shown
from tunesmith.lm import Budget, Meter, StopSignal, current_scope, metered
from tunesmith.metrics import score_of
from tunesmith.modules import Candidate, Module, Prediction, context

if TYPE_CHECKING:
    from tunesmith.compilers._search import Search

__all__ = ["DSPyCompiler"]

_MOST_ERRORS = 1_000_000
_MODELS = ("prompt_model", "reflection_lm")  # arguments that take the model which writes


@dataclass(frozen=True)
class DSPyCompiler(Compiler):
    """Run an optimizer of DSPy, such as MIPROv2 or GEPA, and keep its program if it helps on validation.

    For a comparison, or for those who want exactly that optimizer. It is given the program in our formats, the metric,
    the model and the prompt model, a seed and the slots, as far as its constructor takes them. Its calls are counted in
    the budget under one role, because DSPy does not say which of them are proposals. What differs from all other
    compilers: a run that is resumed starts DSPy's search anew, and only the cache saves its calls.

    Args: its options are in `docs/compilers.md`; the others as `Compiler`.

    Example:
        >>> import tunesmith as ts
        >>> compiler = ts.DSPyCompiler("BootstrapFewShotWithRandomSearch", arguments={"num_candidate_programs": 4})
        >>> compiler.optimizer
        'BootstrapFewShotWithRandomSearch'
    """

    command_name = "dspy"

    optimizer: str = option(
        "MIPROv2", "The name of a class of `dspy.teleprompt`, such as MIPROv2, GEPA, SIMBA or COPRO.", kw_only=False
    )
    arguments: Mapping[str, Any] = option({}, 'What its constructor is given besides, as in `{auto = "light"}`.')
    compile_arguments: Mapping[str, Any] = option({}, "What its method `compile` is given besides.")
    max_calls: int = option(2000, "The most calls that DSPy's search may make; it is stopped there.", low=1)

    def __post_init__(self) -> None:
        """Check that DSPy has the optimizer and takes the arguments."""
        super().__post_init__()
        kind = self._kind()
        for given, function in ((self.arguments, kind.__init__), (self.compile_arguments, kind.compile)):
            known = inspect.signature(function).parameters
            free = any(parameter.kind is parameter.VAR_KEYWORD for parameter in known.values())
            wrong = [name for name in given if name not in known and not free]
            if wrong:
                raise UsageError(
                    f"DSPy's {self.optimizer} does not take `{wrong[0]}`. It takes: {', '.join(list(known)[1:])}."
                )

    def effort(self, *, train: int, calls: float) -> Effort:
        """Return the most that DSPy may spend; what it will spend, only DSPy knows."""
        most = int(self.max_calls / max(1.0, calls))
        return Effort(candidates=1, runs=most // 2, most_runs=most)

    def check(self, program: Module, train: Dataset) -> None:
        """Refuse what DSPy's constructor refuses."""
        self._made(_metric_of(lambda *_: 0.0), object(), object(), 1)

    def search(self, search: "Search") -> None:
        """Let DSPy search, and score what it returns."""
        search.score(search.base)
        room = search.meter.room().calls
        most = self.max_calls if room is None else min(self.max_calls, room - search.size)
        if most < 1:
            search.note(f"{self.optimizer} was not run: the budget has no room for it.")
            return
        found = self._found(search, Meter(Budget(calls=most)))
        if found is not None:
            search.score(found, origin=f"found by {self.optimizer}")

    def _found(self, search: "Search", meter: Meter) -> Candidate | None:
        job = search.job
        writer = job.lm if job.prompt_lm is None else job.prompt_lm
        made = self._made(_metric_of(job.metric), writer, job.lm, job.slots)
        search.say(f"{self.optimizer} of DSPy searches")
        student = search.base.apply(job.program)
        examples: dict[str, Any] = {
            "trainset": [*search.train],
            "valset": [*search.val],
            "teacher": job.teacher,
            "seed": self.seed,
        }
        known = inspect.signature(made.compile).parameters
        given = {name: value for name, value in examples.items() if name in known}
        given |= {"eval_kwargs": {"num_threads": job.slots}} if "eval_kwargs" in known else {}
        try:
            with redirect_stdout(sys.stderr), metered(search.meter), metered(meter):
                scope = [current_scope()]  # for DSPy's threads
                # A small model writes much that cannot be read, and after ten of these DSPy would give up.
                more = {"tunesmith_scope": scope, "max_errors": _MOST_ERRORS, "disable_history": True}
                with context(lm=job.lm, adapter=None, **more):
                    compiled = made.compile(student, **{**given, **self.compile_arguments})
        except StopSignal as stop:
            if not isinstance(stop.error, BudgetExceeded):
                raise stop.error from stop
            search.note(f"{self.optimizer} was stopped after {meter.charged.calls} calls: {stop.error}")
            return None
        except Exception as error:  # noqa: BLE001 - an error of DSPy's ends its search, never the compile
            search.note(f"{self.optimizer} failed after {meter.charged.calls} calls: {shown(str(error), 300)}")
            return None
        search.note(f"{self.optimizer} made {meter.charged.calls} calls.")
        return self._candidate(search, compiled)

    def _candidate(self, search: "Search", compiled: Module) -> Candidate | None:
        try:
            found = Candidate.of(compiled)
        except DataError as error:
            search.note(f"What {self.optimizer} returned has a demo that cannot be shown: {error}")
            return None
        if set(found.parts) != set(search.base.parts):
            search.note(f"{self.optimizer} returned a program with other predictors, which cannot be compared.")
            return None
        # MIPROv2 hangs other programs on the one that it returns: their settings are not the program's.
        return replace(
            found, settings={path: found.settings.get(path, own) for path, own in search.base.settings.items()}
        )

    def _kind(self) -> type[Teleprompter]:
        found = getattr(teleprompt, self.optimizer, None)
        if not (isinstance(found, type) and issubclass(found, Teleprompter)) or found is Teleprompter:
            known = sorted(name for name in teleprompt.__all__ if name[0].isupper())
            raise UsageError(f"DSPy has no optimizer {shown(self.optimizer)}. Use one of: {', '.join(known)}.")
        return found

    def _made(self, metric: Callable[..., Any], writer: Any, runner: Any, slots: int) -> Any:
        known = inspect.signature(self._kind().__init__).parameters
        given = {"metric": metric, "num_threads": slots, "seed": self.seed, **dict.fromkeys(_MODELS, writer)}
        given["task_model"] = runner  # without it MIPROv2 wants a default model of DSPy's before its search
        chosen = {name: value for name, value in given.items() if name in known}
        try:
            # DSPy prints what it does: `--json` and `--quiet` keep the standard output for themselves.
            with redirect_stdout(sys.stderr):
                return self._kind()(**{**chosen, **self.arguments})
        except Exception as error:  # whatever its constructor may raise
            raise UsageError(f"DSPy's {self.optimizer} refuses its arguments: {shown(str(error), 300)}") from error


def _metric_of(metric: Callable[..., Any]) -> Callable[..., Any]:
    """Return the metric in the form that all of DSPy's optimizers take, `GEPA` included."""

    def judged(example: Any, prediction: Any, trace: Any = None, pred_name: Any = None, pred_trace: Any = None) -> Any:
        found = score_of(metric, example, prediction, trace)
        if pred_name is None:
            return found.value
        return Prediction(score=found.value, feedback=found.feedback or f"The score is {found.value:g}.")

    return judged
