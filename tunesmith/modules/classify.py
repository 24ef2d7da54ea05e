"""`Classify`: one label, with a calibrated probability for each, and no answer below a threshold."""

import math
from collections.abc import Mapping
from typing import Any

from tunesmith.errors import FormatError, UsageError, shown
from tunesmith.formats import LABEL_LOGPROBS, gives_label_logprobs, scored_format
from tunesmith.lm import LM
from tunesmith.modules.binding import bind, bound_format, bound_offsets
from tunesmith.modules.module import DspyPredict, Module, Prediction, copy_program, settings, signature_of
from tunesmith.modules.predict import Predict
from tunesmith.modules.registry import register_module
from tunesmith.modules.setting import Setting
from tunesmith.signatures import field_names, parse_text, render_text

__all__ = ["Classify"]

_ADDED = ("probabilities", "confidence", "abstained", LABEL_LOGPROBS)


@register_module
class Classify(Module):
    """Choose one label in one LM call, and say how likely each label is.

    The step is in the format `scored`, which reads the log-probability of each label from the reply, and
    `scored-letters` if labels begin with the same word. `ts.Calibrate` learns an offset for each label.

    Returns the step's prediction with three more fields. `probabilities` has the probability of each label by its text:
    the log-probabilities with the offsets, made to sum to 1 over the labels. `confidence` is the highest of them. If it
    is below `threshold`, the module abstains: `abstained` is true, and the output is `fallback`. A label that the model
    does not report counts with an upper bound, so that the confidence is rather too low than too high.

    If a compiler gives the step another format, or a reply comes without log-probabilities, `probabilities` and
    `confidence` are `None`, and the module abstains if there is a threshold.

    Args:
        step: a signature whose only output is a Literal, an Enum or a bool, or a predictor with one. The predictor is
            copied.
        fallback: the label that is returned instead of an answer; `None` for `None`.
        threshold: least confidence of an answer, from 0 to 1; 0 never abstains.

    Raises:
        UsageError: the step or the fallback cannot be used; at a call, the model reports no log-probabilities.

    Example:
        >>> import dspy
        >>> import tunesmith as ts
        >>> from tunesmith.lm import TokenLogprob, TopLogprob, text_response
        >>> top = (TopLogprob("good", -0.2), TopLogprob("bad", -2.4))
        >>> reply = text_response("good", model="m", logprobs=(TokenLogprob("good", -0.2, top=top),))
        >>> program = ts.Classify("text -> mood: Literal['good', 'bad']", threshold=0.95)
        >>> with dspy.context(lm=ts.ScriptedLM(reply)):
        ...     found = program(text="What a day!")
        >>> found.mood, found.abstained, round(found.confidence, 2)
        (None, True, 0.9)
    """

    threshold: float = Setting(0.0, low=0.0, high=1.0, help="least confidence of an answer; 0 never abstains")

    def __init__(self, step: Any, fallback: Any = None, threshold: float = 0.0) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.step: Any = copy_program(step) if isinstance(step, Module) else Predict(step)
        if not isinstance(self.step, DspyPredict):
            raise UsageError(f"`step` must be a signature or a `ts.Predict`. Given: {shown(step)}.")
        signature = signature_of(self.step)
        chosen = scored_format(signature)
        taken = [name for name in _ADDED if name in signature.output_fields]
        if chosen is None or taken:
            raise UsageError(
                "The only output of the step must be a Literal of two labels or more, an Enum or a bool, and none of "
                f"{', '.join(_ADDED)}. The outputs are: {', '.join(signature.output_fields)}."
            )
        if not gives_label_logprobs(bound_format(self.step)):
            bind(self.step, chosen)
        self._output = field_names(signature).outputs[0]
        self.fallback = None if fallback is None else self._label(fallback)
        self.threshold = threshold

    def spec(self) -> Mapping[str, Any]:
        """Return the constructor's arguments except the settings."""
        return {"step": self.step, "fallback": self.fallback}

    def calls(self) -> Mapping[str, int]:
        """Return how often one run runs each inner module."""
        return {"step": 1}

    def forward(self, **inputs: Any) -> Prediction:
        """Classify; called by `__call__`."""
        self._check_model()
        return self._judged(self.step(**inputs))

    async def aforward(self, **inputs: Any) -> Prediction:
        """Classify; called by `acall`."""
        self._check_model()
        return self._judged(await self.step.acall(**inputs))

    def _label(self, fallback: Any) -> str:
        try:
            return render_text(signature_of(self.step), self._output, fallback)
        except FormatError as error:
            raise UsageError(f"`fallback` must be a label of `{self._output}`, or None. {error}") from error

    def _check_model(self) -> None:
        if not gives_label_logprobs(bound_format(self.step)):
            return
        model = settings.lm if self.step.lm is None else self.step.lm
        if model is None or (isinstance(model, LM) and model.capabilities.logprobs > 1):
            return
        raise UsageError(
            f"`Classify` needs the log-probabilities of labels, and {model.model!r} reports none. Use `embedded`, "
            "`gguf:<path>`, Ollama from 0.12.11 or vLLM, made with `ts.lm`; or use `ts.Predict`, which needs none."
        )

    def _judged(self, found: Prediction) -> Prediction:
        outputs = dict(found.items())
        logprobs = outputs.get(LABEL_LOGPROBS)
        probabilities = None if not logprobs else _probabilities(logprobs, bound_offsets(self.step))
        confidence = None if probabilities is None else max(probabilities.values())
        abstained = self.threshold > 0 and (confidence is None or confidence < self.threshold)
        if abstained:
            text, signature = self.fallback, signature_of(self.step)
            outputs[self._output] = None if text is None else parse_text(signature, self._output, text, raw=text)
        return Prediction(**outputs, probabilities=probabilities, confidence=confidence, abstained=abstained)


def _probabilities(logprobs: Mapping[str, float], offsets: Mapping[str, float]) -> dict[str, float]:
    """Return the probability of each label among the labels."""
    values = {label: value + offsets.get(label, 0.0) for label, value in logprobs.items()}
    most = max(values.values())
    weights = {label: math.exp(value - most) for label, value in values.items()}
    total = sum(weights.values())
    return {label: weight / total for label, weight in weights.items()}
