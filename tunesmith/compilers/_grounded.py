"""Instructions written from what is known of a task: its data, its program, the role of a step, a tip."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tunesmith.compilers._wording import pair_texts
from tunesmith.signatures import Demo, InputField, OutputField, Signature

if TYPE_CHECKING:
    from tunesmith.compilers._search import Search

__all__ = ["Grounded", "grounded_calls"]

_VIEW = 10  # training examples that are looked at in one call
_SHOWN = 3  # examples of a step that its instruction is written from
_TIPS = (
    "Be short and plain.",
    "Say what to look at first.",
    "Name the choices and say when each is right.",
    "Say how to decide in doubt.",
    "Warn of the mistake that is easiest to make.",
    "Begin with the role of somebody who knows the task.",
)


class Observe(Signature):
    """Say in two short sentences what the inputs of a task are about, and what the right outputs depend on."""

    examples: list[str] = InputField()
    noted: str = InputField(desc="what was noticed in other examples")
    observations: str = OutputField()


class Summarize(Signature):
    """Sum up in two short sentences what was noticed in the data of a task."""

    noted: str = InputField()
    summary: str = OutputField()


class Describe(Signature):
    """Say in one sentence what a program is for."""

    steps: str = InputField()
    examples: list[str] = InputField()
    description: str = OutputField()


class DescribeStep(Signature):
    """Say in one sentence what one step does for the program that it is a part of."""

    step: str = InputField()
    program: str = InputField(desc="what it is for")
    description: str = OutputField()


class Write(Signature):
    """Write the instruction for a step that a language model carries out. Give no answer and no example."""

    task: str = InputField()
    observations: str = InputField(desc="on the data")
    examples: list[str] = InputField()
    tip: str = InputField(desc="on how to write it")
    instruction: str = OutputField()


class Improve(Signature):
    """Write a better instruction for a step that a language model carries out. Give no answer and no example."""

    task: str = InputField()
    observations: str = InputField(desc="on the data")
    examples: list[str] = InputField()
    tip: str = InputField(desc="on how to write it")
    current: str = InputField(desc="instruction that is used now")
    instruction: str = OutputField()


def grounded_calls(train: int, *, views: int, describe: bool, texts: int) -> int:
    """Return how many calls it takes to write `texts` instructions."""
    looks = min(views, -(-train // _VIEW))
    return looks + (looks > 1) + texts * (3 if describe else 1)


@dataclass
class Grounded:
    """Writes instructions, each with a tip drawn by the seed.

    Attributes:
        search: the compile.
        views: calls that look at ten training examples each; what they notice is summed up if there are several.
        describe: whether the program and the step are described in two further calls for each instruction.
    """

    search: "Search"
    views: int = 1
    describe: bool = False
    _noted: str | None = field(default=None, repr=False)
    _asked: int = 0

    def texts(self, path: str, demos: Sequence[Demo], current: str | None) -> list[str]:
        """Return an instruction for the predictor at `path` by one proposal, if it may be used.

        Args:
            path: of the predictor.
            demos: examples of it.
            current: the instruction that is to be bettered; `None` for one that is written without sight of any.
        """
        search, rng = self.search, self.search.rng(f"grounded {self._asked}")
        self._asked += 1
        examples = pair_texts(rng.sample(demos, min(_SHOWN, len(demos))))
        given: dict[str, Any] = {
            "task": self._task(path, examples),
            "observations": self._observations(),
            "examples": examples,
            "tip": rng.choice(_TIPS),
        }
        if current is None:
            return search.propose(path, Write, 1, **given)
        return search.propose(path, Improve, 1, **given, current=current)

    def _task(self, path: str, examples: list[str]) -> str:
        search = self.search
        role = search.task(path)
        if not self.describe:
            return role
        found = search.ask(Describe, 1, steps=role, examples=examples)
        program = found[0].description if found else ""
        found = search.ask(DescribeStep, 1, step=role, program=program)
        return "\n".join(text for text in (role, program, found[0].description if found else "") if text)

    def _observations(self) -> str:
        if self._noted is None:
            found: list[str] = []
            train = self.search.train
            for first in range(0, min(len(train), self.views * _VIEW), _VIEW):
                examples = [str(dict(example.items())) for example in train[first : first + _VIEW]]
                found += [x.observations for x in self.search.ask(Observe, 1, examples=examples, noted=" ".join(found))]
            if self.views > 1 and len(train) > _VIEW:
                found = [x.summary for x in self.search.ask(Summarize, 1, noted=" ".join(found))]
            self._noted = " ".join(found)
        return self._noted
