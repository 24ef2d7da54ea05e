"""One program with its metric and model: what is made once is not made for every candidate or example."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import dspy

import tunesmith as ts
from tests.contracts.format import OldLM
from tests.each import each
from tunesmith.evaluation import Ledger, LedgerView, Row, Runner
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


class Inside(dspy.Module):
    """Calls a predictor as DSPy calls it."""

    def __init__(self, inner: dspy.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, **inputs: str) -> dspy.Prediction:
        return self.inner(**inputs)


@each(
    "make, reply",
    [
        (lambda: ts.Predict("question -> answer"), "x"),
        (lambda: dspy.Predict("question -> answer"), "x"),
        (lambda: ts.ChainOfThought("question -> answer"), '{"reasoning": "so", "answer": "x"}'),
        (lambda: dspy.ChainOfThought("question -> answer"), "no JSON"),
        (lambda: ts.Predict("question, context -> answer"), "x"),
    ],
)
def test_a_lone_predictor_gives_the_rows_that_it_gives_inside_a_program(
    make: Callable[[], dspy.Module], reply: str
) -> None:
    examples = [Example(question=f"q{n}", answer="x").with_inputs("question") for n in range(3)]
    lm, metric = FunctionLM(lambda seen: reply), ts.metrics.exact_match("answer")

    lone, inside = (
        Runner(program, metric, lm=lm, steps=True).run(examples).rows for program in (make(), Inside(make()))
    )

    def plain(rows: tuple[Row, ...]) -> list[object]:
        return [
            (row.key, row.outputs, row.score, row.failure, row.calls, [(s.inputs, s.outputs) for s in row.steps])
            for row in rows
        ]

    assert plain(lone) == plain(inside)
    assert [len(row.steps) for row in lone] == [0 if row.failure else 1 for row in lone]


class Bare(dspy.ChainOfThought):
    """Lacks what DSPy's metaclass sets, as after an unpickling that sets its own attributes alone."""

    @property
    def predict(self) -> dspy.Predict:
        return self.inner  # type: ignore[no-any-return]

    @predict.setter
    def predict(self, inner: dspy.Predict) -> None:
        self.inner = inner


def without_callbacks(program: dspy.Module) -> dspy.Module:
    program.__dict__.pop("callbacks")
    return program


@each(
    "make",
    [
        lambda: Bare("question -> answer"),
        lambda: without_callbacks(dspy.ChainOfThought("question -> answer")),
        lambda: without_callbacks(ts.Predict("question -> answer")),
    ],
)
def test_a_predictor_without_the_attributes_of_dspy_is_evaluated(make: Callable[[], dspy.Module]) -> None:
    lm = FunctionLM(lambda seen: '{"reasoning": "so", "answer": "x"}')
    examples = [Example(question="q").with_inputs("question")]

    (row,) = Runner(make(), always, lm=lm).run(examples).rows

    assert row.score == 1.0


class Asking(OldLM):
    """Notes which modules call it."""

    def __init__(self) -> None:
        super().__init__("x")
        self.callers = list[str]()

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        self.callers += [type(module).__name__ for module in dspy.settings.caller_modules or ()]
        return super().forward(*args, **kwargs)


def test_an_lm_of_the_callers_own_sees_which_module_calls() -> None:
    lm = Asking()

    Runner(ts.Predict("question -> answer"), always, lm=lm).run([Example(question="q").with_inputs("question")])

    assert lm.callers == ["Predict"]


def test_callbacks_and_counts_of_tokens_see_a_lone_predictor() -> None:
    heard, used = list[str](), list[object]()

    class Listener(dspy.utils.callback.BaseCallback):
        def on_module_start(self, call_id: str, instance: object, inputs: dict[str, object]) -> None:
            heard.append(type(instance).__name__)

    def noted(example: Example, prediction: dspy.Prediction, trace: object = None) -> bool:
        used.append(prediction.get_lm_usage())
        return True

    program, examples = ts.Predict("question -> answer"), [Example(question="q").with_inputs("question")]
    lm = FunctionLM(lambda seen: "x")
    with dspy.context(callbacks=[Listener()]):
        Runner(program, noted, lm=lm).run(examples)
    with dspy.context(track_usage=True):
        Runner(program, noted, lm=lm).run(examples)

    assert heard == ["Predict"]
    assert used[0] is None
    assert used[1] is not None
