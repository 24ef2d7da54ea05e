"""What no run uses with the values that the settings have is found, so that a compiler does not try it."""

import dspy

import tunesmith as ts
from tests.each import each
from tunesmith.modules import Nearest, bind_nearest, idle_of

STEP = "question -> answer"


def first(text: str) -> str:
    """Return the first letter."""
    return text[:1]


def good(example: dspy.Example, found: dspy.Prediction) -> float:
    return 1.0


def router(**options: object) -> ts.Router:
    return ts.Router("question", a=ts.Predict(STEP), b=ts.Predict(STEP), **options)


@each(
    "program, parts",
    [
        (ts.Refine(ts.Predict(STEP), good, rounds=0), {"advise", "improve"}),
        (ts.Refine(ts.Predict(STEP), good, rounds=1), set()),
        (ts.Agent(STEP, tools=[first], planned=False), {"step.plan"}),
        (ts.ReAct(STEP, tools=[first], answer_at_limit=False), {"extract"}),
        (ts.ProgramOfThought(STEP, retries=0, fallback=False), {"repair", "step.predict"}),
        (ts.Chain(one=ts.Rewriter(ts.Predict(STEP), "question", active=False)), {"one.rewrite"}),
        (ts.Predict(STEP), set()),
    ],
)
def test_predictors_that_no_run_calls(program: dspy.Module, parts: set[str]) -> None:
    assert idle_of(program).parts == parts


@each(
    "program, settings",
    [
        (router(), {"threshold", "similarity", "neighbours"}),
        (router(scored=True), {"similarity", "neighbours"}),
        (router(examples={"x": "a"}), {"threshold", "neighbours"}),
        (router(examples={"x": "a", "y": "b"}), {"threshold"}),
        (ts.TreeOfThoughts(STEP, search="dfs"), {"beam"}),
        (ts.TreeOfThoughts(STEP, depth=1), {"beam"}),
        (ts.TreeOfThoughts(STEP), set()),
        (ts.ReAct(STEP, tools=[first]), set()),
    ],
)
def test_settings_without_effect(program: dspy.Module, settings: set[str]) -> None:
    assert idle_of(program).settings == {("self", name) for name in settings}


def test_settings_of_a_module_that_no_run_calls_have_no_effect() -> None:
    program = ts.Refine(ts.Predict(STEP), good, rounds=0)
    assert idle_of(program).settings == set()
    program.advise.demos = [dspy.Example(question="a", answer="b")]
    bind_nearest(program.advise, Nearest(k=2))
    assert ("advise.nearest", "k") in idle_of(program).settings


def test_a_module_that_is_called_in_another_place_is_used() -> None:
    class Twice(dspy.Module):
        def __init__(self) -> None:
            super().__init__()
            self.refined = ts.Refine(ts.Predict(STEP), good, rounds=0)
            self.again = [self.refined.advise]

        def forward(self, question: str) -> dspy.Prediction:
            return self.refined(question=question)

    assert idle_of(Twice()).parts == {"refined.improve"}
