"""`Rewriter`: put one input of a step in better words first, and fall back to the original."""

from collections.abc import Mapping, Sequence
from typing import Any

from tunesmith.errors import ContextOverflow, ParseError, UsageError, shown
from tunesmith.modules.inputs import program_inputs
from tunesmith.modules.module import Module, Prediction, context, open_modules, settings
from tunesmith.modules.predict import Predict
from tunesmith.modules.reasoning.rewriting import why_not_rewritten
from tunesmith.modules.registry import register_module
from tunesmith.modules.setting import Setting
from tunesmith.signatures import InputField, OutputField, Signature

__all__ = ["Rewriter", "rewriters_of"]


class Rewriting(Signature):
    """Say the text in clearer words, so that a model understands what is asked. Keep all it says. Do not answer it."""

    text: str = InputField()
    rewritten: str = OutputField()


@register_module
class Rewriter(Module):
    """Rewrite one text input, then run a step with it.

    The rewriter of BPO (Cheng et al. 2023, arXiv 2311.04155) without fine-tuning: it is a predictor of its own,
    `rewrite`, whose instruction and demos a compiler may choose; `ts.BPO` draws them from rewrites that helped and that
    did not. If the rewrite cannot be read, does not fit the context, or breaks a rule (`docs/modules.md`), the step
    gets the original, and the trace has no rewrite. A prediction takes one more call.

    Args:
        step: a predictor or any other module.
        field: name of the text input.
        protect: texts that a rewrite keeps if the original has them.
        active: whether anything is rewritten.

    Raises:
        UsageError: `step` is not a module or has no such input, or `protect` is not a list of texts.

    Example:
        >>> import dspy
        >>> import tunesmith as ts
        >>> program = ts.Rewriter(ts.Predict("question -> answer"), "question")
        >>> with dspy.context(lm=ts.ScriptedLM("What is the capital city of Norway?", "Oslo")):
        ...     program(question="norway capital is what?").answer
        'Oslo'
    """

    active: bool = Setting(default=True, choices=(True, False), help="whether the input is rewritten")

    def __init__(self, step: Module, field: str, protect: Sequence[str] = (), *, active: bool = True) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        if not isinstance(step, Module):
            raise UsageError(f"`step` must be a module, such as `ts.ChainOfThought(...)`. Given: {shown(step)}.")
        names = program_inputs(step).names
        if field not in names:
            raise UsageError(f"`field` must be an input of the step: {', '.join(names)}. Given: {shown(field)}.")
        if isinstance(protect, str) or not all(isinstance(text, str) and text for text in protect):
            raise UsageError(f"`protect` is a list of texts that are not empty. Given: {shown(protect)}.")
        self.rewrite = Predict(Rewriting)
        self.step = step
        self.field = field
        self.protect = list(protect)
        self.active = active

    def spec(self) -> Mapping[str, Any]:
        """Return the constructor's arguments except the settings."""
        return {"step": self.step, "field": self.field, "protect": self.protect}

    def calls(self) -> Mapping[str, int]:
        """Return how often one run runs each inner module."""
        return {"rewrite": int(self.active), "step": 1}

    def forward(self, **inputs: Any) -> Any:
        """Rewrite and run the step; called by `__call__`."""
        text = inputs.get(self.field)
        if self._is_rewritten(text):
            trace = self._own_trace()
            try:
                with context(trace=trace):
                    found = self.rewrite(text=text)
            except (ParseError, ContextOverflow):
                return self.step(**inputs)
            inputs = {**inputs, self.field: self._chosen(text, found, trace)}
        return self.step(**inputs)

    async def aforward(self, **inputs: Any) -> Any:
        """Rewrite and run the step; called by `acall`."""
        text = inputs.get(self.field)
        if self._is_rewritten(text):
            trace = self._own_trace()
            try:
                with context(trace=trace):
                    found = await self.rewrite.acall(text=text)  # type: ignore[no-untyped-call]
            except (ParseError, ContextOverflow):
                return await self.step.acall(**inputs)
            inputs = {**inputs, self.field: self._chosen(text, found, trace)}
        return await self.step.acall(**inputs)

    def _is_rewritten(self, text: object) -> bool:
        return self.active and isinstance(text, str) and bool(text.strip())

    def _own_trace(self) -> list[Any] | None:
        return None if settings.trace is None else []

    def _chosen(self, text: Any, found: Prediction, trace: list[Any] | None) -> str:
        """Return the rewrite, or the original if a rule is broken; the caller's trace has what was used."""
        rewritten = str(found.rewritten).strip()
        if why_not_rewritten(text, rewritten, self.protect) is not None:
            return str(text)
        if trace is not None and settings.trace is not None:
            settings.trace.extend(trace)
        return rewritten


def rewriters_of(program: Module) -> dict[str, str]:
    """Return for each predictor that rewrites an input of `program`, by its path, the path of its module's settings."""
    paths = {id(predictor): path for path, predictor in program.named_predictors()}
    return {
        paths[id(module.rewrite)]: path
        for path, module in open_modules(program)
        if isinstance(module, Rewriter) and id(module.rewrite) in paths
    }
