"""What a plan's calls will take in tokens and seconds, from a few calls that are timed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median
from typing import Any

from tunesmith.compilers import Compiler
from tunesmith.evaluation import Runner
from tunesmith.lm import LM, Call, metered
from tunesmith.metrics import Metric
from tunesmith.modules import Module
from tunesmith.signatures import Example

__all__ = ["CallCost", "estimated", "timed_calls"]


@dataclass(frozen=True, slots=True)
class CallCost:
    """What one call took: tokens in and out, and seconds of the engine."""

    tokens: float
    seconds: float


def timed_calls(
    program: Module, compiler: Compiler, examples: Sequence[Example], metric: Metric, lm: LM, *, count: int
) -> tuple[CallCost, CallCost, CallCost] | None:
    """Return what a call costs: of the program as given and with the most demos the median, and the highest of all.

    Args:
        program: as given.
        compiler: says which candidate has the most demos.
        examples: training examples; `count` of them are run with each of the two.
        metric: is run too, because a judge's calls count.
        lm: the model.
        count: examples.

    Returns:
        All three; `None` if no call was answered.
    """
    plain = _calls(program, examples[:count], metric, lm)
    candidate = compiler.longest(program, examples)
    shown = [] if candidate is None else _calls(candidate.apply(program), examples[:count], metric, lm)
    if not plain:
        return None
    return _median(plain), _median(shown or plain), _highest([*plain, *shown])


def estimated(plan: Mapping[str, Any], costs: tuple[CallCost, CallCost, CallCost] | None) -> dict[str, Any]:
    """Return `tokens` and `seconds` of a plan, and what was `measured`; all `None` without `costs`.

    Nothing bounds either but a budget. `expected` takes the program as given for its validation and its test, and calls
    in the middle of both costs for the rest; `longest` takes the most calls, each as long as the longest that was seen.
    """
    if costs is None:
        return {"tokens": None, "seconds": None, "measured": None}
    plain, most, longest = costs
    calls, sizes = plan["calls"], plan["examples"]
    each = sum(plan["calls_per_example"][name] for name in ("program", "judge"))
    given = min(calls["expected"], (sizes["val"] + sizes["test"]) * each)
    rest = calls["expected"] - given
    expected = {
        name: given * getattr(plain, name) + rest * fmean((getattr(plain, name), getattr(most, name)))
        for name in ("tokens", "seconds")
    }
    return {
        "tokens": {"expected": int(expected["tokens"]), "longest": int(calls["worst"] * longest.tokens)},
        "seconds": {"expected": round(expected["seconds"], 1), "longest": round(calls["worst"] * longest.seconds, 1)},
        "measured": {
            "tokens_per_call": plain.tokens,
            "seconds_per_call": round(plain.seconds, 4),
            "longest_tokens": longest.tokens,
            "longest_seconds": round(longest.seconds, 4),
        },
    }


def _calls(program: Module, examples: Sequence[Example], metric: Metric, lm: LM) -> list[Call]:
    calls: list[Call] = []
    with metered(sink=calls.append):
        Runner(program, metric, lm=lm).run(examples)
    return calls


def _median(calls: Sequence[Call]) -> CallCost:
    return CallCost(median(call.tokens for call in calls), median(call.seconds for call in calls))


def _highest(calls: Sequence[Call]) -> CallCost:
    return CallCost(max(call.tokens for call in calls), max(call.seconds for call in calls))
