"""`Likelihood`: how likely a predictor's model finds the right outputs."""

from dataclasses import replace
from typing import Any

from tunesmith.errors import UsageError
from tunesmith.lm import Config, as_lm, effective
from tunesmith.modules.module import DspyPredict, Module, Prediction, settings, signature_of
from tunesmith.modules.rendering import render
from tunesmith.signatures import Demo

__all__ = ["Likelihood"]


class Likelihood(Module):
    """Score given outputs: the mean log-probability of their tokens after the predictor's prompt.

    APE's likelihood (Zhou et al. 2022, section 3.2). The outputs are written as the predictor's format writes those of
    a demo. One call, to an engine that can be held to a given reply (`Capabilities.forced`).

    Args:
        step: a predictor with a format.

    Example:
        >>> import tunesmith as ts
        >>> scored = Likelihood(ts.Predict("text -> label"))
        >>> # scored(text="a dull film", label="bad").likelihood
    """

    def __init__(self, step: DspyPredict) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.step = step

    def forward(self, **fields: Any) -> Prediction:
        """Return a prediction with `likelihood`; called by `__call__` with inputs and outputs."""
        signature = signature_of(self.step)
        inputs, outputs = (
            {name: fields[name] for name in side if name in fields}
            for side in (signature.input_fields, signature.output_fields)
        )
        own = settings.lm if self.step.lm is None else self.step.lm
        if own is None:
            raise UsageError("There is no model. Configure one: `dspy.configure(lm=ts.lm('embedded'))`.")
        lm = as_lm(own)
        request = render(self.step, lm=lm, **inputs).request
        config = effective(Config(temperature=0.0, logprobs=1, extensions={"forced": self._reply(inputs, outputs)}), 0)
        found = lm.send(replace(request, config=config)).logprobs or ()
        if not found:
            raise UsageError(f"The model {lm.model} gave no log-probabilities of a given reply.")
        return Prediction(likelihood=sum(token.logprob for token in found) / len(found))

    def _reply(self, inputs: dict[str, Any], outputs: dict[str, Any]) -> str:
        """Return the outputs as the format writes those of a demo."""
        shown = self.step.deepcopy()
        shown.demos = [Demo.of(signature_of(self.step), {**inputs, **outputs}).as_example()]
        replies = [one["content"] for one in render(shown, **inputs).messages if one["role"] == "assistant"]
        return replies[-1]
