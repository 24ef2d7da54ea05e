"""The fast path of a predictor's call: it does what `dspy.Predict.forward` does, without the repeated checks.

DSPy inspects every field of the signature several times per call. Most calls do not need that: they pass every input
as text, and override nothing. All others go through DSPy.
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from tunesmith.formats import Format
from tunesmith.lm import LM
from tunesmith.modules.module import DspyPredict, Prediction, prediction_of, settings
from tunesmith.modules.setting import NEAREST
from tunesmith.signatures import Signature, field_names

__all__ = ["is_plain_forward", "plain_forward", "predicted", "shown_demos", "untraced"]

Forward = TypeVar("Forward", bound=Callable[..., Any])

_FORWARD = DspyPredict.forward
_CALL = Format.__call__
_PLAIN: set[Any] = {_FORWARD}
_TEXT = frozenset({str})
_ONE = (None, 0, 1)


def plain_forward(forward: Forward) -> Forward:
    """Say that `predicted` does the same as this `forward` of a predictor; used as a decorator."""
    _PLAIN.add(forward)
    return forward


def is_plain_forward(forward: object) -> bool:
    """Return whether `predicted` does the same as `forward`, which a subclass may have changed."""
    return forward in _PLAIN


def predicted(predictor: DspyPredict, adapter: Any, given: dict[str, Any]) -> Prediction | None:
    """Return what `untraced` returns, and add it to the trace as DSPy does."""
    prediction = untraced(predictor, adapter, given)
    trace = settings.trace
    most = 0 if trace is None or prediction is None else settings.max_trace_size
    if most > 0:
        if len(trace) >= most:
            trace.pop(0)
        trace.append((predictor, given, prediction))
    return prediction


def untraced(predictor: DspyPredict, adapter: Any, given: dict[str, Any]) -> Prediction | None:
    """Return the prediction of a call under `adapter`, `None` if the call has to go through DSPy.

    Args:
        predictor: the predictor that is called.
        adapter: the format that it uses.
        given: the arguments of the call.
    """
    own = vars(predictor)  # DSPy checks for deprecated names at every attribute access, which doubles its cost
    signature: type[Signature] = own["signature"]
    names = field_names(signature)
    if (
        not names.plain
        or given.keys() != names.given
        or not _TEXT.issuperset(map(type, given.values()))
        or own["fields"]
        or type(adapter).__call__ is not _CALL  # another adapter, or a format that does more in a call
        or DspyPredict.forward is not _FORWARD
    ):
        return None
    lm, config = own["lm"] or settings.lm, own["config"]
    if not isinstance(lm, LM) or _draws_many(config) or _draws_many(lm.kwargs) or adapter.callbacks or not lm.direct():
        return None
    return prediction_of(adapter.ask(lm, config, signature, shown_demos(predictor, given), given), signature)


def shown_demos(predictor: DspyPredict, given: Mapping[str, Any]) -> list[Any]:
    """Return the demos that a call with the inputs `given` shows."""
    own = predictor.__dict__
    nearest = own.get(NEAREST)
    demos: list[Any] = own["demos"] if nearest is None else nearest.shown(predictor, given)
    return demos


def _draws_many(options: Mapping[str, Any]) -> bool:
    """Return whether a call draws several replies. DSPy then changes the temperature."""
    return options.get("n") not in _ONE or options.get("num_generations") not in _ONE
