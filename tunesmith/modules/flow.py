"""`Flow`: a module written once, as a generator of calls, that runs sync and async."""

from collections.abc import Generator, Iterable, Mapping, Sized
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

from tunesmith.errors import BudgetExceeded, UsageError, shown
from tunesmith.lm import StopSignal, in_trial
from tunesmith.modules.module import Module, context, settings

__all__ = ["BUDGET", "Call", "Flow", "Steps", "arun_steps", "run_steps", "unless_cut", "until_budget"]

_CALL = Module.__call__
BUDGET = "budget"
"""What `stopped` of a prediction says if the budget ended first."""


@dataclass(frozen=True, slots=True)
class Call:
    """A call that a flow asks for.

    Attributes:
        module: what is called: a module, or anything else with `__call__` and `acall`, such as a tool.
        inputs: of the call.
        options: DSPy settings of the call.
    """

    module: Any
    inputs: Mapping[str, Any]
    options: Mapping[str, Any] = field(default_factory=dict)

    def context(self) -> AbstractContextManager[None]:
        """Return the context of the call; most need none, which DSPy would take a tenth of the time of a call for."""
        return context(**self.options) if self.options else nullcontext()


Steps = Generator[Call, Any, Any]
"""Yields calls, gets their predictions, or the errors that they raise; returns a prediction."""


class Flow(Module):
    """Base of modules whose steps are written once: a subclass has `steps(**inputs)`.

    If a budget ends, the steps get `BudgetExceeded` and may return the best that they have; see `until_budget`. Not so
    in an evaluation or compile, which ends: a score must not depend on the example at which the budget ended.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # DSPy's

    def steps(self, **inputs: Any) -> Steps:
        """Yield the calls of one run and return its prediction."""
        raise NotImplementedError

    def part(self, inputs: Mapping[str, Any]) -> Steps:
        """Yield the calls of one run as a part of another flow's: `found = yield from self.step.part(inputs)`.

        So DSPy does not take note of a module inside, which takes as long as the rest of a small step: its own
        `history` stays empty. With callbacks, or a `forward` of a subclass, it is called as any other module.
        """
        if (
            type(self).forward is not Flow.forward
            or self.callbacks
            or settings.callbacks
            or type(self).__call__ is not _CALL
        ):
            return (yield Call(self, inputs))
        return (yield from self.steps(**inputs))

    def forward(self, *unnamed: Any, **inputs: Any) -> Any:
        """Run the steps; called by `__call__`.

        Raises:
            UsageError: an input has no name.
        """
        _check_named(unnamed)
        return run_steps(self.steps(**inputs))

    async def aforward(self, *unnamed: Any, **inputs: Any) -> Any:
        """Run the steps; called by `acall`."""
        _check_named(unnamed)
        return await arun_steps(self.steps(**inputs))


def _check_named(unnamed: tuple[Any, ...]) -> None:
    if unnamed:
        raise UsageError(f"Give inputs by name, as in `program(question=...)`. Given: {shown(unnamed[0])}.")


def run_steps(steps: Steps) -> Any:
    """Make the calls that a generator asks for, and return what it returns."""
    run = _Run(steps)
    while (call := run.next()) is not None:
        try:
            with call.context():
                run.got(call.module(**call.inputs))
        except (Exception, StopSignal) as error:  # noqa: BLE001 - raised again in the steps, which catch what they can mend
            run.failed(error)
    return run.result


async def arun_steps(steps: Steps) -> Any:
    """Make the calls that a generator asks for asynchronously, and return what it returns."""
    run = _Run(steps)
    while (call := run.next()) is not None:
        try:
            with call.context():
                run.got(await call.module.acall(**call.inputs))
        except (Exception, StopSignal) as error:  # noqa: BLE001 - raised again in the steps, which catch what they can mend
            run.failed(error)
    return run.result


def until_budget(work: Generator[Call, Any, str], found: Sized) -> Generator[Call, Any, str]:
    """Return why `work` stopped, or `BUDGET` if the budget ended after something was put into `found`."""
    try:
        return (yield from work)
    except BudgetExceeded:
        if not found:
            raise
        return BUDGET


def unless_cut(stopped: str, found: Iterable[Any]) -> str:
    """Return `stopped`, or `BUDGET` if the budget ended inside the module that gave one of these predictions."""
    return BUDGET if any(getattr(one, "stopped", None) == BUDGET for one in found) else stopped


class _Run:
    """One run of the steps of a flow."""

    __slots__ = ("_ask", "_given", "_steps", "_stop", "result")

    def __init__(self, steps: Steps) -> None:
        self._steps = steps
        self._ask: Any = steps.send
        self._given: Any = None
        self._stop: StopSignal | None = None
        self.result: Any = None

    def next(self) -> Call | None:
        """Return the next call, `None` at the end."""
        try:
            call: Call = self._ask(self._given)
        except StopIteration as end:
            self.result = end.value
            return None
        except BudgetExceeded as error:
            if self._stop is None or error is not self._stop.error:
                raise
            raise self._stop from None  # the steps have nothing, so it ends the caller's run as it would have
        return call

    def got(self, given: Any) -> None:
        self._ask, self._given = self._steps.send, given

    def failed(self, error: BaseException) -> None:
        if isinstance(error, StopSignal):
            if not isinstance(error.error, BudgetExceeded) or in_trial():
                raise error
            self._stop, error = error, error.error
        self._ask, self._given = self._steps.throw, error
