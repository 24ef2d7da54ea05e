"""Rollouts: the same call again, as another draw with a row of its own in the reply cache."""

from collections.abc import Mapping
from typing import Any

from tunesmith.lm import BaseLM, rollout_number
from tunesmith.modules.flow import Call
from tunesmith.modules.module import Module, copy_with_lms, has_own_lm, settings

__all__ = ["MOST_ROLLOUTS", "Rollouts", "keep_trace", "rolled"]

# Rollout r of a program uses the rollout numbers from r * MOST_ROLLOUTS on, so that two rollouts share no draw. The
# number of a draw does not depend on how many there are, so a change from three draws to five costs two calls.
MOST_ROLLOUTS = 1000


def rolled(lm: BaseLM, number: int, temperature: float) -> BaseLM:
    """Return the LM that makes draw `number` of a module that makes several."""
    first = rollout_number(lm.kwargs.get("rollout_id")) * MOST_ROLLOUTS
    return lm.copy(rollout_id=first + number, temperature=temperature)


class Rollouts:
    """The draws of one run of a step, each with a trace of its own.

    Args:
        step: what is called.
        inputs: of every draw.
        temperature: of every draw.
    """

    __slots__ = ("_copied", "_inputs", "_step", "_temperature")

    def __init__(self, step: Module, inputs: Mapping[str, Any], temperature: float) -> None:
        self._step, self._inputs, self._temperature = step, inputs, temperature
        self._copied = has_own_lm(step)

    def call(self, number: int) -> Call:
        """Return the call of a draw. LMs inside the step get its rollout, too."""

        def draw(lm: BaseLM) -> BaseLM:
            return rolled(lm, number, self._temperature)

        options: dict[str, Any] = {
            "lm": None if settings.lm is None else draw(settings.lm),
            "trace": None if settings.trace is None else [],
        }
        return Call(copy_with_lms(self._step, draw) if self._copied else self._step, self._inputs, options)


def keep_trace(call: Call, step: Module) -> None:
    """Put the trace of a rollout of `step` into the caller's, with the predictors of `step`, not those of its copy."""
    trace = call.options["trace"]
    if settings.trace is None or not trace:
        return
    if call.module is not step:
        paths = {id(predictor): path for path, predictor in call.module.named_predictors()}
        originals = dict(step.named_predictors())
        trace = [(originals[paths[id(one)]] if id(one) in paths else one, *rest) for one, *rest in trace]
    settings.trace.extend(trace)
