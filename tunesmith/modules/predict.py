"""`Predict` and `ChainOfThought`: DSPy's, under tunesmith's formats without further configuration."""

from typing import Any

from tunesmith.formats import default_format, get_format
from tunesmith.modules.module import (
    DspyChainOfThought,
    DspyPredict,
    caller_adapter,
    context,
)

__all__ = ["ChainOfThought", "Predict"]


class Predict(DspyPredict):
    """One LM call from typed inputs to typed outputs.

    The same as `dspy.Predict`, except that without a configured `dspy.settings.adapter` it uses tunesmith's default
    format: `bare` for one output, else `json`, with the reply constrained and one call per prediction.

    Args:
        signature: a `dspy.Signature` class, or text such as `"question -> answer"`.
        **config: request options of this predictor, such as `temperature` or `max_tokens`.
    """

    def forward(self, **kwargs: Any) -> Any:
        """Predict; called by `__call__`."""
        if caller_adapter() is not None:
            return super().forward(**kwargs)
        with context(adapter=get_format(default_format(kwargs.get("signature") or self.signature))):
            return super().forward(**kwargs)

    async def aforward(self, **kwargs: Any) -> Any:
        """Predict asynchronously; called by `acall`."""
        if caller_adapter() is not None:
            return await super().aforward(**kwargs)
        with context(adapter=get_format(default_format(kwargs.get("signature") or self.signature))):
            return await super().aforward(**kwargs)


class ChainOfThought(DspyChainOfThought):
    """Reason in words first, then give the outputs; the reasoning is an output field of its own.

    The same as `dspy.ChainOfThought` (Wei et al. 2022, "Chain-of-Thought Prompting", zero-shot form), with a `Predict`
    of tunesmith inside.

    Args:
        signature: a `dspy.Signature` class, or text such as `"question -> answer"`.
        **config: request options, such as `temperature` or `max_tokens`.
    """

    def __init__(self, signature: Any, **config: Any) -> None:
        super().__init__(signature, **config)
        self.predict = Predict(self.predict.signature, **self.predict.config)
