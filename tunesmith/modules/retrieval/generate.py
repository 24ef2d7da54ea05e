"""`Generate`: answer from passages, and say which."""

from collections.abc import Mapping, Sequence
from typing import Any

from tunesmith.errors import ContextOverflow, UsageError, shown
from tunesmith.modules.fence import fenced
from tunesmith.modules.flow import Call, Flow, Steps
from tunesmith.modules.inputs import program_inputs
from tunesmith.modules.module import (
    DspyChainOfThought,
    DspyPredict,
    Module,
    Prediction,
    as_signature,
    copy_program,
    signature_of,
)
from tunesmith.modules.predict import Predict
from tunesmith.modules.registry import register_module
from tunesmith.modules.retrieval.numbers import numbers_type
from tunesmith.modules.retrieval.passage import Passage, as_passages
from tunesmith.modules.setting import Setting
from tunesmith.signatures import InputField, OutputField, Signature, is_generated

__all__ = ["Generate", "arranged", "passages_text", "without_field"]

_PASSAGES, _CITATIONS = "passages", "citations"
_ADDED = ("wrong_citations", "abstained")
_MOST_CITATIONS = 5
_ORDERS = ("best-first", "best-last", "best-outside")


@register_module
class Generate(Flow):
    """Answer from passages, and cite them by their numbers.

    One call of the predictor in `step`, whose input `passages` is a text: `[1] first line`, with further lines
    indented. So no passage can forge a number, a field, or a turn of the chat. A number that no passage has is no
    citation. If the passages do not fit the context, the last ones are left out. Without passages it abstains, with
    no call.

    Returns the outputs of `step`, all `None` if it abstained, with `citations`, the passages that were cited, in that
    order; `passages`, those that the model saw, as they were given; `wrong_citations`, numbers of no passage; and
    `abstained`.

    Args:
        step: what is asked and answered: a signature, a `ts.Predict` or a `ts.ChainOfThought`. It is copied and gets
            the fields `passages` and `citations`.
        cite: whether the model is asked for citations.
        order: how passages stand in the prompt: the best first, last, or outside: in Liu et al. 2023, "Lost in the
            Middle" (arXiv 2307.03172), models use the beginning and the end of a long context best.

    Raises:
        UsageError: `step` is something else, or has a field that is added.

    Example:
        >>> import dspy
        >>> import tunesmith as ts
        >>> with dspy.context(lm=ts.ScriptedLM('{"answer": "Italy", "citations": [2, 7]}')):
        ...     found = ts.Generate("question -> answer")(question="Where is Rome?", passages=["Oslo", "Rome, Italy"])
        >>> found.answer, [passage.text for passage in found.citations], found.wrong_citations
        ('Italy', ['Rome, Italy'], [7])
    """

    order: str = Setting("best-first", choices=_ORDERS, only=_ORDERS, help="how passages stand in the prompt")

    def __init__(self, step: Any, *, cite: bool = True, order: str = "best-first") -> None:
        super().__init__()
        self.step: Any = copy_program(step) if isinstance(step, Module) else Predict(as_signature(step))
        if not isinstance(self.step, DspyPredict | DspyChainOfThought):
            raise UsageError(f"`step` must be a signature, `ts.Predict` or `ts.ChainOfThought`. Given: {shown(step)}.")
        self.cite, self.order = cite, order
        predictor: DspyPredict = self.step if isinstance(self.step, DspyPredict) else self.step.predict
        signature = signature_of(predictor)
        taken = [name for name in _ADDED if name in signature.fields]
        if taken or not set(signature.output_fields) - {_CITATIONS}:
            raise UsageError(
                f"`step` needs an output, and no field `{taken[0] if taken else _CITATIONS}`, which `Generate` adds."
            )
        predictor.signature = _with_passages(signature, cite=cite)
        self._outputs = list(signature.output_fields)
        self.signature = without_field(program_inputs(self.step).signature, _CITATIONS, _how(cite=cite))

    def spec(self) -> Mapping[str, Any]:
        """Return the constructor's arguments except the settings."""
        return {"step": self.step, "cite": self.cite}

    def calls(self) -> Mapping[str, int]:
        """Return how often one run runs each inner module at most."""
        return {"step": 1}

    def steps(self, **inputs: Any) -> Steps:
        """Ask about the passages, about fewer if they do not fit."""
        passages = as_passages(inputs.pop(_PASSAGES, ()))
        while passages:
            asked = arranged(passages, self.order)
            try:
                found = yield Call(self.step, {_PASSAGES: passages_text(asked), **inputs})
                return _checked(found, passages, asked)
            except ContextOverflow:
                if len(passages) == 1:
                    raise
                passages = passages[:-1]
        return Prediction(
            **{**dict.fromkeys(self._outputs), _PASSAGES: [], _CITATIONS: [], "wrong_citations": [], "abstained": True}
        )


def passages_text(passages: Sequence[Passage]) -> str:
    r"""Return passages as a model reads them: `[1] first line`, with further lines indented.

    Example:
        >>> passages_text([Passage("one\n[2] two", 1.0, "a"), Passage("three", 0.5, "b")])
        '[1] one\n  [2] two\n[2] three'
    """
    return "\n".join(f"[{number}] {fenced(one.text)}".strip() for number, one in enumerate(passages, 1))


def arranged(passages: Sequence[Passage], order: str) -> list[Passage]:
    """Return passages, the best of which is first, in one of the orders of `Generate`.

    Example:
        >>> [one.text for one in arranged([Passage(text, 1.0, text) for text in "12345"], "best-outside")]
        ['1', '3', '5', '4', '2']
    """
    if order == "best-outside":
        return [*passages[::2], *reversed(passages[1::2])]
    return list(passages if order == "best-first" else reversed(passages))


def _checked(found: Any, passages: Sequence[Passage], asked: Sequence[Passage]) -> Prediction:
    """Return the prediction with passages in place of their numbers."""
    outputs = dict(found.items())
    numbers = list(dict.fromkeys(outputs.get(_CITATIONS) or ()))
    good = [number for number in numbers if 1 <= number <= len(asked)]
    wrong = [number for number in numbers if number not in good]
    cited = [asked[number - 1] for number in good]
    added = {_PASSAGES: list(passages), _CITATIONS: cited, "wrong_citations": wrong, "abstained": False}
    return Prediction(**{**outputs, **added})


def _how(*, cite: bool) -> str:
    return "Answer from the passages." + (" Cite the numbers of those that give the answer." if cite else "")


def without_field(signature: Any, field: str, words: str = "") -> type[Signature]:
    """Return the signature without a field, and its instruction without `words` at the end."""
    build: Any = Signature  # called, it gives a class
    fields = {name: (one.annotation, one) for name, one in signature.fields.items() if name != field}
    own = signature.instructions.removesuffix(words).strip()
    made: type[Signature] = build(fields, own) if own and not is_generated(signature, own) else build(fields)
    return made


def _with_passages(signature: Any, *, cite: bool) -> type[Signature]:
    """Return a signature with the fields that `Generate` adds; one that has them already does not change."""
    for name in (_PASSAGES, _CITATIONS):
        if name in signature.fields:
            signature = signature.delete(name)
    made = signature.prepend(_PASSAGES, InputField(), str)
    if cite:
        made = made.append(
            _CITATIONS, OutputField(desc="numbers of passages, such as [1]"), numbers_type(_MOST_CITATIONS)
        )
    how, own = _how(cite=cite), signature.instructions
    if how not in own:
        own = how if is_generated(signature, own) else f"{own}\n\n{how}"
    found: type[Signature] = made.with_instructions(own)
    return found
