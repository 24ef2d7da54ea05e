"""Proposals of the prompt model: asked as often as wanted, and why an instruction among them may not be used."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any

from tunesmith.compilers._work import Work
from tunesmith.data import content_key, example_key, fields_of
from tunesmith.errors import DataError, UsageError, shown
from tunesmith.evaluation import Row, program_key
from tunesmith.formats import format_names, get_format
from tunesmith.lm import as_lm, role
from tunesmith.modules import Candidate, Module, Predict, Prediction, program_inputs
from tunesmith.signatures import Example, Signature

__all__ = ["Asking", "Guard", "Step"]

Step = Module | type[Signature] | str
"""What is asked: a program, a signature, or the text of one such as `task, examples -> instruction`."""


def _given(example: Example, prediction: Any, trace: Any = None) -> float:
    """Judge nothing: a proposal that can be read is one."""
    return 1.0


class Asking:
    """Asks for proposals and counts them. The same question gets a new draw each time it is asked.

    Args:
        work: gives the prompt model, meter and ledger.
    """

    def __init__(self, work: Work) -> None:
        self._work = work
        self._drawn: Counter[str] = Counter()
        self._asked: Counter[str] = Counter()
        self._unread: Counter[str] = Counter()
        self._programs: dict[Any, Module] = {}

    def ask(self, step: Step, n: int, inputs: Mapping[str, Any]) -> list[Prediction]:
        """Return the proposals that can be read; see `Search.ask`."""
        if isinstance(n, bool) or not isinstance(n, int) or n < 1:
            raise UsageError(f"`ask` takes a number of proposals, at least 1. Given: {shown(n)}.")
        program = self._program(step)
        name = _name(step)
        example = _example(name, program, inputs)
        question = content_key([program_key(program), Candidate.of(program).key, example_key(example)])
        first = self._drawn[question]
        self._drawn[question] += n
        rows = self._rows(program, example, range(first, first + n))
        self._asked[name] += n
        self._unread[name] += sum(row.outputs is None for row in rows)
        return [Prediction(**row.outputs) for row in rows if row.outputs is not None]

    def notes(self) -> list[str]:
        """Return what to note of the proposals."""
        return [
            f"{count} proposals were asked of the prompt model as `{name}`"
            + (f"; {self._unread[name]} could not be read and were left out." if self._unread[name] else ".")
            for name, count in self._asked.items()
        ]

    def _rows(self, program: Module, example: Example, draws: range) -> list[Row]:
        job, work, done = self._work.job, self._work, Counter[str]()
        lm = job.lm if job.prompt_lm is None else job.prompt_lm

        def one(draw: int) -> Row:
            model = lm if draw == 0 else lm.rolled(draw)
            drawn = _rolled(program, draw)
            runner = work.runner(Candidate.of(drawn), program=drawn, lm=model, metric=_given, mode="ask", steps=True)
            with role("prompt"):
                row = runner.one(example)
            done["rows"] += 1
            work.say("asking for proposals", done["rows"], len(draws))
            return row

        return work.together(one, draws)

    def _program(self, step: Step) -> Module:
        if isinstance(step, Module):
            return step
        if not isinstance(step, str) and not (isinstance(step, type) and issubclass(step, Signature)):
            raise UsageError(
                f"A step is a signature, such as 'task -> instruction', or a program. Given: {shown(step)}."
            )
        if step not in self._programs:
            self._programs[step] = Predict(step)
        return self._programs[step]


def _name(step: Step) -> str:
    if isinstance(step, str):
        return step
    return step.__name__ if isinstance(step, type) else type(step).__name__


def _example(name: str, program: Module, inputs: Mapping[str, Any]) -> Example:
    wanted = program_inputs(program).names
    if set(wanted) != set(inputs):
        raise UsageError(
            f"The step `{name}` takes the inputs {', '.join(wanted) or 'none'}. Given: {', '.join(inputs) or 'none'}."
        )
    example = Example(**inputs).with_inputs(*inputs)
    try:
        example_key(example)
    except DataError as error:
        raise UsageError(f"An input of the step `{name}` has no JSON form: {error}") from error
    return example


def _rolled(program: Module, draw: int) -> Module:
    """Return `program`, its predictors with a model of their own on the same draw as all others."""
    if draw == 0 or all(predictor.lm is None for _, predictor in program.named_predictors()):
        return program
    found = Candidate.of(program).apply(program)
    for _, predictor in found.named_predictors():
        if predictor.lm is not None:
            predictor.lm = as_lm(predictor.lm).rolled(draw)
    return found


_RUN = 8  # words in a row that are a quotation and not a turn of speech
_LEAST_WORDS, _LEAST_CHARACTERS = 3, 15  # of a value that is a quotation as a whole
_WORD = re.compile(r"\w+")
_NAMED = re.compile(r"`(\w+)`|\{(\w+)\}")
_MARK = re.compile(r"\[\[ ## (\w+) ## \]\]")  # of DSPy's own format
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")


class Guard:
    """Checks instructions of one program.

    Args:
        signatures: of each predictor path.
        base: the program as given.
        val: validation examples, whose text no instruction may hold.
        train: training examples: what they hold too is not a leak.
    """

    def __init__(
        self,
        signatures: Mapping[str, type[Signature]],
        base: Candidate,
        val: Sequence[Example],
        train: Sequence[Example],
    ) -> None:
        self._signatures, self._base, self._val, self._train = signatures, base, val, train

    def why_not(self, path: str, text: object, most: int) -> str | None:
        """Return the reason as a clause, `None` if the instruction may be used."""
        own = self._base.parts[path].instruction
        if not isinstance(text, str) or not text.strip():
            return "it is empty"
        if len(text) > max(most, 2 * len(own)):
            return f"it has {len(text)} characters, more than {max(most, 2 * len(own))}"
        if _CONTROL.search(text):
            return "it holds a character that a prompt cannot carry"
        return self._dropped(path, own, text) or self._forged(path, own, text) or self._leaked(text)

    def _dropped(self, path: str, own: str, text: str) -> str | None:
        """Fields of the predictor that its own instruction names as `field` or {field} must stay."""
        fields = self._signatures[path].fields
        named = {first or second for first, second in _NAMED.findall(own)} & set(fields)
        lost = sorted(name for name in named if not re.search(rf"\b{re.escape(name)}\b", text))
        return f"it drops the field {', '.join(f'`{name}`' for name in lost)}" if lost else None

    def _forged(self, path: str, own: str, text: str) -> str | None:
        """A line that a format writes before a value of a field would be read as that field."""
        signature = self._signatures[path]
        new = _headings(signature, text) - _headings(signature, own)
        return f"it holds what a prompt writes before the field `{min(new)}`" if new else None

    def _leaked(self, text: str) -> str | None:
        words = _words(text)
        joined = f" {' '.join(words)} "
        whole, runs = self._quotations
        found = next((value for value in whole if f" {value} " in joined), None)
        if found is None:
            found = next((" ".join(run) for run in _runs(words) if run in runs), None)
        return None if found is None else f'it holds the text of a validation example: "{found[:60]}"'

    @cached_property
    def _quotations(self) -> tuple[set[str], set[tuple[str, ...]]]:
        """Whole values of validation examples, and their runs of words, that no training example has."""
        known = [" ".join(_words(value)) for value in (*_texts(self._train), *self._own_texts())]
        known_runs = {run for value in known for run in _runs(value.split())}
        whole, runs = set[str](), set[tuple[str, ...]]()
        for value in _texts(self._val):
            words = _words(value)
            plain = " ".join(words)
            if len(words) >= _LEAST_WORDS and len(plain) >= _LEAST_CHARACTERS:
                whole.add(plain)
            runs.update(_runs(words))
        inside = f" {' | '.join(known)} "
        return {value for value in whole if f" {value} " not in inside}, runs - known_runs

    def _own_texts(self) -> Iterable[str]:
        for part in self._base.parts.values():
            yield part.instruction
            for demo in part.demos:
                yield from _strings([demo.inputs, demo.outputs])


def _headings(signature: type[Signature], text: str) -> set[str]:
    """Return the fields of `signature` that some format would find in `text`."""
    fields = signature.fields
    found = {name for name in _MARK.findall(text) if name in fields}
    for name in format_names():
        layout = getattr(get_format(name), "layout", None)
        if layout is not None:
            found |= {section.name for section in layout.sections(layout.labels(signature), text)}
    return found & set(fields)


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())


def _runs(words: Sequence[str]) -> Iterable[tuple[str, ...]]:
    return (tuple(words[at : at + _RUN]) for at in range(len(words) - _RUN + 1))


def _texts(examples: Iterable[Example]) -> Iterable[str]:
    for example in examples:
        yield from _strings(fields_of(example))


def _strings(value: Any) -> Iterable[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _strings(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _strings(item)
