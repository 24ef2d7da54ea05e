"""Self-Instruct: new tasks with instances, from a few of them."""

import re
import string
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, Field

from tunesmith.errors import RowError, UsageError
from tunesmith.experiments.synth import Pool, Progress, Synthesis, SynthSettings, Teacher, rng_of, with_demos
from tunesmith.lm import LM, Budget
from tunesmith.modules import Predict
from tunesmith.signatures import InputField, OutputField, declared

__all__ = ["SeedTask", "new_tasks", "seed_tasks"]

_FEWEST_WORDS, _MOST_WORDS = 4, 150
_UNFIT = re.compile(
    r"\b(image|images|graph|graphs|picture|pictures|file|files|map|maps|draw|plot|go to)\b", re.IGNORECASE
)
_MOST_DEMOS = 4  # of each kind, of the step that tells classification
_MOST_WRITTEN = 2  # demos of the steps that write instances


class InputFirst(BaseModel):
    """An example whose input is written first."""

    input: str = Field(description="empty if the task needs none")
    output: str


class OutputFirst(BaseModel):
    """An example whose label is written first."""

    class_label: str
    input: str = Field(description="empty if the task needs none")


_TASK, _AT_MOST = (str, InputField()), (int, InputField(desc="at most so many"))
_ProposeTasks = declared(
    {
        "tasks": (list[str], InputField(desc="tasks there are")),
        "count": (int, InputField(desc="how many new tasks")),
        "new_tasks": (list[str], OutputField(desc="each an instruction of one or two sentences")),
    },
    "Come up with a series of new tasks for a language model. They differ from the given tasks in what is asked and in "
    "how it is worded. Say the possible labels of a classification task.",
)
_TellClassification = declared(
    {"task": _TASK, "is_classification": (bool, OutputField())},
    "Can the following task be regarded as a classification task with finite output labels?",
)
_WriteExamples = declared(
    {"task": _TASK, "count": _AT_MOST, "examples": (list[InputFirst], OutputField())},
    "Come up with examples for the task, several if possible. If the task does not need an input, leave it empty and "
    "write the output.",
)
_WriteLabelledExamples = declared(
    {"task": _TASK, "count": _AT_MOST, "examples": (list[OutputFirst], OutputField())},
    "Given the classification task, generate an input that corresponds to each of its class labels. Write the label "
    "first, then an input for which it is right. If the task does not need an input, leave it empty.",
)


@dataclass(frozen=True, slots=True)
class SeedTask:
    """A task that people wrote.

    Attributes:
        instruction: what is asked.
        instances: pairs of input and output.
        is_classification: whether it has a few possible outputs; `None` if nobody said.
    """

    instruction: str
    instances: tuple[tuple[str, str], ...] = ()
    is_classification: bool | None = None


def seed_tasks(rows: Iterable[tuple[int, Mapping[str, Any]]], source: str) -> tuple[SeedTask, ...]:
    """Return the tasks of a file: Self-Instruct's own (`instruction`, `instances`) or Alpaca's (`input`, `output`).

    Args:
        rows: with their lines.
        source: the file, for errors.

    Raises:
        RowError: a row has neither shape.
    """
    found: dict[str, SeedTask] = {}
    for line, row in rows:
        instruction = row.get("instruction")
        if not isinstance(instruction, str) or not instruction.strip():
            problem = "A seed needs its task as text. For rows of a signature, pass `--signature`."
            raise RowError(problem, source=source, line=line, field="instruction", value=instruction)
        kind = row.get("is_classification")
        before = found.get(instruction, SeedTask(instruction, (), kind if isinstance(kind, bool) else None))
        instances = (*before.instances, *_instances(row, line, source))
        found[instruction] = SeedTask(instruction, instances, before.is_classification)
    return tuple(found.values())


def _instances(row: Mapping[str, Any], line: int, source: str) -> list[tuple[str, str]]:
    given = row.get("instances", [row] if "output" in row else [])
    if not isinstance(given, list) or not all(isinstance(one, Mapping) for one in given):
        raise RowError("This must be a list of objects.", source=source, line=line, field="instances", value=given)
    found = [(one.get("input") or "", one.get("output")) for one in given]
    for pair in found:
        if not all(isinstance(text, str) for text in pair):
            problem = "An instance needs `input` and `output` as texts."
            raise RowError(problem, source=source, line=line, field="instances", value=pair)
    return [(str(one), str(other)) for one, other in found]


def new_tasks(
    seeds: Sequence[SeedTask],
    *,
    lm: LM,
    budget: Budget,
    settings: SynthSettings | None = None,
    progress: Progress | None = None,
) -> Synthesis:
    """Return new tasks with instances: rows of `instruction`, `input`, `output` and `is_classification`.

    Wang et al., 2023, "Self-Instruct: Aligning Language Models with Self-Generated Instructions", as its code does it.
    A round shows 8 tasks, 2 of them made ones, and asks for more. A proposal is left out if it has fewer than 4 or more
    than 150 words, names what a language model cannot see or do (an image, a file, to draw, ...), asks to write a
    program, starts with punctuation or with a character beyond ASCII, or has a ROUGE-L above 0.7 with another task.
    Whether a task is a classification decides how its instances are written: label first or input first. An
    instance is left out if its output is empty or equals its input, or if one of them ends with a colon; a task with
    two outputs for one input is left out, and so are all instances after the fifth.

    Our differences: the teacher is asked in typed steps rather than to go on with a text; one reply that cannot be read
    is left out as a whole; there is no presence penalty, which would spoil JSON; the demos of the steps are seeds; the
    rule for characters beyond ASCII holds only if all seeds keep it; instances are drawn in order, not at random. The
    same seeds, settings and replies give the same rows, so the same call goes on from the cache.

    Args:
        seeds: tasks that people wrote, at least one.
        lm: the teacher.
        budget: of all its calls. If it ends, what was made is returned.
        settings: how; `count` is the number of new tasks.
        progress: is told how many there are.

    Raises:
        UsageError: there is no seed.
        ModelError: the model cannot be used.
    """
    if not seeds:
        raise UsageError("Self-Instruct needs seeds. Given: none.")
    settings = SynthSettings() if settings is None else settings
    work = _Work(Teacher(lm, budget, settings, progress), seeds)
    ended = work.teacher.until_the_end(work.round, lambda: len(work.pool.made))
    return work.teacher.result(work.rows, len(work.pool.made), ended)


class _Work:
    """One run."""

    def __init__(self, teacher: Teacher, seeds: Sequence[SeedTask]) -> None:
        self.teacher, self.rows = teacher, list[dict[str, Any]]()
        self.pool = Pool([seed.instruction for seed in seeds], teacher.settings.similarity)
        self._ascii = all(seed.instruction.strip()[:1].isascii() for seed in seeds)
        self._rng = rng_of(teacher.settings, "tasks")
        self._propose = Predict(_ProposeTasks)
        self._tell = with_demos(Predict(_TellClassification), _kind_demos(seeds))
        self._write = {
            True: with_demos(Predict(_WriteLabelledExamples), _labelled_demos(seeds)),
            False: with_demos(Predict(_WriteExamples), _input_demos(seeds)),
        }

    def round(self) -> bool:
        """Ask for new tasks; return whether one was accepted."""
        settings = self.teacher.settings
        seen = self.pool.shown(self._rng, settings)
        found = self.teacher.draw(self._propose, tasks=seen, count=settings.asked)
        before = len(self.pool.made)
        for text in [] if found is None else found.new_tasks:
            if len(self.pool.made) < settings.count:
                self._consider(" ".join(text.split()), seen)
        return len(self.pool.made) > before

    def _consider(self, text: str, seen: Sequence[str]) -> None:
        why = _why_not(text, ascii_only=self._ascii)
        score, other = self.pool.nearest(text)
        if why is None and self.pool.is_like_another(score):
            why = "a task like another one"
        if why is not None:
            self.teacher.left_out[why] += 1
            return
        told = self.teacher.ask(self._tell, task=text)
        if told is None:
            return
        instances = self._instances(text, is_class=told.is_classification)
        if not instances:
            self.teacher.left_out["a task without a usable instance"] += 1
            return
        self.pool.made.append(text)
        nearest = {"rouge_l": round(score, 4), "task": other}
        provenance = self.teacher.provenance("self-instruct", shown=list(seen), nearest=nearest)
        self.rows += [
            {
                "instruction": text,
                "input": given,
                "output": output,
                "is_classification": told.is_classification,
                "provenance": provenance,
            }
            for given, output in instances
        ]
        self.teacher.say("tasks", len(self.pool.made))

    def _instances(self, text: str, *, is_class: bool) -> list[tuple[str, str]]:
        most = self.teacher.settings.instances
        found = self.teacher.ask(self._write[is_class], task=text, count=most)
        pairs = [] if found is None else [_pair(one) for one in found.examples]
        kept = [pair for pair in pairs if _is_usable(*pair)]
        if len(kept) < len(pairs):
            self.teacher.left_out["an instance that is not usable"] += len(pairs) - len(kept)
        kept = list(dict.fromkeys(kept))
        inputs = [given for given, _ in kept if given]
        if len(set(inputs)) < len(inputs):
            self.teacher.left_out["a task with two outputs for one input"] += 1
            return []
        return kept[:most]


def _why_not(text: str, *, ascii_only: bool) -> str | None:
    """Return why a proposed task is left out, `None` if it is not."""
    count = len(text.split())
    if count < _FEWEST_WORDS:
        return "a task of under 4 words"
    if count > _MOST_WORDS:
        return "a task of over 150 words"
    if _UNFIT.search(text):
        return "a task about what a language model cannot see or do"
    if text.startswith("Write a program"):
        return "a task to write a program"
    if text[0] in string.punctuation:
        return "a task that starts with punctuation"
    if ascii_only and not text[0].isascii():
        return "a task that starts with a character beyond ASCII"
    return None


def _pair(found: InputFirst | OutputFirst) -> tuple[str, str]:
    output = found.class_label if isinstance(found, OutputFirst) else found.output
    return found.input.strip(), output.strip()


def _is_usable(given: str, output: str) -> bool:
    return output not in ("", given) and not given.endswith(":") and not output.endswith(":")


def _kind_demos(seeds: Sequence[SeedTask]) -> list[dict[str, Any]]:
    kinds = {kind: [seed for seed in seeds if seed.is_classification is kind][:_MOST_DEMOS] for kind in (True, False)}
    if not all(kinds.values()):
        return []  # demos of one kind would teach the answer, not the question
    pairs = [seed for pair in zip(*kinds.values(), strict=False) for seed in pair]
    return [{"task": seed.instruction, "is_classification": seed.is_classification} for seed in pairs]


def _input_demos(seeds: Sequence[SeedTask]) -> list[dict[str, Any]]:
    chosen = [seed for seed in seeds if seed.instances and not seed.is_classification][:_MOST_WRITTEN]
    made = [[{"input": given, "output": output} for given, output in seed.instances] for seed in chosen]
    return [
        {"task": seed.instruction, "count": len(examples), "examples": examples}
        for seed, examples in zip(chosen, made, strict=True)
    ]


def _labelled_demos(seeds: Sequence[SeedTask]) -> list[dict[str, Any]]:
    chosen = [seed for seed in seeds if seed.instances and seed.is_classification][:_MOST_WRITTEN]
    made = [[{"class_label": output, "input": given} for given, output in seed.instances] for seed in chosen]
    return [
        {"task": seed.instruction, "count": len(examples), "examples": examples}
        for seed, examples in zip(chosen, made, strict=True)
    ]
