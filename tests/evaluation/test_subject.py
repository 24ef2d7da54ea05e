"""One program with its metric and model: what is made once is not made for every candidate or example."""

from pathlib import Path

import dspy

import tunesmith as ts
from tunesmith.evaluation import Ledger, LedgerView, Runner
from tunesmith.evaluation.subject import Subject
from tunesmith.lm import FunctionLM
from tunesmith.signatures import Example


class Counted(dspy.Module):
    """Counts how often it is copied."""

    copies = 0

    def __init__(self) -> None:
        super().__init__()
        self.answer = ts.Predict("question -> answer")

    def __deepcopy__(self, memo: dict[int, object]) -> "Counted":
        type(self).copies += 1
        made = Counted()
        made.answer = self.answer.deepcopy()
        return made

    def forward(self, question: str) -> dspy.Prediction:
        return self.answer(question=question)


def always(example: Example, prediction: object, trace: object = None) -> bool:
    return True


def test_a_candidate_is_one_copy_of_the_program() -> None:
    program, Counted.copies = Counted(), 0

    Runner(program, always, lm=FunctionLM(lambda seen: "x"), candidate=ts.Candidate.of(program))

    assert Counted.copies == 1


def test_a_program_that_is_not_handed_over_is_copied() -> None:
    program = ts.Predict("question -> answer")

    assert Subject(program, always, lm=FunctionLM(lambda seen: "x")).program is not program


def test_the_key_of_a_candidate_is_made_once() -> None:
    candidate = ts.Candidate.of(ts.Predict("question -> answer"))

    assert candidate.key is candidate.key


def test_progress_tells_of_no_row_that_a_power_cut_could_lose(tmp_path: Path) -> None:
    lm = FunctionLM(lambda seen: "x")
    program = ts.Predict("question -> answer")
    examples = [Example(question=f"q{n}", answer="x").with_inputs("question") for n in range(40)]
    with Ledger(tmp_path / "run.db") as ledger:
        view = LedgerView.of(ledger, program="p", candidate="c", models="m", lm=lm, metric="m")
        told = list[tuple[int, bool]]()
        Runner(program, always, lm=lm, view=view).run(examples, progress=lambda n, _: told.append((n, ledger.waits)))

    assert told == [(n, False) for n in range(1, 41)]
