"""A copy of a program in which predictors give known outputs, so that only the rest of it calls a model."""

import threading
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from tunesmith.errors import UsageError
from tunesmith.modules.module import DspyPredict, Module, Prediction, copy_program, settings

__all__ = ["replayed"]

_STATE = "tunesmith_replay"


def replayed(program: Module, answers: Mapping[str, Sequence[Mapping[str, Any]]]) -> Module:
    """Return a copy of `program` whose predictors answer their first calls from `answers`, and call no model for them.

    Args:
        program: any program; it is not changed.
        answers: outputs by predictor path, in the order of the calls.

    Raises:
        UsageError: the program does not have such a predictor.

    Example:
        >>> import dspy
        >>> import tunesmith as ts
        >>> from tunesmith.modules import replayed
        >>> program = replayed(ts.Predict("question -> answer"), {"self": [{"answer": "4"}]})
        >>> with dspy.context(lm=ts.ScriptedLM("5")):
        ...     program(question="2 + 2?").answer, program(question="2 + 3?").answer
        ('4', '5')
    """
    copied = copy_program(program)
    predictors = dict(copied.named_predictors())
    for path, outputs in answers.items():
        if path not in predictors:
            raise UsageError(f"There is no predictor {path!r}. The paths are: {', '.join(predictors)}.")
        predictor = predictors[path]
        predictor.__dict__[_STATE] = _Answers(outputs)
        kind: Any = type(predictor)
        predictor.__class__ = _replayed_class(kind)
    return copied


class _Answers:
    """Outputs that are given in order, from any thread. A copy of it starts where the original stands."""

    def __init__(self, outputs: Sequence[Mapping[str, Any]]) -> None:
        self._left = [dict(one) for one in outputs]
        self._lock = threading.Lock()

    def __deepcopy__(self, memo: dict[int, Any]) -> "_Answers":
        return _Answers(self._left)

    def take(self) -> dict[str, Any] | None:
        with self._lock:
            return self._left.pop(0) if self._left else None


@cache
def _replayed_class(kind: type[DspyPredict]) -> type[DspyPredict]:
    """Return a subclass of `kind`: the class says how a call is made, also if a format is bound to the predictor."""

    def forward(self: Any, **kwargs: Any) -> Any:
        outputs = self.__dict__[_STATE].take()
        if outputs is None:
            return kind.forward(self, **kwargs)
        prediction = Prediction(**outputs)
        if settings.trace is not None and settings.max_trace_size > 0:
            settings.trace.append((self, kwargs, prediction))
        return prediction

    names = {"forward": forward, "__module__": kind.__module__, "__qualname__": kind.__qualname__}
    return type(kind.__name__, (kind,), names)
