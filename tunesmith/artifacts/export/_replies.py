"""Replies of a run with the messages that they answer."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from tunesmith.data import canonical_json
from tunesmith.errors import DataError, FormatError, SignatureError, UsageError
from tunesmith.evaluation import Step
from tunesmith.modules import DspyPredict, Module, context, render, reply_text
from tunesmith.signatures import Demo

__all__ = [
    "ASSISTANT",
    "CALL",
    "OBSERVATION",
    "USER",
    "LeftOut",
    "Messages",
    "Prompt",
    "Reply",
    "demo_of",
    "distinct",
    "problem_of",
    "prompt_of",
    "reply_of",
]

USER, ASSISTANT, CALL, OBSERVATION = "user", "assistant", "call", "observation"
_ASKS, _ANSWERS = (USER, OBSERVATION), (ASSISTANT, CALL)
_INDEX = "{{idx}}"


class LeftOut(Exception):
    """A step that no row is made of; the text says why, to follow the word `replies`."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """What is asked.

    Attributes:
        system: the system text, empty without one.
        turns: role and text of each turn; the last one asks.
    """

    system: str
    turns: tuple[tuple[str, str], ...]

    @property
    def question(self) -> tuple[Any, ...]:
        """What stands for the input: everything up to the last turn of the user."""
        last = max((number for number, (role, _) in enumerate(self.turns) if role == USER), default=-1)
        return (self.system, *self.turns[: last + 1])

    def then(self, turns: Iterable[tuple[str, str]]) -> "Prompt":
        """Return the prompt with further turns."""
        return replace(self, turns=(*self.turns, *turns))


@dataclass(frozen=True, slots=True)
class Reply:
    """One reply of the model.

    Attributes:
        example: key of the example.
        place: number of the step in its run.
        prompt: what it answers.
        text: of the reply.
        score: of the run that it is from.
        tools: the tools that could be called, as JSON; empty without any.
    """

    example: str
    place: int
    prompt: Prompt
    text: str
    score: float
    tools: str = ""


class Messages:
    """The messages of a program's steps, each rendered once."""

    def __init__(self, program: Module) -> None:
        self._predictors: dict[str, DspyPredict] = dict(program.named_predictors())
        self._prompts: dict[tuple[str, str], Prompt] = {}

    def ask(self, step: Step) -> Prompt:
        """Return what the program sends in this step.

        Raises:
            LeftOut: the program has no such predictor, or its messages are no conversation.
        """
        predictor, demo = self._known(step)
        key = step.predictor, canonical_json(dict(step.inputs))
        if key not in self._prompts:
            self._prompts[key] = prompt_of(predictor, demo.inputs)
        return self._prompts[key]

    def answer(self, step: Step) -> str:
        """Return the reply of this step.

        Raises:
            LeftOut: the format cannot carry it.
        """
        return reply_of(*self._known(step))

    def _known(self, step: Step) -> tuple[DspyPredict, Demo]:
        predictor = self._predictors.get(step.predictor)
        if predictor is None:
            raise LeftOut("of predictors that the program does not have")
        return predictor, demo_of(predictor, step.inputs, step.outputs)


def demo_of(predictor: DspyPredict, inputs: Mapping[str, Any], outputs: Mapping[str, Any]) -> Demo:
    """Return JSON values of a ledger as the types of the predictor's fields.

    Raises:
        LeftOut: they do not fit it.
    """
    signature: Any = predictor.signature
    given = {name: inputs[name] for name in signature.input_fields if name in inputs}
    wanted = {name: outputs[name] for name in signature.output_fields if name in outputs}
    if len(wanted) < len(signature.output_fields):
        raise LeftOut("that lack an output of their predictor")
    try:
        return Demo.from_json(signature, {"inputs": given, "outputs": wanted})
    except DataError:
        raise LeftOut("whose values do not fit the fields of their predictor") from None


def prompt_of(predictor: DspyPredict, inputs: Mapping[str, Any]) -> Prompt:
    """Return what the predictor sends for these inputs.

    Raises:
        LeftOut: its format cannot carry them, or the messages do not take turns.
    """
    try:
        with context(lm=None):  # the same messages whatever model is configured
            sent = [(one["role"], one["content"]) for one in render(predictor, **inputs).messages]
    except (FormatError, SignatureError):
        raise LeftOut("whose inputs the format cannot carry") from None
    except UsageError:
        raise LeftOut("whose demos a model chooses by vectors") from None
    system = sent.pop(0)[1] if sent and sent[0][0] == "system" else ""
    return Prompt(system, tuple(sent))


def reply_of(predictor: DspyPredict, demo: Demo) -> str:
    """Return the reply that gives the outputs.

    Raises:
        LeftOut: the format cannot carry them.
    """
    try:
        return reply_text(predictor, demo.outputs)
    except FormatError:
        raise LeftOut("whose outputs the format cannot carry") from None


def problem_of(prompt: Prompt, *texts: str) -> str | None:
    """Return why a prompt and replies are not trained on, to follow `replies`; `None` if they are.

    Trainers drop a conversation whose turns are out of order, with a warning at most. A question that the prompt
    answers teaches to copy. LLaMA-Factory's templates write a number in place of `{{idx}}`.
    """
    roles = [role for role, _ in prompt.turns]
    if len(roles) % 2 == 0 or any(role not in (_ASKS, _ANSWERS)[number % 2] for number, role in enumerate(roles)):
        return "to turns that do not alternate"
    if prompt.turns[-1] in prompt.turns[:-1]:
        return "to a question that is one of the demos, with its answer"
    everything = (prompt.system, *(text for _, text in prompt.turns), *texts)
    if any(_INDEX in text for text in everything):
        return f"with {_INDEX} in a text, which LLaMA-Factory replaces"
    try:
        "".join(everything).encode()
    except UnicodeEncodeError:
        return "with half a character (a lone surrogate), which no UTF-8 file can hold"
    return None


def distinct(replies: Iterable[Reply], left_out: Counter[str]) -> list[Reply]:
    """Return each reply to the same prompt once, with the best score that it led to, in an order of content alone."""
    found: dict[Any, Reply] = {}
    for one in replies:
        key = (one.prompt, one.text, one.tools)
        there = found.get(key)
        if there is not None:
            left_out["that were there already"] += 1
        if there is None or (-one.score, one.example, one.place) < (-there.score, there.example, there.place):
            found[key] = one
    return sorted(found.values(), key=lambda one: (one.example, one.place, -one.score, one.text))
