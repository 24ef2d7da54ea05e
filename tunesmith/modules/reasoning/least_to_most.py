"""`LeastToMost`: break a problem into simpler ones, and solve them in order."""

from collections.abc import Generator, Mapping
from typing import Any

from tunesmith.data import normalize_text
from tunesmith.errors import ContextOverflow, ParseError, UsageError, shown
from tunesmith.modules.flow import Call, Flow, Steps
from tunesmith.modules.module import Module, Prediction, signature_of
from tunesmith.modules.predict import Predict
from tunesmith.modules.registry import register_module
from tunesmith.modules.setting import Setting
from tunesmith.modules.step import as_text, check_step, step_signature, texts_type, with_inputs
from tunesmith.signatures import OutputField, Signature, input_types

__all__ = ["LeastToMost"]

_PARTS = "parts"


@register_module
class LeastToMost(Flow):
    """Break a problem into simpler ones, then solve one after the other, with the answers so far in view.

    Zhou et al. 2022, "Least-to-Most Prompting Enables Complex Reasoning in Large Language Models" (arXiv 2205.10625),
    section 2. The predictor `decompose` lists the parts of a problem, the easiest first. The predictor `solve` has the
    inputs, the parts solved so far, and the next part; the last part is the whole problem. Differences: the parts are a
    typed list, not text that is searched; a part whose answer cannot be read is left out; and if there are no parts, or
    the last cannot be read, `step` answers alone.

    Returns the outputs of the last part with `parts`: of each solved part its text, as `part`, and its outputs. It is
    empty if `step` answered.

    Args:
        step: a predictor, such as `ts.ChainOfThought("question -> answer")`, or a module around one. Its outputs have
            to make sense for parts of a problem, too.
        field: name of the text input that is the problem; `None`: the only text input.
        max_parts: most parts, with the whole problem. If there are more, the first are solved.

    Raises:
        UsageError: the step cannot be used, or has no such input.
        ParseError: also the reply of `step` cannot be parsed.

    Example:
        >>> import dspy
        >>> import tunesmith as ts
        >>> program = ts.LeastToMost(ts.Predict("question -> answer"))
        >>> replies = ['["How many apples has Anna?"]', "7", "12"]
        >>> with dspy.context(lm=ts.ScriptedLM(*replies)):
        ...     found = program(question="Elsa has 5 apples. Anna has 2 more. How many do they have together?")
        >>> found.answer, found.parts[0]
        ('12', {'part': 'How many apples has Anna?', 'answer': '7'})
    """

    max_parts: int = Setting(5, choices=(3, 5, 8), low=1, help="most parts, with the whole problem")

    def __init__(self, step: Module, field: str | None = None, max_parts: int = 5) -> None:
        super().__init__()
        check_step(step, (_PARTS,))
        signature = step_signature(step)
        hidden = [name for _, one in step.named_predictors() for name in signature_of(one).input_fields]
        hidden = [name for name in hidden if name not in signature.input_fields]
        if hidden:
            raise UsageError(
                f"The predictor of `step` reads `{hidden[0]}`, which `LeastToMost` cannot give it for the parts of a "
                "problem. Give a predictor of the inputs, such as `ts.ChainOfThought(...)`."
            )
        self.field = _field(signature, field)
        self.decompose = Predict(_decomposing(signature, self.field))
        words = f"{signature.instructions}\nGive the answer for the last `part` alone, with the help of what is solved."
        added = {"solved": "parts solved so far", "part": "what to answer now"}
        self.solve = Predict(with_inputs(signature, words, **added))
        self.step = step
        self.max_parts = max_parts

    def spec(self) -> Mapping[str, Any]:
        """Return the constructor's arguments except the settings."""
        return {"step": self.step, "field": self.field}

    def calls(self) -> Mapping[str, int]:
        """Return how often one run runs each inner module at most. Without a failure, it runs no `step`."""
        return {"decompose": 1, "solve": self.max_parts, "step": 1}

    def steps(self, **inputs: Any) -> Steps:
        """Decompose, and solve the parts in order."""
        parts = yield from self._parts(inputs)
        solved: list[dict[str, Any]] = []
        for part in parts:
            text = "\n\n".join(map(as_text, solved)) or "nothing yet"
            try:
                found = yield Call(self.solve, {**inputs, "solved": text, "part": part})
            except (ParseError, ContextOverflow):
                continue
            solved.append({"part": part, **dict(found.items())})
            if part is parts[-1]:
                return Prediction(**{**dict(found.items()), _PARTS: solved})
        found = yield Call(self.step, inputs)
        return Prediction(**{**dict(found.items()), _PARTS: []})

    def _parts(self, inputs: Mapping[str, Any]) -> Generator[Call, Any, list[str]]:
        """Return the parts in order, without repetitions, the whole problem last; empty if there are no others."""
        whole = str(inputs.get(self.field, ""))
        try:
            found = yield Call(self.decompose, dict(inputs))
        except (ParseError, ContextOverflow):
            return []
        # By their words; punctuation alone normalises to an empty text.
        parts: dict[str, str] = {}
        for part in filter(None, map(str.strip, found[_PARTS])):
            parts.setdefault(normalize_text(part) or part, part)
        parts.pop(normalize_text(whole) or whole, None)
        return [*list(parts.values())[: self.max_parts - 1], whole] if parts else []


def _field(signature: type[Signature], field: str | None) -> str:
    """Return the name of the text input that is the problem.

    Raises:
        UsageError: there is no such input, or several and none is named.
    """
    texts = [name for name, kind in input_types(signature).items() if kind is str]
    if field is None and len(texts) == 1:
        return texts[0]
    if field not in texts:
        raise UsageError(
            f"`field` must be a text input of the step: {', '.join(texts) or 'it has none'}. Given: {shown(field)}."
        )
    return str(field)


def _decomposing(signature: type[Signature], field: str) -> type[Signature]:
    """Return the signature of the predictor that lists the parts."""
    made: Any = signature
    for name in signature.output_fields:
        made = made.delete(name)
    desc = "simpler problems, the easiest first; each may use the answers of those before"
    made = made.append(_PARTS, OutputField(desc=desc), texts_type(10))
    outputs = ", ".join(f"`{name}`" for name in signature.output_fields)
    found: type[Signature] = made.with_instructions(
        f"To find {outputs} for `{field}`, break it into simpler problems, in the order in which to solve them. "
        "Do not solve them."
    )
    return found
