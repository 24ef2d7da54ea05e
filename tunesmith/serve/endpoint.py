"""One program under a name, ready to be called by many requests at once."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tunesmith.artifacts import Artifact
from tunesmith.lm import LM, metered, stoppable
from tunesmith.modules import FieldDelta, Module, context, copy_program, run_told
from tunesmith.serve.attempt import Attempt
from tunesmith.serve.contract import Contract

__all__ = ["Endpoint", "pascal"]


@dataclass(frozen=True, eq=False)
class Endpoint:
    """A program that is served.

    Attributes:
        name: its part of the path; empty for the program at the root.
        program: called by many threads at once.
        lm: the model that it is called with.
        contract: its types.
    """

    name: str
    program: Module
    lm: LM
    contract: Contract

    @classmethod
    def of(cls, name: str, program: Module, lm: LM, *, longest: int) -> "Endpoint":
        """Return the endpoint of `program`; `longest` is the most characters of a text.

        Raises:
            UsageError: its inputs have no JSON form, or its `forward` is asynchronous.
        """
        callable_program = copy_program(program)  # also makes asynchronous parts callable
        return cls(name, callable_program, lm, Contract.of(program, pascal(name), longest=longest))

    @property
    def prefix(self) -> str:
        """The first part of its paths: empty, or a slash and its name."""
        return f"/{self.name}" if self.name else ""

    @property
    def artifact(self) -> Artifact | None:
        """The artifact that the program was loaded from."""
        found = self.program.__dict__.get("artifact")
        return found if isinstance(found, Artifact) else None

    def run(self, inputs: Mapping[str, Any], attempt: Attempt) -> Any:
        """Return the program's prediction; called in a worker's thread."""
        with self._calling(attempt), metered(sink=attempt.calls.append), stoppable(attempt.check):
            return self.program(**inputs)

    def run_told(self, inputs: Mapping[str, Any], attempt: Attempt, tell: Callable[[FieldDelta], None]) -> Any:
        """Return the program's prediction, and pass on its fields while they are written."""
        with self._calling(attempt), metered(sink=attempt.calls.append), stoppable(attempt.check):
            return run_told(self.program, tell, **inputs)

    def _calling(self, attempt: Attempt) -> Any:
        # The history of an LM grows without end otherwise.
        return context(lm=self.lm, disable_history=True)


def pascal(name: str) -> str:
    """Return a name for types, such as `GuestComments` for `guest-comments`."""
    return "".join(part.capitalize() for part in name.replace("-", "_").split("_"))
