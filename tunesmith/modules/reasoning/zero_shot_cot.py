"""`ZeroShotCoT`: think in one call, answer in a second."""

from collections.abc import Mapping
from typing import Any

from tunesmith.errors import ParseError, UsageError, shown
from tunesmith.modules.flow import Call, Flow, Steps
from tunesmith.modules.module import DspyPredict, Module, Prediction, as_signature, copy_program, signature_of
from tunesmith.modules.predict import Predict
from tunesmith.modules.registry import register_module
from tunesmith.modules.setting import Setting
from tunesmith.modules.step import with_inputs
from tunesmith.signatures import OutputField, Signature, is_generated

__all__ = ["ZeroShotCoT"]

_REASONING = "reasoning"
_TRIGGERS = (
    "Let's think step by step.",
    "Let's think about this logically.",
    "Let's solve this problem by splitting it into steps.",
)


@register_module
class ZeroShotCoT(Flow):
    """Think in one call, and answer in a second call that sees the thoughts.

    Kojima et al. 2022, "Large Language Models are Zero-Shot Reasoners" (arXiv 2205.11916), section 3. The predictor
    `think` writes freely after `trigger`, held to no form, and the predictor `answer` reads the typed outputs from it.
    The settings have the paper's best triggers (table 4). Differences: the trigger is the last line of the prompt, not
    the first of the reply; thoughts that are cut at the limit of a reply are used as they are; and typed outputs are
    read in place of its rules that clean an answer.

    Returns the outputs with `reasoning`. One run is two calls; `ts.ChainOfThought` does both in one.

    Args:
        answer: a signature, such as `"question -> answer: float"`, or a `ts.Predict`, which answers. An input
            `reasoning` for the thoughts is added if it has none.
        trigger: the words that begin the thoughts.

    Raises:
        UsageError: `answer` is something else, or has a field `trigger` or an output `reasoning`.
        SignatureError: the text cannot be parsed.
        ParseError: the second reply cannot be parsed.

    Example:
        >>> import dspy
        >>> import tunesmith as ts
        >>> with dspy.context(lm=ts.ScriptedLM("Two and two make four.", "4")):
        ...     found = ts.ZeroShotCoT("question -> answer: int")(question="2 + 2?")
        >>> found.reasoning, found.answer
        ('Two and two make four.', 4)
    """

    trigger: str = Setting(_TRIGGERS[0], choices=_TRIGGERS, help="the words that begin the thoughts")

    def __init__(self, answer: Any, trigger: str = _TRIGGERS[0]) -> None:
        super().__init__()
        answers: Any = answer if isinstance(answer, Module) else Predict(as_signature(answer))
        if not isinstance(answers, DspyPredict):
            raise UsageError(f"`answer` must be a signature or a `ts.Predict(...)`. Given: {shown(answer)}.")
        signature = signature_of(answers)
        own = signature.delete(_REASONING) if _REASONING in signature.input_fields else signature
        self.think = Predict(_thinking(own))
        if own is signature:
            words = f"{own.instructions}\nTake the answer from the reasoning."
            answers = copy_program(answers)
            answers.signature = with_inputs(own, words, reasoning="thoughts")
        self.answer = answers
        self.signature = own
        self.trigger = trigger

    def spec(self) -> Mapping[str, Any]:
        """Return the constructor's arguments except the settings."""
        return {"answer": self.answer}

    def calls(self) -> Mapping[str, int]:
        """Return how often one run runs each inner module."""
        return {"think": 1, "answer": 1}

    def steps(self, **inputs: Any) -> Steps:
        """Think, then answer."""
        try:
            thought = yield Call(self.think, {**inputs, "trigger": self.trigger})
            reasoning = thought.reasoning
        except ParseError as error:
            if error.reason != "truncated":
                raise
            reasoning = error.raw.strip()  # thoughts are of use without their end
        found = yield Call(self.answer, {**inputs, _REASONING: reasoning})
        return Prediction(**{_REASONING: reasoning, **dict(found.items())})


def _thinking(signature: type[Signature]) -> type[Signature]:
    """Return the signature of the predictor that thinks."""
    outputs = ", ".join(f"`{name}`" for name in signature.output_fields)
    task = "" if is_generated(signature, signature.instructions) else f"{signature.instructions}\n"
    made: Any = with_inputs(
        signature, f"{task}Reason about what {outputs} should be.", trigger="how the reasoning begins"
    )
    for name in signature.output_fields:
        made = made.delete(name)
    found: type[Signature] = made.append(_REASONING, OutputField(), str)
    return found
