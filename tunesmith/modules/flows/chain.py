"""`Chain`: steps one after the other, each with the fields that it takes of all that is known by then."""

from collections.abc import Mapping, Sequence
from typing import Any

from tunesmith.modules.flow import Flow, Steps
from tunesmith.modules.flows.parts import Parts, joined_signature, prediction_fields
from tunesmith.modules.module import Module, Prediction
from tunesmith.modules.registry import register_module

__all__ = ["Chain"]


@register_module
class Chain(Flow):
    """Run steps one after the other. Each gets its inputs from those of the chain and from what earlier steps returned.

    Returns all fields that the steps returned; of two with one name the later. A run is one run of each step.

    Args:
        order: names of the steps in order; default the order in which they are given.
        **steps: modules by name. A step of your own is a `dspy.Module` that returns a `dspy.Prediction`.

    Raises:
        UsageError: a step is not a module, or a name is taken. At a call: a step lacks an input, or returns something
            else than a prediction.

    Example:
        >>> import dspy
        >>> import tunesmith as ts
        >>> program = ts.Chain(
        ...     keywords=ts.Predict("text -> keywords"), title=ts.Predict("text, keywords -> title")
        ... )
        >>> with dspy.context(lm=ts.ScriptedLM("snow, ski", "Winter")):
        ...     found = program(text="We went skiing in the snow.")
        >>> found.keywords, found.title
        ('snow, ski', 'Winter')
    """

    def __init__(self, order: Sequence[str] | None = None, *unnamed: Any, **steps: Module) -> None:
        super().__init__()
        self.parts = Parts(self, "step", steps, order, unnamed=unnamed)
        inputs: dict[str, Any] = {}
        outputs: dict[str, Any] | None = {}
        for name in self.parts.names:
            known, given = self.parts.output_types(name), self.parts.input_types(name)
            if outputs is not None:  # after a step of unknown outputs, no input is known to be one of the chain
                inputs |= {one: kind for one, kind in given.items() if one not in outputs and one not in inputs}
                outputs = None if known is None or self.parts.inputs(name) is None else {**outputs, **known}
        self.signature = None if outputs is None else joined_signature(inputs, outputs, self.parts.defaults())

    def spec(self) -> Mapping[str, Any]:
        """Return the constructor's arguments except the settings."""
        return {"order": self.parts.names, **{name: getattr(self, name) for name in self.parts.names}}

    def calls(self) -> Mapping[str, int]:
        """Return how often one run runs each inner module."""
        return dict.fromkeys(self.parts.names, 1)

    def steps(self, **inputs: Any) -> Steps:
        """Run each step."""
        fields, found = dict(inputs), dict[str, Any]()
        for name in self.parts.names:
            outputs = prediction_fields((yield self.parts.call(self, name, fields)), f"The step `{name}` of a chain")
            fields |= outputs
            found |= outputs
        return Prediction(**found)
