"""Proposals of the prompt model: asked as often as wanted, counted, and never twice for one draw."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from tunesmith.compilers._guard import kind_of_reason
from tunesmith.compilers._shortening import shortened
from tunesmith.compilers._wording import cleaned
from tunesmith.compilers._work import Work, rolled
from tunesmith.data import content_key, example_key
from tunesmith.errors import DataError, UsageError, shown
from tunesmith.evaluation import Row, program_key
from tunesmith.lm import LM, role
from tunesmith.modules import Candidate, DspyPredict, Module, Predict, Prediction, program_inputs, signature_of
from tunesmith.signatures import Example, Signature

__all__ = ["Asking", "Step"]

Step = Module | type[Signature] | str
"""What is asked: a program, a signature, or the text of one such as `task, examples -> instruction`."""


_TO_WRITE = ("proposal was", "proposals were", "asked of the prompt model")
_TO_JUDGE = ("judgement was", "judgements were", "asked of the judge's model")


def _given(example: Example, prediction: Any, trace: Any = None) -> float:
    """Judge nothing: a proposal that can be read is one."""
    return 1.0


class Asking:
    """Asks for proposals and counts them. The same question gets a new draw each time it is asked.

    Args:
        work: gives the model, meter and ledger.
        judging: whether the judge's model is asked, in the role `judge`, and not the prompt model.
    """

    def __init__(self, work: Work, *, judging: bool = False) -> None:
        self._work, self._judging = work, judging
        self._drawn: Counter[str] = Counter()
        self._asked: Counter[str] = Counter()
        self._unread: Counter[str] = Counter()
        self._cut: Counter[str] = Counter()  # texts that a question had no room for
        self._programs: dict[Any, Module] = {}
        self._judged: dict[str, list[str | None]] = {}  # by step: of each instruction why it was left out

    def ask(self, step: Step, n: int, inputs: Mapping[str, Any]) -> list[Prediction]:
        """Return the proposals that can be read; see `Search.ask`."""
        if isinstance(n, bool) or not isinstance(n, int) or n < 1:
            raise UsageError(f"`ask` takes a number of proposals, at least 1. Given: {shown(n)}.")
        program = self._program(step)
        name = _name(step)
        _example(name, program, inputs)
        lm = self._work.job.model_of_judge if self._judging else self._work.job.proposer
        inputs, dropped = shortened(self._work.job, program, lm, inputs)
        self._cut[name] += dropped
        example = _example(name, program, inputs)
        question = content_key([program_key(program), Candidate.of(program).key, example_key(example)])
        first = self._drawn[question]
        self._drawn[question] += n
        rows = self._rows(program, example, lm, range(first, first + n))
        self._asked[name] += n
        self._unread[name] += sum(row.outputs is None for row in rows)
        return [Prediction(**row.outputs) for row in rows if row.outputs is not None]

    def texts(self, step: Step, n: int, inputs: Mapping[str, Any]) -> list[str]:
        """Return the instructions that proposals hold in their last output, cleaned."""
        field = list(self._program(step).named_predictors()[-1][1].signature.output_fields)[-1]
        found = [getattr(one, field) for one in self.ask(step, n, inputs)]
        return [cleaned(str(text)) for value in found for text in (value if isinstance(value, list) else [value])]

    def judge(self, step: Step, why: str | None) -> None:
        """Note why an instruction of this step is left out, `None` if it is used."""
        self._judged.setdefault(_name(step), []).append(why)

    def notes(self) -> list[str]:
        """Return what to note of the proposals."""
        return [self._note(name, count) for name, count in self._asked.items()]

    def _note(self, name: str, count: int) -> str:
        *what, whom = _TO_JUDGE if self._judging else _TO_WRITE
        text = f"{_counted(count, *what)} {whom} as `{name}`"
        if self._unread[name]:
            text += (
                f"; {self._unread[name]} could not be read and {'was' if self._unread[name] == 1 else 'were'} left out"
            )
        reasons = self._judged.get(name)
        if reasons:
            left = Counter(kind_of_reason(why) for why in reasons if why is not None)
            new = _counted(len(reasons) - left.total(), "was", "were")
            text += f"; of {_counted(len(reasons), 'instruction', 'instructions')} {new} new and could be used"
            text += f" (not used: {', '.join(f'{count} as {why}' for why, count in left.items())})" if left else ""
        if self._cut[name]:
            cut = _counted(self._cut[name], "text of their inputs was", "texts of their inputs were")
            text += f"; {cut} left out, to stay within the limit or the context"
        return f"{text}."

    def _rows(self, program: Module, example: Example, lm: LM, draws: range) -> list[Row]:
        work, done = self._work, Counter[str]()

        def one(draw: int) -> Row:
            model = lm if draw == 0 else lm.rolled(draw)
            drawn = rolled(program, draw)
            runner = work.runner(Candidate.of(drawn), program=drawn, lm=model, metric=_given, mode="ask", steps=True)
            with role("judge" if self._judging else "prompt"):
                row = runner.one(example)
            done["rows"] += 1
            work.say("judging" if self._judging else "asking for proposals", done["rows"], len(draws))
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


def _counted(count: int, one: str, many: str) -> str:
    return f"{count} {one if count == 1 else many}"


def _name(step: Step) -> str:
    if isinstance(step, str):
        return step
    if isinstance(step, DspyPredict):
        return str(signature_of(step).__name__)
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
