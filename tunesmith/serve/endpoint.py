"""One program under a name, ready to be called by many requests at once."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from tunesmith.artifacts import Artifact
from tunesmith.errors import InputError
from tunesmith.lm import LM, metered, stoppable
from tunesmith.modules import FieldDelta, Module, copy_program, forgetful, run_told
from tunesmith.serve.attempt import Attempt
from tunesmith.serve.contract import Contract
from tunesmith.serve.log import Log
from tunesmith.serve.problem import Refusal
from tunesmith.serve.trial import Second, Trial, artifact_of

__all__ = ["Endpoint", "pascal"]


@dataclass(frozen=True, eq=False)
class Endpoint:
    """A program that is served.

    Attributes:
        name: its part of the path; empty for the program at the root.
        program: called by many threads at once.
        lm: the model that it is called with.
        contract: its types.
        trial: a second program beside it, `None` without one.
    """

    name: str
    program: Module
    lm: LM
    contract: Contract
    trial: Trial | None = None

    @classmethod
    def of(
        cls,
        name: str,
        program: Module,
        lm: LM,
        *,
        longest: int,
        second: Second | None = None,
        log: Log | None = None,
        count: Callable[[str, str], None] = lambda *_: None,
    ) -> "Endpoint":
        """Return the endpoint of `program`.

        Args:
            name: its part of the path.
            program: to be served.
            lm: its model.
            longest: most characters of a text.
            second: tried beside it.
            log: of what a shadow says.
            count: is called with the name and the outcome of each comparison of a shadow.

        Raises:
            UsageError: its inputs have no JSON form, its `forward` is asynchronous, or the second program takes or
                returns other fields.
        """
        callable_program = copy_program(program)  # also makes asynchronous parts callable
        contract = Contract.of(program, pascal(name), longest=longest)
        trial = None if second is None else Trial(name, second, contract, log or Log(), partial(count, name))
        return cls(name, callable_program, lm, contract, trial)

    @property
    def prefix(self) -> str:
        """The first part of its paths: empty, or a slash and its name."""
        return f"/{self.name}" if self.name else ""

    @property
    def artifact(self) -> Artifact | None:
        """The artifact that the program was loaded from."""
        return artifact_of(self.program)

    def run(self, inputs: Mapping[str, Any], attempt: Attempt) -> Any:
        """Return the prediction of the program that answers; called in a worker's thread.

        Raises:
            Refusal: the program does not take an input.
        """
        return self._answered(inputs, attempt, lambda program: program(**inputs))

    def run_told(self, inputs: Mapping[str, Any], attempt: Attempt, tell: Callable[[FieldDelta], None]) -> Any:
        """Return the prediction of the program that answers, and pass on its fields while they are written."""
        return self._answered(inputs, attempt, lambda program: run_told(program, tell, **inputs))

    def chosen(self, draw: str) -> tuple[Module, LM, str]:
        """Return the program and the model that answer a request with this `draw`, and the name of the arm."""
        trial = self.trial
        if trial is not None and trial.takes(draw):
            return trial.program, trial.lm, trial.arm
        return self.program, self.lm, ""

    def _answered(self, inputs: Mapping[str, Any], attempt: Attempt, call: Callable[[Module], Any]) -> Any:
        program, lm, attempt.arm = self.chosen(attempt.draw)
        with forgetful(lm=lm), metered(sink=attempt.note), stoppable(attempt.check):
            try:
                found = call(program)
            except InputError as error:
                if error.field in inputs:  # else a step gave it to another
                    raise Refusal(422, "InvalidInput", str(error), field=error.field) from error
                raise
        if self.trial is not None:
            self.trial.follow(attempt.draw, inputs, found)
        return found


def pascal(name: str) -> str:
    """Return a name for types, such as `GuestComments` for `guest-comments`."""
    return "".join(part.capitalize() for part in name.replace("-", "_").split("_"))
