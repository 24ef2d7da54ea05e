"""`Map`: one module on each item of a list."""

from collections.abc import Mapping
from typing import Any

from tunesmith.errors import InputError, UsageError, shown
from tunesmith.modules.flow import Flow, Steps
from tunesmith.modules.flows.parts import Parts, joined_signature, prediction_fields
from tunesmith.modules.flows.together import together
from tunesmith.modules.module import Module, Prediction
from tunesmith.modules.registry import register_module
from tunesmith.modules.setting import Setting

__all__ = ["Map"]


@register_module
class Map(Flow):
    """Run a step on each item of a list, as many at once as the model has slots (`ts.lm(..., slots=4)`).

    Items run one after the other in an evaluation or a compile, because there the examples fill the slots. All other
    inputs are the same for each item.

    Returns for each field of the step the list of its values, in the order of the items. A run is one run of the step
    for each item, at most `most`.

    Args:
        step: a module.
        over: name of the list among the inputs.
        each: name of the step's input that gets an item.
        most: most items of one run. A plan counts that many calls.

    Raises:
        UsageError: `step` is not a module, `each` is not one of its inputs, or `over` is.
        InputError: at a call: the input is not a list, or has more than `most` items.

    Example:
        >>> import dspy
        >>> import tunesmith as ts
        >>> program = ts.Map(ts.Predict("comment -> mood"), over="comments", each="comment")
        >>> with dspy.context(lm=ts.ScriptedLM("happy", "sad")):
        ...     program(comments=["Great!", "The bed was hard."]).mood
        ['happy', 'sad']
    """

    most: int = Setting(20, low=1, help="most items of one run")

    def __init__(self, step: Module, over: str, each: str, most: int = 20) -> None:
        super().__init__()
        self.parts = Parts(self, "step", {"step": step})
        self.over, self.each, self.most = over, each, most
        inputs, names = self.parts.input_types("step"), self.parts.inputs("step")
        if names is not None and each not in names:
            raise UsageError(f"`each` must be an input of the step: {', '.join(names)}. Given: {shown(each)}.")
        if not isinstance(over, str) or not over.isidentifier() or over in inputs:
            raise UsageError(
                f"`over` is the name of the list, and no input of the step ({', '.join(inputs)}). Given: {shown(over)}."
            )
        outputs = self.parts.output_types("step")
        listed: Any = {over: _list_of(inputs.get(each, str)), **{n: kind for n, kind in inputs.items() if n != each}}
        self.signature = (
            None
            if outputs is None
            else joined_signature(
                listed, {name: _list_of(kind) for name, kind in outputs.items()}, self.parts.defaults()
            )
        )

    def spec(self) -> Mapping[str, Any]:
        """Return the constructor's arguments except the settings."""
        return {"step": self.step, "over": self.over, "each": self.each}

    def calls(self) -> Mapping[str, int]:
        """Return how often one run runs each inner module at most."""
        return {"step": self.most}

    def steps(self, **inputs: Any) -> Steps:
        """Run the step on each item."""
        items = inputs.pop(self.over, None)
        if not isinstance(items, list | tuple):
            raise InputError(f"`{self.over}` must be a list. Given: {shown(items)}.", field=self.over)
        if len(items) > self.most:
            raise InputError(
                f"`{self.over}` has at most {self.most} items. Given: {len(items)}. Give fewer at once, or raise the "
                "`most` of the `ts.Map`.",
                field=self.over,
            )
        found = yield together([self.parts.call(self, "step", {**inputs, self.each: item}) for item in items])
        rows = [prediction_fields(one, "The step of a `Map`") for one in found]
        names = dict.fromkeys(self.parts.output_types("step") or ()) | {name: None for row in rows for name in row}
        return Prediction(**{name: [row.get(name) for row in rows] for name in names})


def _list_of(kind: Any) -> Any:
    return list[kind]
