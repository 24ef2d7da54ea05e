"""The LM judge: a metric, and a program."""

import asyncio
import copy
from collections.abc import Callable
from typing import Any

import dspy
import pytest

from tests.each import each
from tests.evaluation.replies import written
from tests.metrics.test_contract import TextContract
from tunesmith.compilers import RandomSearch
from tunesmith.data import Score, example_key
from tunesmith.errors import BudgetExceeded, MetricError, ModelUnavailable, ParseError, UsageError
from tunesmith.evaluation import agreement, evaluate
from tunesmith.lm import LM, Budget, FunctionLM, Meter, ReplyCache, ScriptedLM, Seen, lm
from tunesmith.metrics import exact_match, gated, judge, metric_fingerprint, metric_name, regex_match, weighted
from tunesmith.modules import Predict

ASK = dspy.Example(question="How are you?", polite="Very well, thank you").with_inputs("question")
KIND = "It is polite."


def saying(verdict: Callable[[Seen], str], **options: Any) -> LM:
    """Return a judge's model; a verdict is a function of the request."""
    return FunctionLM(lambda seen: written(seen, verdict=verdict(seen)), **options)


def longer(seen: Seen) -> str:
    """Prefer the longer answer."""
    lines = dict(line.split(": ", 1) for line in seen.text.split("\n") if ": " in line)
    return "first" if len(lines["First"]) > len(lines["Second"]) else "second"


def scored(metric: Any, answer: str, model: LM) -> Score:
    with dspy.context(lm=model):
        return metric(ASK, dspy.Prediction(answer=answer))


class TestJudge(TextContract):
    needs_label = False

    @pytest.fixture
    def metric(self):
        return judge(KIND, output="answer", lm=saying(lambda seen: "good"))


class TestJudgeWithAReference(TextContract):
    @pytest.fixture
    def metric(self):
        return judge(KIND, output="answer", reference="answer", lm=saying(lambda seen: "good"))


class TestPairwiseJudge(TextContract):
    needs_label = False

    @pytest.fixture
    def metric(self):
        return judge(KIND, output="answer", baseline=lambda example: "no", lm=saying(longer))


def test_it_is_asked_what_was_asked_and_answered() -> None:
    model = saying(lambda seen: "good")

    assert scored(judge(KIND), "Fine, thanks", model) == Score(1.0, "judged good")

    (request,) = model.requests
    assert request.messages[-1].text == "Task: How are you?\nAnswer: Fine, thanks\nVerdict:"
    assert KIND in request.system


def test_a_reference_is_shown_where_there_is_one() -> None:
    model = saying(lambda seen: "bad")

    assert scored(judge(KIND, reference="polite"), "What?", model).value == 0
    assert "Reference: Very well, thank you" in model.requests[0].messages[-1].text


@pytest.mark.parametrize(("rating", "value"), [(1, 0.0), (2, 0.25), (5, 1.0)])
def test_a_scale_is_brought_to_one(rating: int, value: float) -> None:
    assert scored(judge(KIND, scale=5), "Hm", FunctionLM(lambda seen: str(rating))).value == value


def test_reasons_are_the_feedback() -> None:
    model = FunctionLM(lambda seen: '{"reason": "It is curt.", "verdict": "bad"}')
    assert scored(judge(KIND, reason=True), "Hm", model) == Score(0.0, "judged bad: It is curt.")


@each(
    ("answer", "verdict", "value"),
    [
        ("a long answer", longer, 1.0),
        ("no", longer, 0.0),
        ("a long answer", lambda seen: "first", 0.5),
        ("a long answer", lambda seen: "second", 0.5),
    ],
)
def test_a_pair_is_judged_in_both_orders(answer: str, verdict: Callable[[Seen], str], value: float) -> None:
    model = saying(verdict)

    assert scored(judge(KIND, baseline=lambda example: "fairly"), answer, model).value == value

    one, other = (request.messages[-1].text for request in model.requests)
    assert one == f"Task: How are you?\nFirst: {answer}\nSecond: fairly\nVerdict:"
    assert other == f"Task: How are you?\nFirst: fairly\nSecond: {answer}\nVerdict:"


def test_equal_outputs_are_a_tie_at_no_call() -> None:
    model = saying(longer)
    assert scored(judge(KIND, baseline="polite"), "Very well, thank you", model).value == 0.5
    assert model.requests == []


@each(
    "baseline",
    [
        Predict("question -> answer"),
        "polite",
        {example_key(ASK): {"answer": "Very well, thank you"}},
        lambda example: dspy.Prediction(answer=example.polite),
    ],
    ids=["program", "field", "outputs", "function"],
)
def test_a_baseline_comes_in_many_ways(baseline: Any) -> None:
    model = FunctionLM(lambda seen: longer(seen) if "First:" in seen.text else "Very well, thank you")
    metric = judge(KIND, output="answer", baseline=baseline)

    assert scored(metric, "No", model).value == 0
    assert scored(metric, "Very well indeed, thank you", model).value == 1
    assert [path for path, _ in metric.named_predictors()] == ["verdict"]
    assert metric.against("polite")._opponent is not metric._opponent


def test_a_baseline_that_fails_has_lost() -> None:
    model = FunctionLM(lambda seen: "perhaps")
    metric = judge(KIND, baseline=Predict("question -> answer: bool"))
    assert scored(metric, "Well", model).value == 1


@pytest.mark.parametrize("pairwise", [False, True])
def test_a_failure_of_the_judge_is_an_error_and_no_zero(pairwise: bool) -> None:
    metric = judge(KIND, baseline="polite" if pairwise else None, lm=FunctionLM(lambda seen: "I cannot say"))
    rows = [dspy.Example(question=f"{n}?", polite="p").with_inputs("question") for n in range(3)]

    with pytest.raises(MetricError, match="judge failed") as caught:
        metric(ASK, dspy.Prediction(answer="x"))
    assert isinstance(caught.value.__cause__, ParseError)
    with pytest.raises(MetricError, match="The metric failed"):
        evaluate(Predict("question -> answer"), rows, metric, lm=FunctionLM(lambda seen: "x"))


def test_the_absence_of_its_model_is_no_failure_of_the_judge() -> None:
    metric = judge(KIND, lm=ScriptedLM(ModelUnavailable("gone")))
    with pytest.raises(ModelUnavailable):
        metric(ASK, dspy.Prediction(answer="x"))
    with pytest.raises(ModelUnavailable):
        evaluate(
            Predict("question -> answer"),
            [ASK],
            judge(KIND, lm=ScriptedLM(ModelUnavailable("gone"))),
            lm=ScriptedLM("x"),
        )


def test_its_calls_are_metered_as_the_judges_and_cached(tmp_path: Any) -> None:
    own = saying(lambda seen: "good", cache=ReplyCache(tmp_path))
    metric, meter = judge(KIND, lm=own), Meter()
    rows = [dspy.Example(question=f"{n}?").with_inputs("question") for n in range(3)]

    for _ in range(2):
        report = evaluate(Predict("question -> answer"), rows, metric, lm=FunctionLM(lambda seen: "x"), meter=meter)

    assert report.mean == 1
    assert {name: spend.calls for name, spend in meter.by_role()["charged"].items()} == {"task": 3, "judge": 3}
    assert len(own.requests) == 3
    with pytest.raises(BudgetExceeded):
        evaluate(
            Predict("question -> answer"),
            rows,
            judge(KIND, lm=saying(lambda seen: "good")),
            lm=FunctionLM(lambda seen: "y"),
            meter=Meter(Budget(calls=4)),
        )


def test_a_judge_leaves_no_trace_in_the_programs() -> None:
    with dspy.context(trace=[], lm=saying(lambda seen: "good")):
        judge(KIND)(ASK, dspy.Prediction(answer="x"))
        assert dspy.settings.trace == []


def test_a_report_says_that_its_judge_was_never_measured() -> None:
    model = saying(lambda seen: "good")
    metric = judge(KIND, output="answer", lm=model)
    rows = [ASK.copy(question=str(n)).with_inputs("question") for n in range(4)]

    def mine(example: Any, prediction: Any, trace: Any = None) -> Any:
        return metric(example, prediction)

    def notes(used: Any) -> tuple[str, ...]:
        return evaluate(Predict("question -> answer"), rows, used, lm=FunctionLM(lambda seen: "x"), slots=2).notes

    for used in (metric, weighted({metric: 1}), gated(lambda e, p, t=None: True, metric), mine):
        assert [note.split("`")[1] for note in notes(used)] == ["judge(answer)"]
    report = evaluate(Predict("question -> answer"), rows, metric, lm=FunctionLM(lambda seen: "x"))
    assert "not measured" in str(report)
    assert report.to_json()["notes"] == list(report.notes)

    agreement(metric, [metric.labelled(ASK, "yes", verdict="good"), metric.labelled(ASK, "no", verdict="bad")])

    assert notes(metric) == notes(weighted({metric: 1})) == ()
    assert notes(regex_match("x", "answer")) == ()


def test_what_was_measured_holds_for_the_model_that_judged() -> None:
    metric = judge(KIND)
    one, other = saying(lambda seen: "good"), saying(lambda seen: "good", name="other")
    agreement(metric, [metric.labelled(ASK, "yes", verdict="good")], lm=one)
    program = Predict("question -> answer")
    program.lm = FunctionLM(lambda seen: "x")

    assert metric.is_measured
    assert evaluate(program, [ASK], metric, lm=one).notes == ()
    (note,) = evaluate(program, [ASK], metric, lm=other).notes
    assert "not measured under this model" in note


def test_a_baseline_of_other_outputs_is_another_judge() -> None:
    key = example_key(ASK)
    judges = [judge(KIND, baseline={key: text}) for text in ("a", "b", "a")]
    first, second, third = map(metric_fingerprint, judges)
    assert first == third != second


def test_what_was_measured_is_forgotten_when_the_judge_changes() -> None:
    metric = judge(KIND, lm=saying(lambda seen: "good"))
    found = agreement(metric, [metric.labelled(ASK, "yes", verdict="good")])
    assert metric.is_measured
    assert copy.deepcopy(metric).is_measured

    fresh = judge(KIND, lm=saying(lambda seen: "good"))
    assert not judge("It is short.", lm=saying(lambda seen: "good")).is_measured
    metric.verdict.signature = metric.verdict.signature.with_instructions("Other words.")
    assert not metric.is_measured
    with pytest.raises(UsageError, match="another judge"):
        metric.remember(found.to_json())
    fresh.verdict.demos = []
    assert metric_fingerprint(fresh) != metric_fingerprint(metric)


def test_the_baseline_does_not_count_when_a_judge_is_measured() -> None:
    metric = judge(KIND, pairwise=True, lm=saying(longer))
    agreement(metric, [metric.labelled(ASK, "aaa", "b", verdict="first")])

    assert metric.against("polite").is_measured
    assert metric_fingerprint(metric.against("polite")) != metric_fingerprint(metric.against("question"))


def test_names_tell_judges_apart() -> None:
    assert metric_name(judge(KIND)) == "judge"
    assert metric_name(judge(KIND, output="answer", baseline="polite")) == "pairwise_judge(answer)"


@each(
    "make",
    [
        lambda: judge(""),
        lambda: judge(KIND, scale=1),
        lambda: judge(KIND, scale=5, baseline="polite"),
        lambda: judge(KIND, pairwise=False, baseline="polite"),
        lambda: judge(KIND, output=3),  # type: ignore[arg-type]
        lambda: judge(KIND, baseline=3),  # type: ignore[arg-type]
        lambda: judge(KIND, lm="embedded"),  # type: ignore[arg-type]
        lambda: judge(KIND, pairwise="yes"),  # type: ignore[arg-type]
        lambda: judge(KIND).remember(None),  # type: ignore[arg-type]
        lambda: judge(KIND).against("polite"),
        lambda: judge(KIND).labelled(ASK, "x", verdict="first"),
        lambda: judge(KIND).labelled(ASK, "x", "y", verdict="good"),
        lambda: judge(KIND, pairwise=True)(ASK, dspy.Prediction(answer="x")),
    ],
)
def test_what_makes_no_judge_is_refused(make: Callable[[], Any]) -> None:
    with pytest.raises(UsageError):
        make()


# Compiling -----------------------------------------------------------------------------------------------------


def labelled_answers(metric: Any, count: int) -> list[dspy.Example]:
    return [
        metric.labelled(
            dspy.Example(question=f"Question {n}?").with_inputs("question"),
            "Yes, please" if n % 2 else "No",
            verdict="good" if n % 2 else "bad",
        )
        for n in range(count)
    ]


def test_a_judge_compiles() -> None:
    def taught(seen: Seen) -> str:
        shown = {text for role, text in seen.messages if role == "assistant"}
        return "good" if "please" in seen.text or len(shown) < 2 else "bad"

    metric = judge(KIND)
    data = labelled_answers(metric, 30)
    model = saying(taught)
    with dspy.context(lm=model):
        before = agreement(metric, data[20:])
        better = RandomSearch(metric=exact_match("verdict"), num_candidates=4).compile(
            metric, trainset=data[:10], valset=data[10:20]
        )
        assert not better.is_measured
        after = agreement(better, data[20:])

        assert before.agreement.mean == 0.5
        assert after.agreement.mean == 1.0
        assert better(ASK, dspy.Prediction(answer="Yes, please")).value == 1
        assert better(ASK, dspy.Prediction(answer="No")).value == 0
    assert better.is_measured
    assert len(metric.verdict.demos) == 0 < len(better.verdict.demos)


def test_a_judge_is_a_program_in_coroutines_too() -> None:
    async def run() -> Any:
        with dspy.context(lm=saying(lambda seen: "bad")):
            return await judge(KIND).acall(task="a", answer="b")

    assert asyncio.run(run()).verdict == "bad"


@pytest.mark.model
@pytest.mark.slow
def test_a_judge_compiles_on_the_embedded_model() -> None:
    metric = judge("The answer says yes.")
    data = labelled_answers(metric, 10)
    model = lm("embedded")
    with dspy.context(lm=model):
        better = RandomSearch(
            metric=exact_match("verdict"), num_candidates=2, max_labeled_demos=2, formats=["bare"]
        ).compile(metric, trainset=data[:4], valset=data[4:])
        found = agreement(better, data[4:])

    assert found.errors == 0
    assert found.agreement.mean is not None
    assert found.agreement.mean >= better.compile_report.baseline.mean
