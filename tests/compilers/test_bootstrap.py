"""Bootstrapping: faithful to DSPy's on the same engine, parallel without a difference, never its own example."""

import datetime
import threading
from collections.abc import Callable
from typing import Any, Literal

import dspy
import pytest

from tests.compilers.worlds import TRAIN, VAL, Colour, chance, colour_of, right, things, world
from tests.each import each
from tests.evaluation.replies import number, written
from tests.scale import FULL
from tunesmith.compilers import BootstrapFewShot, CompileReport, RandomSearch
from tunesmith.errors import Interrupted, ModelUnavailable
from tunesmith.lm import LM, FunctionLM, Meter, ReplyCache, Request, Seen, message_text, metered
from tunesmith.modules import Candidate, Part


def able(demos: Any) -> float:
    """A model that no demo changes."""
    return 0.5


def tried(report: CompileReport) -> Candidate:
    """Return the candidate that a compile tried, whether it was kept or not: the program as given without demos."""
    (*_, found) = [trial.candidate for trial in sorted(report.trials, key=lambda trial: trial.number)]
    return found


def ours(lm: LM, *, train: Any = TRAIN, student: Any = None, teacher: Any = None, **options: Any) -> CompileReport:
    compiler = BootstrapFewShot(**{"metric": right, **options})
    with dspy.context(lm=lm):
        program = compiler.compile(
            dspy.Predict(Colour) if student is None else student, trainset=train, valset=VAL, teacher=teacher
        )
    return program.compile_report


def theirs(lm: LM, *, train: Any = TRAIN, **options: Any) -> list[dspy.Example]:
    """Return the demos that DSPy's own optimizer finds."""
    found = dspy.BootstrapFewShot(**{"metric": right, **options})
    with dspy.context(lm=lm):
        return found.compile(dspy.Predict(Colour), trainset=train).demos


def texts(request: Request) -> list[str]:
    """Return the text of each message of the user in order; the last is the question."""
    return [message_text(message) or "" for message in request.messages if message.role == "user"]


def asked(request: Request) -> int:
    return number(texts(request)[-1])


def shown(request: Request) -> list[int]:
    return [number(text) for text in texts(request)[:-1]]


def of_teacher(run: Callable[[], Any]) -> int:
    """Return how many calls of the teacher `run` makes."""
    meter = Meter()
    with metered(meter):
        run()
    return meter.by_role()["paid"]["teacher"].calls


@pytest.mark.parametrize("adapter", [None, dspy.ChatAdapter()], ids=["our formats", "dspy's"])
@pytest.mark.parametrize("wanted", [1, 4, 9] if FULL else [9])
def test_the_same_examples_are_bootstrapped_in_the_same_order_as_by_dspy(wanted: int, adapter: Any) -> None:
    for labeled in (0, 8):
        options = {"max_bootstrapped_demos": wanted, "max_labeled_demos": labeled}
        with dspy.context(adapter=dspy.ChatAdapter()):
            expected = [d for d in theirs(FunctionLM(world(able)), **options) if d.get("augmented")]
        with dspy.context(adapter=adapter):
            part = tried(ours(FunctionLM(world(able)), **options)).parts["self"]

        found = [demo for demo in part.demos if demo.augmented]
        assert [dict(d.inputs) | dict(d.outputs) for d in found] == [
            {"thing": d.thing, "colour": d.colour} for d in expected
        ]
        assert len(found) == wanted


def test_as_many_runs_of_the_teacher_as_with_dspy() -> None:
    for wanted in (1, 4, 9, 99) if FULL else (4, 99):
        model = FunctionLM(world(able))
        with dspy.context(adapter=dspy.ChatAdapter()):
            theirs(model, max_bootstrapped_demos=wanted, max_labeled_demos=0)
        options = {"max_bootstrapped_demos": wanted, "max_labeled_demos": 0, "slots": 1}
        runs = of_teacher(lambda options=options: ours(FunctionLM(world(able)), **options))
        assert runs == len(model.requests)


def luck(seen: Seen) -> str:
    """A model that is right only on a later draw, and not for every example."""
    thing, seed = number(seen.text), seen.request.config.seed
    lucky = seen.request.config.temperature == 1.0 and chance("luck", thing, seed) < 0.4
    return written(seen, colour=colour_of(thing) if lucky else "none of them")


def test_later_rounds_draw_afresh_as_with_dspy() -> None:
    options = {"max_bootstrapped_demos": 5, "max_labeled_demos": 0, "max_rounds": 4}
    model = FunctionLM(luck)
    with dspy.context(adapter=dspy.JSONAdapter()):
        expected = theirs(model, **options)
        part = tried(ours(FunctionLM(luck), **options)).parts["self"]

    assert [demo.inputs["thing"] for demo in part.demos] == [demo.thing for demo in expected]
    assert len(part.demos) == 5


def test_rounds_do_not_answer_each_other_from_the_cache(tmp_path: Any) -> None:
    model = FunctionLM(luck, cache=ReplyCache(tmp_path))

    part = tried(ours(model, max_bootstrapped_demos=5, max_labeled_demos=0, max_rounds=4)).parts["self"]

    assert len(part.demos) == 5
    seeds = {request.config.seed for request in model.requests if request.config.temperature == 1.0}
    assert {1, 2} <= seeds


@pytest.mark.parametrize("rounds", [1, 3])
def test_the_calls_are_those_of_the_formula(rounds: int) -> None:
    """2 |val| for student and candidate, and one per attempt: all rounds of what fails, up to the last success."""
    wanted = 4
    model = FunctionLM(world(able))
    report = ours(model, max_bootstrapped_demos=wanted, max_labeled_demos=0, max_rounds=rounds, slots=1)

    passes = [chance("difficulty", number(e.thing)) < 0.5 for e in TRAIN]
    attempts, found = 0, 0
    for success in passes:
        if found == wanted:
            break
        attempts += 1 if success else rounds
        found += success
    assert len(model.requests) == 2 * len(VAL) + attempts == report.charged.calls
    assert f"Bootstrapped {wanted} examples in {attempts} runs of the teacher." in report.notes
    plan = BootstrapFewShot(metric=right, max_bootstrapped_demos=wanted, max_rounds=rounds).plan(
        train=len(TRAIN), val=len(VAL)
    )
    assert report.charged.calls <= plan["calls"]["worst"]


@pytest.mark.parametrize("rounds", [1, 3])
def test_eight_at_once_find_the_demos_that_one_by_one_finds(rounds: int) -> None:
    for model in (luck, world(able), world()) if FULL else (luck, world()):
        one, eight = (
            tried(ours(FunctionLM(model), slots=slots, max_rounds=rounds, max_bootstrapped_demos=5)) for slots in (1, 8)
        )
        assert one == eight


@each("model", [luck, world(able)])
@each("rounds", [1, 3])
def test_attempts_and_charges_do_not_depend_on_how_many_run_at_once(rounds: int, model: Any) -> None:
    options = {"max_rounds": rounds, "max_bootstrapped_demos": 5, "max_labeled_demos": 0}
    one = ours(FunctionLM(model), slots=1, **options)
    for slots in (2, 3, 8, 50) if FULL else (3, 50):
        many = ours(FunctionLM(model), slots=slots, **options)
        assert many.notes == one.notes  # "Bootstrapped 5 examples in 11 runs of the teacher."
        assert many.charged.calls == one.charged.calls
        assert many.charged.tokens == one.charged.tokens


def test_what_a_budget_pays_for_does_not_depend_on_which_thread_is_faster() -> None:
    """The teacher's first run waits for other runs, which get ahead of it as far as they are let; none of them passes.

    A compile that goes on after an outage else asks for other runs than before, and both are paid.
    """

    def not_like(thing: int) -> int:
        return next(other for other in range(100) if colour_of(other) != colour_of(thing))

    def asked_for(slots: int) -> set[str]:
        ahead, left = threading.Event(), [6]

        def answer(seen: Seen) -> str:
            thing = number(seen.text)
            if thing == 0 and slots > 1:
                ahead.wait(0.1)
                ahead.set()
            elif thing < 100:
                left[0] -= 1
                if left[0] == 0:
                    ahead.set()
            return written(seen, colour=colour_of(thing if thing >= 100 else not_like(thing)))

        model, budget = FunctionLM(answer), len(VAL) + 7
        report = ours(model, max_rounds=3, max_labeled_demos=0, slots=slots, budget=budget)
        assert any("The search ended early" in note for note in report.notes)
        assert report.charged.calls == budget
        return {repr(request) for request in model.requests}

    assert asked_for(2) == asked_for(1)


@pytest.mark.parametrize("error", [KeyboardInterrupt, ModelUnavailable("gone")], ids=["Ctrl-C", "the model is away"])
def test_after_a_stop_the_teacher_is_asked_no_more(error: Any) -> None:
    stopped = threading.Event()

    def answer(seen: Seen) -> str:
        thing = number(seen.text)
        if thing == 5:
            raise error
        if 5 < thing < 100:  # under way, or begun too late
            stopped.wait(0.1)
        return written(seen, colour=colour_of(thing))

    model = FunctionLM(answer)
    with pytest.raises((Interrupted, ModelUnavailable)):
        ours(model, slots=2, max_bootstrapped_demos=len(TRAIN), max_labeled_demos=0)
    assert {asked(request) for request in model.requests if asked(request) < 100} <= {*range(7)}


@pytest.mark.parametrize("slots", [2, 16])
def test_the_plan_of_a_compile_that_bootstraps_does_not_depend_on_how_many_run_at_once(slots: int) -> None:
    for kind in (BootstrapFewShot, RandomSearch):
        plans = [kind(metric=right, slots=count).plan(train=30, val=10, calls=2.0) for count in (1, slots)]
        assert plans[0] == plans[1]


def test_as_many_runs_of_the_teacher_as_with_dspy_whatever_runs_at_once() -> None:
    model = FunctionLM(world(able))
    with dspy.context(adapter=dspy.ChatAdapter()):
        theirs(model, max_bootstrapped_demos=4, max_labeled_demos=0)
    options = {"max_bootstrapped_demos": 4, "max_labeled_demos": 0, "slots": 8}
    assert of_teacher(lambda: ours(FunctionLM(world(able)), **options)) == len(model.requests)


def test_the_teacher_is_never_shown_the_example_it_is_asked_about() -> None:
    twins = [*TRAIN[:12], *(e.copy() for e in TRAIN[:12])]
    for train in (TRAIN[:20], twins):
        model = FunctionLM(world())

        ours(model, train=train, max_labeled_demos=30, max_bootstrapped_demos=20)

        of_the_teacher = [request for request in model.requests if asked(request) < 100]
        assert {asked(request) for request in of_the_teacher} == {number(e.thing) for e in train}
        for request in of_the_teacher:
            assert len(shown(request)) >= len({e.thing for e in train}) - 1
            assert asked(request) not in shown(request)


class Dated(dspy.Signature):
    """Say whether the day is in the first half of its month."""

    day: datetime.date = dspy.InputField()
    early: Literal["yes", "no"] = dspy.OutputField()


def test_an_example_is_known_in_whatever_form_its_values_are_given() -> None:
    def days(month: int) -> list[dspy.Example]:
        texts = [f"2024-{month:02}-{day:02}" for day in range(1, 15)]
        return [dspy.Example(day=text, early="yes").with_inputs("day") for text in texts]

    model = FunctionLM(lambda seen: written(seen, early="yes"))
    compiler = BootstrapFewShot(metric=lambda e, p, trace=None: e.early == p.early, max_bootstrapped_demos=14)
    with dspy.context(lm=model):
        compiler.compile(dspy.Predict(Dated), trainset=days(1), valset=days(2))

    of_the_teacher = [texts(request) for request in model.requests if "2024-01" in texts(request)[-1]]
    assert len(of_the_teacher) == 14
    for *demos, question in of_the_teacher:
        assert len(demos) == 13
        assert question not in demos


def test_labelled_demos_fill_up_what_was_not_bootstrapped() -> None:
    part: Part = tried(ours(FunctionLM(world(able)), max_bootstrapped_demos=4, max_labeled_demos=10)).parts["self"]

    assert [demo.augmented for demo in part.demos] == [True] * 4 + [False] * 6
    assert len({demo.inputs["thing"] for demo in part.demos}) == 10, "no example twice"


def test_bootstrapped_demos_show_what_the_teacher_said_not_the_label() -> None:
    report = ours(FunctionLM(world(able)), metric=lambda e, p, trace=None: True, max_labeled_demos=0)

    part = tried(report).parts["self"]
    said = [demo.outputs["colour"] for demo in part.demos]
    assert said != [colour_of(number(demo.inputs["thing"])) for demo in part.demos]
    assert [demo.inputs["thing"] for demo in part.demos] == [f"thing {i}" for i in range(4)]


@each(("threshold", "kept"), [(None, {-1, 1}), (0.0, {0, 1}), (-1.0, {-1, 0, 1}), (0.5, {1}), (2.0, set())])
def test_the_threshold_is_what_it_says_also_at_zero(threshold: float | None, kept: set[int]) -> None:
    def metric(example: dspy.Example, prediction: dspy.Prediction, trace: Any = None) -> int:
        return number(example.thing) % 3 - 1

    report = ours(
        FunctionLM(world(able)),
        metric=metric,
        metric_threshold=threshold,
        max_labeled_demos=0,
        max_bootstrapped_demos=40,
    )

    demos = tried(report).parts["self"].demos
    assert {number(demo.inputs["thing"]) % 3 - 1 for demo in demos} == kept


def test_a_metric_gets_the_trace_while_demos_are_made_and_none_while_they_are_judged() -> None:
    traces: list[tuple[int, Any]] = []

    def metric(example: dspy.Example, prediction: dspy.Prediction, trace: Any = None) -> bool:
        traces.append((number(example.thing), trace))
        return right(example, prediction)

    ours(FunctionLM(world(able)), metric=metric)

    assert all((trace is not None) == (thing < 100) for thing, trace in traces)
    assert all(len(trace) == 1 for thing, trace in traces if thing < 100)


def test_runs_that_fail_make_no_demos_and_do_no_harm() -> None:
    def answer(seen: Seen) -> str:
        thing = number(seen.text)
        return "no colour at all" if thing < 100 and thing % 2 else world(able)(seen)

    def metric(example: dspy.Example, prediction: dspy.Prediction, trace: Any = None) -> bool:
        if number(example.thing) in (0, 4):
            raise KeyError("no label")
        return True

    report = ours(FunctionLM(answer), metric=metric, max_labeled_demos=0)

    assert [number(d.inputs["thing"]) for d in tried(report).parts["self"].demos] == [2, 6, 8, 10]


class ThenName(dspy.Module):
    """Two steps, the first of them used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.look = dspy.Predict("thing, side -> seen")
        self.name = dspy.Predict("left, right -> colour")

    def forward(self, thing: str) -> dspy.Prediction:
        left, opposite = (self.look(thing=thing, side=side).seen for side in ("left", "right"))
        return self.name(left=left, right=opposite)


def looks(seen: Seen) -> str:
    if "Side:" in seen.text:
        side = "left" if "Side: left" in seen.text else "right"
        return written(seen, seen=f"{side} of {number(seen.text)}")
    return written(seen, colour=colour_of(number(seen.text)))


def test_a_pipeline_gets_the_demos_of_its_own_steps() -> None:
    report = ours(FunctionLM(looks), student=ThenName(), max_bootstrapped_demos=6, max_labeled_demos=0)

    parts = tried(report).parts
    assert len(parts["look"].demos) == len(parts["name"].demos) == 6, "one per run, also where a step ran twice"
    sides = {demo.inputs["side"] for demo in parts["look"].demos}
    assert sides == {"left", "right"}, "of several uses now the last and now another is taken"
    for index, demo in enumerate(parts["name"].demos):
        assert demo.inputs["left"] == f"left of {index}"
        assert demo.outputs["colour"] == colour_of(index)
    assert all(demo.augmented for part in parts.values() for demo in part.demos)


def test_a_teacher_makes_the_demos_and_is_not_changed() -> None:
    teacher = dspy.Predict(Colour)
    teacher.lm = FunctionLM(lambda seen: written(seen, colour=colour_of(number(seen.text))), name="teacher")
    teacher.demos = [dspy.Example(thing="thing 900", colour="red")]
    teacher._compiled = True
    model = FunctionLM(world(lambda demos: 0.0))

    report = ours(model, teacher=teacher, max_labeled_demos=0, max_bootstrapped_demos=3)

    assert len(tried(report).parts["self"].demos) == 3
    assert len(teacher.demos) == 1
    assert len(teacher.lm.requests) == 3
    assert all(shown(request) == [900] for request in teacher.lm.requests), "its own demos are shown"
    assert all(asked(request) >= 100 for request in model.requests)


@pytest.mark.parametrize(("compiled", "sizes"), [(True, {0}), (False, {5, 6})])
def test_only_a_teacher_that_is_not_compiled_gets_labelled_demos(compiled: bool, sizes: set[int]) -> None:
    teacher = dspy.Predict(Colour)
    teacher.lm, teacher._compiled = FunctionLM(world(lambda demos: 0.1), name="teacher"), compiled

    ours(FunctionLM(world()), teacher=teacher, max_labeled_demos=6)

    assert {len(shown(request)) for request in teacher.lm.requests} == sizes


def test_a_model_that_never_succeeds_leaves_labelled_demos() -> None:
    report = ours(FunctionLM(world(lambda demos: -1.0)), train=things(*range(8)), max_labeled_demos=3)

    assert [d.augmented for d in tried(report).parts["self"].demos] == [False] * 3
    assert any("Bootstrapped 0 examples in 8 runs" in note for note in report.notes)


def test_the_demos_that_were_found_are_the_demos_that_are_sent() -> None:
    model = FunctionLM(world())

    report = ours(model, max_bootstrapped_demos=2, max_labeled_demos=4)

    found = [number(demo.inputs["thing"]) for demo in tried(report).parts["self"].demos]
    assert len(found) == 4
    assert [shown(request) for request in model.requests[-len(VAL) :]] == [found] * len(VAL)
