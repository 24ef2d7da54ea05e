"""`Parallel`: several modules on the same inputs, at the same time if the model has slots."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from tunesmith.modules.flow import Flow, Steps
from tunesmith.modules.flows.parts import Parts, joined_signature, prediction_fields
from tunesmith.modules.flows.together import together
from tunesmith.modules.module import Module, Prediction
from tunesmith.modules.registry import register_module

__all__ = ["Parallel"]


@register_module
class Parallel(Flow):
    """Run several modules on the same inputs, as many at once as the model has slots (`ts.lm(..., slots=4)`).

    Each gets those of the inputs that it takes. In an evaluation or a compile they run one after the other, because
    there the examples fill the slots.

    Returns the fields of all. A field that several branches return is there as `BRANCH_FIELD` for each of them. A run
    is one run of each branch.

    Args:
        order: names of the branches in order; default the order in which they are given.
        **branches: modules by name.

    Raises:
        UsageError: there are fewer than two branches, one is not a module, or a name is taken. At a call: a branch
            lacks an input, or returns something else than a prediction.

    Example:
        >>> import dspy
        >>> import tunesmith as ts
        >>> program = ts.Parallel(mood=ts.Predict("text -> mood"), topic=ts.Predict("text -> topic"))
        >>> with dspy.context(lm=ts.ScriptedLM("happy", "snow")):
        ...     found = program(text="We went skiing!")
        >>> found.mood, found.topic
        ('happy', 'snow')
    """

    def __init__(self, order: Sequence[str] | None = None, *unnamed: Any, **branches: Module) -> None:
        super().__init__()
        self.parts = Parts(self, "branch", branches, order, least=2, unnamed=unnamed)
        inputs: dict[str, Any] = {}
        for name in self.parts.names:
            inputs = {**self.parts.input_types(name), **inputs}
        known = {name: self.parts.output_types(name) for name in self.parts.names}
        typed = {name: types for name, types in known.items() if types is not None}
        self.signature = (
            joined_signature(inputs, _merged(typed), self.parts.defaults()) if len(typed) == len(known) else None
        )

    def spec(self) -> Mapping[str, Any]:
        """Return the constructor's arguments except the settings."""
        return {"order": self.parts.names, **{name: getattr(self, name) for name in self.parts.names}}

    def calls(self) -> Mapping[str, int]:
        """Return how often one run runs each inner module."""
        return dict.fromkeys(self.parts.names, 1)

    def steps(self, **inputs: Any) -> Steps:
        """Run the branches."""
        found = yield together([self.parts.call(self, name, inputs) for name in self.parts.names])
        named = zip(self.parts.names, found, strict=True)
        return Prediction(**_merged({name: prediction_fields(one, f"The branch `{name}`") for name, one in named}))


def _merged(branches: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the fields of all branches; a name that several have gets that of its branch in front."""
    counts = Counter(name for fields in branches.values() for name in fields)
    return {
        name if counts[name] == 1 else f"{branch}_{name}": value
        for branch, fields in branches.items()
        for name, value in fields.items()
    }
