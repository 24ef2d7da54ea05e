"""Rollouts: the same call again, as another draw with a row of its own in the reply cache."""

from collections.abc import Mapping
from typing import Any

from tunesmith.lm import BaseLM, rollout_number
from tunesmith.modules.flow import Call
from tunesmith.modules.module import Module, copy_with_lms, settings

__all__ = ["MOST_ROLLOUTS", "keep_trace", "rolled", "rollout"]

# Rollout r of a program uses the rollout numbers from r * MOST_ROLLOUTS on, so that two rollouts share no draw. The
# number of a draw does not depend on how many there are, so a change from three draws to five costs two calls.
MOST_ROLLOUTS = 1000


def rolled(lm: BaseLM, number: int, temperature: float) -> BaseLM:
    """Return the LM that makes draw `number` of a module that makes several."""
    first = rollout_number(lm.kwargs.get("rollout_id")) * MOST_ROLLOUTS
    return lm.copy(rollout_id=first + number, temperature=temperature)


def rollout(step: Module, inputs: Mapping[str, Any], number: int, temperature: float) -> Call:
    """Return the call of draw `number` of a step, with a trace of its own. LMs inside the step get its rollout, too."""

    def draw(lm: BaseLM) -> BaseLM:
        return rolled(lm, number, temperature)

    own = any(predictor.lm is not None for _, predictor in step.named_predictors())
    options: dict[str, Any] = {
        "lm": None if settings.lm is None else draw(settings.lm),
        "trace": None if settings.trace is None else [],
    }
    return Call(copy_with_lms(step, draw) if own else step, inputs, options)


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
