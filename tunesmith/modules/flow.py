"""`Flow`: a module written once, as a generator of calls, that runs sync and async."""

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tunesmith.modules.module import Module, context

__all__ = ["Call", "Flow", "Steps"]


@dataclass(frozen=True, slots=True)
class Call:
    """A call that a flow asks for.

    Attributes:
        module: what is called: a module, or anything else with `__call__` and `acall`, such as a tool.
        inputs: of the call.
        options: DSPy settings of the call.
    """

    module: Any
    inputs: Mapping[str, Any]
    options: Mapping[str, Any] = field(default_factory=dict)


Steps = Generator[Call, Any, Any]
"""Yields calls, gets their predictions, or the errors that they raise; returns a prediction."""


class Flow(Module):
    """Base of modules whose steps are written once: a subclass has `steps(**inputs)`."""

    def steps(self, **inputs: Any) -> Steps:
        """Yield the calls of one run and return its prediction."""
        raise NotImplementedError

    def forward(self, **inputs: Any) -> Any:
        """Run the steps; called by `__call__`."""
        steps = self.steps(**inputs)
        ask, given = steps.send, None
        while True:
            try:
                call = ask(given)
            except StopIteration as end:
                return end.value
            try:
                with context(**call.options):
                    ask, given = steps.send, call.module(**call.inputs)
            except Exception as error:  # noqa: BLE001 - raised again in the steps, which catch what they can mend
                ask, given = steps.throw, error

    async def aforward(self, **inputs: Any) -> Any:
        """Run the steps; called by `acall`."""
        steps = self.steps(**inputs)
        ask, given = steps.send, None
        while True:
            try:
                call = ask(given)
            except StopIteration as end:
                return end.value
            try:
                with context(**call.options):
                    ask, given = steps.send, await call.module.acall(**call.inputs)
            except Exception as error:  # noqa: BLE001 - raised again in the steps, which catch what they can mend
                ask, given = steps.throw, error
