"""Bad cases: examples that a deployed program got wrong. They join the training examples, and a report follows them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from tunesmith.data import Dataset, example_key, fields_of, inputs_key
from tunesmith.errors import UsageError, brief, shown
from tunesmith.evaluation import RIGHT, Report, as_dataset, fit_to_program
from tunesmith.modules import Module, program_inputs
from tunesmith.signatures import Example

__all__ = ["BadCases", "BadCasesReport"]

ANSWERED, REMARK = "answered", "remark"
_MOST_ANSWER = 400  # characters that are told of what was answered


@dataclass(frozen=True, slots=True)
class BadCases:
    """The examples, as the program gets them, and what is known of each besides.

    Attributes:
        examples: with the right outputs.
        said: by example key, what was answered and the remark, in words; an example may have neither.
    """

    examples: Dataset
    said: Mapping[str, str]

    @classmethod
    def of(cls, program: Module, given: Sequence[Example]) -> tuple[Self, tuple[str, ...]]:
        """Return bad cases as `program` gets them, and what to note of them.

        Raises:
            UsageError: they are not examples, or a remark is not text.
            DataError: there are none, or one lacks an input.
        """
        data = as_dataset(given, "bad_cases")
        own = _own_fields(program, data)
        beside = [name for name in (ANSWERED, REMARK) if name not in own]
        plain = tuple(one.without(*[name for name in beside if name in one]) for one in data)
        fitted, notes = fit_to_program(program, Dataset(plain, data.inputs, "bad_cases"))
        texts = [_said({name: fields_of(one).get(name) for name in beside}) for one in data]
        said = {example_key(example): text for example, text in zip(fitted, texts, strict=True) if text}
        return cls(fitted, said), notes

    def without(self, examples: Dataset) -> Dataset:
        """Return `examples` without those that have the inputs of a bad case, which stand in their place."""
        known = {inputs_key(example) for example in self.examples}
        kept = [number for number, example in enumerate(examples) if inputs_key(example) not in known]
        return examples if len(kept) == len(examples) else examples.ordered(kept)

    def joined(self, train: Dataset) -> Dataset:
        """Return training examples with the bad cases at their end."""
        return Dataset((*train, *self.examples), train.inputs, train.name, notes=train.notes)


@dataclass(frozen=True, slots=True)
class BadCasesReport:
    """What a compile did to the bad cases, and what it broke.

    Attributes:
        total: bad cases.
        right_before: how many the program as given gets right.
        right: how many the compiled program gets right.
        still_wrong: the others.
        validation: validation examples that the program as given gets right.
        broken: those among them that the compiled program gets wrong.
    """

    total: int
    right_before: int
    right: int
    still_wrong: tuple[Example, ...]
    validation: int
    broken: tuple[Example, ...]

    @classmethod
    def of(
        cls,
        cases: tuple[Dataset, Report, Report],
        validation: tuple[Sequence[Example], Report, Report],
        threshold: float | None,
    ) -> Self:
        """Compare two programs.

        Args:
            cases: bad cases, with the reports of the program as given and of the compiled one.
            validation: validation examples, with the same.
            threshold: the score from which on an answer is right; default 0.5.
        """
        least = RIGHT if threshold is None else threshold
        before, after = ([row.is_right(least) for row in report.rows] for report in cases[1:])
        wrong = tuple(example for example, right in zip(cases[0], after, strict=True) if not right)
        was, now = ([row.is_right(least) for row in report.rows] for report in validation[1:])
        broken = [one for one, then, still in zip(validation[0], was, now, strict=True) if then and not still]
        return cls(len(after), sum(before), sum(after), wrong, sum(was), tuple(broken))

    def __repr__(self) -> str:
        return brief(self, f"{self.right} of {self.total} right", f"{len(self.broken)} broken")

    def __str__(self) -> str:
        broken = f"{len(self.broken)} of {self.validation} validation examples that were right are wrong now"
        return (
            f"{self.right} of {self.total} bad cases are right now, {self.right_before} with the program as given; "
            f"{broken}."
        )

    def to_json(self) -> dict[str, Any]:
        """Return counts, and keys of examples."""
        return {
            "total": self.total,
            "right_before": self.right_before,
            "right": self.right,
            "still_wrong": [example_key(example) for example in self.still_wrong],
            "validation_right_before": self.validation,
            "broken": [example_key(example) for example in self.broken],
        }


def _own_fields(program: Module, data: Dataset) -> set[str]:
    """Return the fields of the program, so that a remark is one only if the program has no such field."""
    known = program_inputs(program)
    outputs = {name for _, predictor in program.named_predictors() for name in predictor.signature.output_fields}
    return {*known.names, *data.inputs, *outputs}


def _said(beside: Mapping[str, Any]) -> str:
    remark, answered = beside.get(REMARK), beside.get(ANSWERED)
    if remark is not None and not isinstance(remark, str):
        raise UsageError(f"The `{REMARK}` of a bad case is text. Given: {shown(remark)}.")
    parts = []
    if answered not in (None, ""):
        parts.append(f"A program that is in use answered: {str(answered)[:_MOST_ANSWER]}")
    if remark and remark.strip():
        parts.append(f"Remark: {remark.strip()}")
    return " ".join(parts)
