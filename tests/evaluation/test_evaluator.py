"""`evaluate`: order, whose fault, what a row holds, and what is left alone."""

import copy
import dataclasses
import json
import sys
import threading
import time
from pathlib import Path
from typing import Any, Literal

import dspy
import pytest
from dspy.clients.base_lm import GLOBAL_HISTORY
from dspy.dsp.utils.settings import settings
from dspy.utils import DummyLM
from hypothesis import given
from hypothesis import strategies as st

import tunesmith as ts
from tests.each import each
from tests.evaluation.replies import number, written
from tests.scale import scaled
from tunesmith.data import Dataset, Score, example_key
from tunesmith.errors import (
    BudgetExceeded,
    ContextOverflow,
    Interrupted,
    MetricError,
    ModelMissing,
    ModelUnavailable,
    UsageError,
)
from tunesmith.evaluation import Report, Row, Runner, Step, evaluate
from tunesmith.lm import LM, Budget, FunctionLM, Meter, ReplyCache, Seen, StopSignal


class Parity(dspy.Signature):
    """Say whether the number is odd or even."""

    number: int = dspy.InputField()
    parity: Literal["odd", "even"] = dspy.OutputField()


def parity(value: int) -> str:
    return "odd" if value % 2 else "even"


def numbers(count: int) -> list[dspy.Example]:
    return [dspy.Example(number=i, parity=parity(i)).with_inputs("number") for i in range(count)]


def right(example: dspy.Example, prediction: dspy.Prediction, trace: Any = None) -> bool:
    return example.parity == prediction.parity


def knows(seen: Seen) -> str:
    return written(seen, parity=parity(number(seen.text)))


def always_odd(seen: Seen) -> str:
    return written(seen, parity="odd")


def without_time(report: Report) -> list[Row]:
    return [dataclasses.replace(row, seconds=0.0) for row in report.rows]


# Order ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("slots", [1, 8])
def test_rows_stand_in_the_order_of_the_dataset_whatever_the_order_of_the_replies(slots: int) -> None:
    data = numbers(40)

    def slow_at_first(seen: Seen) -> str:
        time.sleep((40 - number(seen.text)) % 7 / 2000)
        return knows(seen)

    report = evaluate(dspy.Predict(Parity), data, right, lm=FunctionLM(slow_at_first), slots=slots)

    assert [row.key for row in report.rows] == [example_key(example) for example in data]
    assert [row.outputs for row in report.rows] == [{"parity": example.parity} for example in data]


def test_one_slot_and_eight_slots_find_the_same() -> None:
    data = numbers(60)
    program = dspy.Predict(Parity)

    one, eight = (evaluate(program, data, right, lm=FunctionLM(always_odd), slots=slots) for slots in (1, 8))

    assert without_time(one) == without_time(eight)
    assert one.mean == eight.mean == 0.5


def test_eight_slots_are_eight_requests_at_once_and_never_more() -> None:
    together = threading.Barrier(8, timeout=30)
    most, now, lock = 0, 0, threading.Lock()

    def meets_the_others(seen: Seen) -> str:
        nonlocal most, now
        with lock:
            now += 1
            most = max(most, now)
        together.wait()
        with lock:
            now -= 1
        return knows(seen)

    report = evaluate(dspy.Predict(Parity), numbers(32), right, lm=FunctionLM(meets_the_others), slots=8)

    assert report.mean == 1.0
    assert most == 8


def test_the_slots_of_the_model_count_where_the_caller_names_none() -> None:
    together = threading.Barrier(3, timeout=30)

    def meets_the_others(seen: Seen) -> str:
        together.wait()
        return knows(seen)

    assert evaluate(dspy.Predict(Parity), numbers(6), right, lm=FunctionLM(meets_the_others, slots=3)).mean == 1.0


def test_more_slots_than_examples_are_no_harm() -> None:
    assert evaluate(dspy.Predict(Parity), numbers(3), right, lm=FunctionLM(knows), slots=50).n == 3


@given(st.lists(st.sampled_from(["right", "wrong", "junk"]), min_size=1, max_size=12), st.sampled_from([1, 4]))
def test_every_row_says_what_happened_to_its_example(fates: list[str], slots: int) -> None:
    def answer(seen: Seen) -> str:
        n = number(seen.text)
        said = {"right": parity(n), "wrong": parity(n + 1), "junk": "neither of them"}[fates[n]]
        return written(seen, parity=said)

    report = evaluate(dspy.Predict(Parity), numbers(len(fates)), right, lm=FunctionLM(answer), slots=slots)

    assert [row.score for row in report.rows] == [{"right": 1.0, "wrong": 0.0}.get(fate) for fate in fates]
    assert report.errors == fates.count("junk")
    assert report.mean == pytest.approx(fates.count("right") / len(fates))
    assert report.n == len(fates)


# The program's fault ----------------------------------------------------------------------------------------


def test_a_reply_that_does_not_parse_is_the_programs_failure_and_counts_as_the_floor() -> None:
    def answer(seen: Seen) -> str:
        return "purple" if number(seen.text) == 3 else knows(seen)

    report = evaluate(dspy.Predict(Parity), numbers(10), right, lm=FunctionLM(answer))
    row = report.rows[3]

    assert row.failure is not None
    assert (row.failure.fault, row.failure.kind) == ("program", "ParseError")
    assert "purple" in row.failure.message
    assert (row.score, row.outputs) == (None, None)
    assert (report.mean, report.n, report.errors) == (0.9, 10, 1)


@pytest.mark.parametrize(("floor", "mean"), [(0.0, 0.9), (-1.0, 0.8), (0.5, 0.95)])
def test_the_floor_is_what_a_failure_counts(floor: float, mean: float) -> None:
    def answer(seen: Seen) -> str:
        return "purple" if number(seen.text) == 3 else knows(seen)

    report = evaluate(dspy.Predict(Parity), numbers(10), right, lm=FunctionLM(answer), floor=floor)

    assert report.mean == pytest.approx(mean)
    assert report.values()[3] == floor


def test_an_exception_in_forward_is_the_programs_failure() -> None:
    class Divides(dspy.Module):
        def __init__(self) -> None:
            super().__init__()
            self.predict = dspy.Predict(Parity)

        def forward(self, number: int) -> dspy.Prediction:
            1 / (number - 2)
            return self.predict(number=number)

    report = evaluate(Divides(), numbers(4), right, lm=FunctionLM(knows))

    failure = report.rows[2].failure
    assert failure is not None
    assert (failure.fault, failure.kind) == ("program", "ZeroDivisionError")
    assert report.mean == 0.75
    assert report.rows[2].calls == 0


def test_a_forward_that_forgets_to_return_is_the_programs_failure_and_not_a_wrong_answer() -> None:
    class Forgets(dspy.Module):
        def __init__(self) -> None:
            super().__init__()
            self.predict = dspy.Predict(Parity)

        def forward(self, number: int) -> dspy.Prediction | None:
            found = self.predict(number=number)
            return None if number == 2 else found

    report = evaluate(Forgets(), numbers(4), right, lm=FunctionLM(knows))

    row = report.rows[2]
    assert row.failure is not None
    assert row.failure.fault == "program"
    assert "returned None" in row.failure.message
    assert row.calls == 1
    assert (report.mean, report.errors) == (0.75, 1)


@pytest.mark.parametrize("slots", [1, 8])
def test_a_program_that_ends_the_process_fails_on_its_example_alone(slots: int) -> None:
    class Leaves(dspy.Module):
        def __init__(self) -> None:
            super().__init__()
            self.predict = dspy.Predict(Parity)

        def forward(self, number: int) -> dspy.Prediction:
            if number == 2:
                sys.exit(0)
            return self.predict(number=number)

    report = evaluate(Leaves(), numbers(4), right, lm=FunctionLM(knows), slots=slots)

    failure = report.rows[2].failure
    assert failure is not None
    assert (failure.fault, failure.kind, failure.message) == ("program", "SystemExit", "0")
    assert (report.mean, report.errors) == (0.75, 1)


@pytest.mark.parametrize("slots", [1, 8])
def test_a_prompt_that_does_not_fit_is_the_programs_failure(slots: int) -> None:
    def answer(seen: Seen) -> str:
        if number(seen.text) == 1:
            raise ContextOverflow("too long", prompt_tokens=9000, context_tokens=8192)
        return knows(seen)

    report = evaluate(dspy.Predict(Parity), numbers(4), right, lm=FunctionLM(answer), slots=slots)

    failure = report.rows[1].failure
    assert failure is not None
    assert (failure.fault, failure.kind) == ("program", "ContextOverflow")
    assert "9000" in failure.message
    assert (report.mean, report.errors) == (0.75, 1)


def test_a_program_that_returns_something_else_than_a_prediction_is_scored_by_the_metric() -> None:
    class Says(dspy.Module):
        def __init__(self) -> None:
            super().__init__()
            self.predict = dspy.Predict(Parity)

        def forward(self, number: int) -> str:
            return str(self.predict(number=number).parity)

    report = evaluate(Says(), numbers(2), lambda example, said: said == example.parity, lm=FunctionLM(knows))

    assert report.mean == 1.0
    assert report.rows[0].outputs == {"result": "even"}


# The metric's fault -----------------------------------------------------------------------------------------


@each("slots", [1, 8])
@each("bad", [float("nan"), float("inf"), "good", None, [], object(), ZeroDivisionError("no"), SystemExit(0)])
def test_a_metric_that_gives_no_score_leaves_the_example_out(bad: Any, slots: int) -> None:
    def metric(example: dspy.Example, prediction: dspy.Prediction, trace: Any = None) -> Any:
        if example.number not in (7, 8):
            return right(example, prediction)
        if isinstance(bad, BaseException):
            raise bad
        return bad

    report = evaluate(dspy.Predict(Parity), numbers(100), metric, lm=FunctionLM(always_odd), slots=slots)

    assert (report.n, report.metric_errors, report.errors) == (98, 2, 0)
    assert report.mean == pytest.approx(49 / 98)
    row = report.rows[7]
    assert row.failure is not None
    assert row.failure.fault == "metric"
    assert row.outputs == {"parity": "odd"}, "what the program said is kept"
    assert report.values()[7] is None


@pytest.mark.parametrize("slots", [1, 8])
def test_a_metric_that_fails_on_more_than_2_percent_stops_the_evaluation(slots: int) -> None:
    model = FunctionLM(knows)

    def metric(example: dspy.Example, prediction: dspy.Prediction) -> bool:
        if example.number % 10 == 0:
            raise KeyError("colour")
        return True

    with pytest.raises(MetricError, match=r"KeyError.*colour"):
        evaluate(dspy.Predict(Parity), numbers(400), metric, lm=model, slots=slots)
    assert len(model.requests) < 300, "nothing is asked that nobody will score"


def test_one_failure_of_the_metric_stops_a_short_evaluation() -> None:
    def metric(example: dspy.Example, prediction: dspy.Prediction) -> str:
        return "fine"

    with pytest.raises(MetricError, match="fine"):
        evaluate(dspy.Predict(Parity), numbers(5), metric, lm=FunctionLM(knows))


def test_a_metric_may_return_a_bool_a_number_a_score_or_a_prediction_with_a_score() -> None:
    def metric(example: dspy.Example, prediction: dspy.Prediction) -> Any:
        return [True, 0.25, Score(0.5, "half right"), dspy.Prediction(score=1, feedback="well done")][example.number]

    report = evaluate(dspy.Predict(Parity), numbers(4), metric, lm=FunctionLM(knows))

    assert [row.score for row in report.rows] == [1.0, 0.25, 0.5, 1.0]
    assert [row.feedback for row in report.rows] == [None, None, "half right", "well done"]


def two(example: dspy.Example, prediction: dspy.Prediction) -> bool:
    return right(example, prediction)


def only_named(example: dspy.Example, prediction: dspy.Prediction, *, trace: Any = None) -> bool:
    return trace is None and right(example, prediction)


def any_number(*arguments: Any) -> bool:
    return arguments[2] is None and right(arguments[0], arguments[1])


class AnObject:
    def __call__(self, gold: dspy.Example, pred: dspy.Prediction, trace: Any) -> bool:
        return trace is None and right(gold, pred)


@each("metric", [two, right, only_named, any_number, AnObject(), ts.metrics.exact_match("parity")])
def test_a_metric_takes_two_or_three_arguments_and_an_evaluation_gives_no_trace(metric: Any) -> None:
    assert evaluate(dspy.Predict(Parity), numbers(2), metric, lm=FunctionLM(knows)).mean == 1.0


# The model's absence, the budget, the user --------------------------------------------------------------------


class CatchesEverything(dspy.Module):
    """A program that takes every failure for an answer."""

    def __init__(self) -> None:
        super().__init__()
        self.predict = dspy.Predict(Parity)

    def forward(self, number: int) -> dspy.Prediction:
        try:
            return self.predict(number=number)
        except Exception:
            return dspy.Prediction(parity="even")


class InParallel(dspy.Module):
    """A program that asks from threads of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.predict = dspy.Predict(Parity)

    def forward(self, number: int) -> dspy.Prediction:
        ask = dspy.Parallel(num_threads=2, disable_progress_bar=True)
        first, _ = ask([(self.predict, {"number": number}), (self.predict, {"number": number + 1000})])
        return first


PROGRAMS = [
    pytest.param(dspy.Predict(Parity), id="a predictor"),
    pytest.param(CatchesEverything(), id="one that catches everything"),
    pytest.param(InParallel(), id="one with threads"),
]


@each("program", PROGRAMS)
@each("slots", [1, 8])
@each("kind", [ModelUnavailable, ModelMissing])
def test_the_absence_of_the_model_stops_at_once(kind: type[Exception], slots: int, program: dspy.Module) -> None:
    def answer(seen: Seen) -> str:
        if number(seen.text) >= 20:
            raise kind("nobody there")
        time.sleep(0.001)
        return knows(seen)

    model = FunctionLM(answer)

    with pytest.raises(kind, match="nobody there"):
        evaluate(program, numbers(400), right, lm=model, slots=slots)
    assert len(model.requests) < 80


def test_one_lost_worker_stops_the_others() -> None:
    def answer(seen: Seen) -> str:
        if number(seen.text) == 5:
            raise ModelUnavailable("gone for one request only")
        time.sleep(0.002)
        return knows(seen)

    model = FunctionLM(answer)

    with pytest.raises(ModelUnavailable):
        evaluate(dspy.Predict(Parity), numbers(400), right, lm=model, slots=8)
    assert len(model.requests) < 60


@each("program", PROGRAMS)
@each("slots", [1, 8])
def test_the_end_of_the_budget_stops_every_program(program: dspy.Module, slots: int) -> None:
    model, meter = FunctionLM(knows), Meter(Budget(calls=17))

    with pytest.raises(BudgetExceeded) as caught:
        evaluate(program, numbers(100), right, lm=model, slots=slots, meter=meter)

    assert len(model.requests) == 17
    assert caught.value.spent["calls"] <= 17


@pytest.mark.parametrize("slots", [1, 8])
def test_an_interruption_gives_the_finished_rows(slots: int) -> None:
    def answer(seen: Seen) -> str:
        if number(seen.text) == 20:
            raise KeyboardInterrupt
        time.sleep(0.001)
        return knows(seen)

    model = FunctionLM(answer)

    with pytest.raises(Interrupted, match="Stopped after") as caught:
        evaluate(dspy.Predict(Parity), numbers(400), right, lm=model, slots=slots)

    partial = caught.value.partial
    assert isinstance(partial, Report)
    keys = [example_key(example) for example in numbers(400)]
    done = [keys.index(row.key) for row in partial.rows]
    assert done == sorted(done), "finished rows stay in order"
    assert set(range(20)) <= {*done, 20} | set(range(20 - slots, 20))
    assert 20 not in done
    assert partial.mean == 1.0
    assert len(model.requests) < 80


def test_an_interrupted_evaluation_goes_on_from_the_cache(tmp_path: Path) -> None:
    cache, patient = ReplyCache(tmp_path), False

    def answer(seen: Seen) -> str:
        if number(seen.text) == 20 and not patient:
            raise KeyboardInterrupt
        return knows(seen)

    model = FunctionLM(answer, cache=cache)
    with pytest.raises(Interrupted):
        evaluate(dspy.Predict(Parity), numbers(40), right, lm=model)
    patient = True

    report = evaluate(dspy.Predict(Parity), numbers(40), right, lm=model)

    assert report.n == 40
    assert (report.charged.calls, report.paid.calls) == (40, 20)


def test_the_internal_stop_signal_never_reaches_the_caller() -> None:
    def answer(seen: Seen) -> str:
        raise ModelUnavailable("away")

    try:
        evaluate(dspy.Predict(Parity), numbers(3), right, lm=FunctionLM(answer), slots=3)
    except StopSignal:
        pytest.fail("a StopSignal came out")
    except ModelUnavailable:
        pass


# What a row and a report hold ---------------------------------------------------------------------------------


class TwoSteps(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = dspy.Predict("number -> thought")
        self.second = dspy.Predict("number, thought -> parity")

    def forward(self, number: int) -> dspy.Prediction:
        thought = self.first(number=number).thought
        return self.second(number=number, thought=thought)


def two_steps(seen: Seen) -> str:
    asked = seen.text.rsplit("\n", 1)[-1]
    return written(seen, **({"thought": "hm"} if asked == "Thought:" else {"parity": parity(number(seen.text))}))


def test_rows_keep_the_steps_where_they_are_asked_for() -> None:
    report = evaluate(TwoSteps(), numbers(3), right, lm=FunctionLM(two_steps), steps=True, slots=3)

    assert report.rows[1].steps == (
        Step("first", {"number": 1}, {"thought": "hm"}),
        Step("second", {"number": 1, "thought": "hm"}, {"parity": "odd"}),
    )


def test_rows_keep_no_steps_otherwise() -> None:
    assert all(row.steps == () for row in evaluate(TwoSteps(), numbers(3), right, lm=FunctionLM(two_steps)).rows)


def test_calls_and_tokens_are_those_of_the_row() -> None:
    model = FunctionLM(two_steps)

    report = evaluate(TwoSteps(), numbers(4), right, lm=model, slots=4)

    assert [row.calls for row in report.rows] == [2, 2, 2, 2]
    assert sum(row.tokens for row in report.rows) == report.charged.tokens > 0
    assert report.charged.calls == report.paid.calls == len(model.requests) == 8
    assert all(row.seconds >= 0 for row in report.rows)


def test_a_row_says_whether_its_replies_came_from_the_cache(tmp_path: Path) -> None:
    model = FunctionLM(knows, cache=ReplyCache(tmp_path))
    evaluate(dspy.Predict(Parity), numbers(5), right, lm=model)

    report = evaluate(dspy.Predict(Parity), numbers(8), right, lm=model)

    assert [row.cached for row in report.rows] == [True] * 5 + [False] * 3
    assert [row.calls for row in report.rows] == [1] * 8
    assert (report.charged.calls, report.paid.calls) == (8, 3)


def test_a_row_without_calls_is_not_cached() -> None:
    class Knows(dspy.Module):
        def forward(self, number: int) -> dspy.Prediction:
            return dspy.Prediction(parity=parity(number))

    report = evaluate(Knows(), numbers(2), right, lm=FunctionLM(knows))

    assert (report.mean, report.rows[0].calls, report.rows[0].cached) == (1.0, 0, False)


def test_a_meter_that_is_shared_counts_each_report_on_its_own() -> None:
    model, meter = FunctionLM(knows), Meter()

    first = evaluate(dspy.Predict(Parity), numbers(5), right, lm=model, meter=meter)
    second = evaluate(dspy.Predict(Parity), numbers(8), right, lm=model, meter=meter)

    assert (first.charged.calls, second.charged.calls) == (5, 3), "a run is charged once for a request"
    assert meter.charged.calls == 8


def test_calls_from_threads_of_the_program_are_counted() -> None:
    model = FunctionLM(knows)

    report = evaluate(InParallel(), numbers(5), right, lm=model, slots=2)

    assert report.charged.calls == len(model.requests) == 10
    assert [row.calls for row in report.rows] == [2] * 5


def test_a_report_is_json(tmp_path: Path) -> None:
    def answer(seen: Seen) -> str:
        return "purple" if number(seen.text) == 3 else knows(seen)

    report = evaluate(dspy.Predict(Parity), numbers(10), right, lm=FunctionLM(answer))

    data = json.loads(json.dumps(report.to_json()))
    assert (data["mean"], data["n"], data["errors"], data["metric_errors"]) == (0.9, 10, 1, 0)
    assert data["low"] < 0.9 < data["high"]
    assert data["rows"][3]["failure"]["kind"] == "ParseError"
    assert data["rows"][4]["outputs"] == {"parity": "even"}


def test_progress_is_told_of_every_example_in_order() -> None:
    told: list[tuple[int, int]] = []

    evaluate(dspy.Predict(Parity), numbers(9), right, lm=FunctionLM(knows), progress=lambda *p: told.append(p))

    assert told == [(i + 1, 9) for i in range(9)]


# What is left alone -------------------------------------------------------------------------------------------


def test_no_history_grows() -> None:
    model, program = FunctionLM(knows), CatchesEverything()
    before = len(GLOBAL_HISTORY)

    for slots in (1, 4):
        evaluate(program, numbers(20), right, lm=model, slots=slots)

    assert model.history == []
    assert program.history == []
    assert program.predict.history == []
    assert len(GLOBAL_HISTORY) == before


@pytest.mark.parametrize("slots", [1, 4])
def test_the_settings_of_dspy_are_untouched(slots: int) -> None:
    with dspy.context(lm=FunctionLM(knows), trace=[], temperature=0.5):
        before = dict(settings.config)
        trace = settings.trace

        evaluate(dspy.Predict(Parity), numbers(5), right, slots=slots)

        assert dict(settings.config) == before
        assert trace == []


def state_of(program: dspy.Module) -> dict[str, Any]:
    found = dict(program.named_predictors())
    return {path: (copy.deepcopy(p.demos), p.signature, dict(p.config), p.lm) for path, p in found.items()}


@pytest.mark.parametrize("slots", [1, 4])
def test_the_program_is_unchanged(slots: int) -> None:
    program = TwoSteps()
    program.first.demos = [dspy.Example(number=1, thought="one", augmented=True)]
    program.second.lm = FunctionLM(two_steps)
    own, attributes = program.second.lm, set(vars(program.first))
    state = state_of(program)

    evaluate(program, numbers(5), right, lm=FunctionLM(two_steps), slots=slots)

    assert state_of(program) == state
    assert set(vars(program.first)) == attributes
    assert program.second.lm is own


def test_the_dataset_is_unchanged() -> None:
    data = numbers(5)
    before = copy.deepcopy(data)

    evaluate(dspy.Predict(Parity), data, right, lm=FunctionLM(knows))

    assert data == before


# What can be given ----------------------------------------------------------------------------------------------


def test_a_dataset_a_list_and_a_tuple_are_the_same() -> None:
    program, model = dspy.Predict(Parity), FunctionLM(knows)

    reports = [evaluate(program, d, right, lm=model) for d in (Dataset.load(numbers(4)), numbers(4), tuple(numbers(4)))]

    assert without_time(reports[0]) == without_time(reports[1]) == without_time(reports[2])


def test_the_model_of_the_settings_is_the_default() -> None:
    with dspy.context(lm=FunctionLM(knows)):
        assert evaluate(dspy.Predict(Parity), numbers(4), right).mean == 1.0


def test_an_lm_made_elsewhere_is_metered() -> None:
    elsewhere = DummyLM([{"parity": "even"}] * 4)

    with dspy.context(adapter=dspy.ChatAdapter()):
        report = evaluate(dspy.Predict(Parity), numbers(4), right, lm=elsewhere)

    assert report.mean == 0.5
    assert report.charged.calls == 4


def test_a_predictors_own_model_answers_and_is_metered() -> None:
    program, own = TwoSteps(), FunctionLM(two_steps, name="own")
    program.second.lm = own
    model = FunctionLM(two_steps)

    report = evaluate(program, numbers(3), right, lm=model)

    assert (len(model.requests), len(own.requests), report.charged.calls) == (3, 3, 6)


def test_the_callers_adapter_stays_in_charge() -> None:
    model = FunctionLM(knows)

    with dspy.context(adapter=dspy.ChatAdapter()):
        report = evaluate(dspy.Predict(Parity), numbers(3), right, lm=model)

    assert report.mean == 1.0
    assert "[[ ## " in str(model.requests[0].system)


def test_without_an_adapter_one_prediction_is_one_constrained_call() -> None:
    model = FunctionLM(lambda seen: "odd")

    report = evaluate(dspy.Predict(Parity), numbers(3), right, lm=model)

    assert report.n == len(model.requests) == 3
    assert all("grammar" in (request.config.extensions or {}) for request in model.requests)


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "a class": ({"program": dspy.Predict}, "Pass an instance"),
    "text for a program": ({"program": "number -> parity"}, "A program is"),
    "no examples": ({"dataset": []}, "empty"),
    "a generator": ({"dataset": (e for e in ())}, "A dataset is"),
    "no inputs": ({"dataset": [dspy.Example(number=1, parity="odd")]}, "with_inputs"),
    "plain dicts": ({"dataset": [{"number": 1, "parity": "odd"}]}, "with_inputs"),
    "no metric": ({"metric": None}, "A metric must be"),
    "a name for a model": ({"lm": "embedded"}, "must be an LM"),
    "no model": ({"lm": None}, "no model"),
}


@each("name", BAD)
def test_what_cannot_be_used_is_refused_before_any_call(name: str) -> None:
    change, message = BAD[name]
    model = FunctionLM(knows)
    good: dict[str, Any] = {"program": dspy.Predict(Parity), "dataset": numbers(2), "metric": right, "lm": model}

    with pytest.raises(UsageError, match=message):
        evaluate(**{**good, **change})
    assert model.requests == []


# The runner -------------------------------------------------------------------------------------------------------


def test_a_runner_gives_the_metric_the_trace_where_it_is_told_to() -> None:
    given: list[Any] = []

    def metric(example: dspy.Example, prediction: dspy.Prediction, trace: Any = None) -> bool:
        given.append(trace)
        return True

    runner = Runner(TwoSteps(), metric, lm=FunctionLM(two_steps), steps=True, show_trace=True)
    row = runner.one(numbers(1)[0])

    assert len(given[0]) == 2
    assert [step.predictor for step in row.steps] == ["first", "second"]


def test_a_runner_raises_the_stop_signal_that_only_its_owner_may_see() -> None:
    def answer(seen: Seen) -> str:
        raise ModelMissing("no weights")

    with pytest.raises(StopSignal) as caught:
        Runner(dspy.Predict(Parity), right, lm=FunctionLM(answer)).one(numbers(1)[0])
    assert isinstance(caught.value.error, ModelMissing)


def test_a_run_of_many_examples_is_exact_under_threads() -> None:
    count = scaled(10_000)
    model: LM = FunctionLM(always_odd)

    report = evaluate(dspy.Predict(Parity), numbers(count), right, lm=model, slots=8)

    assert report.charged.calls == len(model.requests) == count
    assert sum(row.score or 0 for row in report.rows) == count // 2
