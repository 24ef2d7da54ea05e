"""Proposals: asked of the prompt model, metered as such, counted, and never asked for twice."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dspy
import pytest

import tunesmith as ts
from tests.compilers.asking import Asking, Propose
from tests.compilers.worlds import TEST, TRAIN, VAL, Colour, asked, colour_of, right, world
from tests.each import each
from tests.evaluation.replies import number, object_names, proposed, written
from tests.scale import FULL
from tunesmith.compilers import CompileResult, Search, job_of, option
from tunesmith.errors import BudgetExceeded, ModelUnavailable, RequestRefused, UsageError
from tunesmith.experiments import compile_program, plan
from tunesmith.lm import (
    Budget,
    Capabilities,
    FunctionLM,
    Identity,
    Meter,
    ReplyCache,
    Seen,
    StopSignal,
    build_lm,
    metered,
)
from tunesmith.lm.doubles import FunctionEngine
from tunesmith.signatures import Signature

GIVEN = {"instruction": "Say it.", "pairs": ["a", "b"]}


def search_of(model: Any, *, prompt: Any = None, **options: Any) -> Search:
    given = {"trainset": TRAIN, "valset": VAL, "lm": model, "prompt_lm": prompt}
    return Search(job_of(dspy.Predict(Colour), Asking(metric=right), **given), **options)


def compiled(model: Any, compiler: Any = None, **options: Any) -> CompileResult:
    compiler = Asking(rounds=2) if compiler is None else compiler
    given = {"metric": right, "trainset": TRAIN, "valset": VAL, "testset": TEST, "compiler": compiler, "lm": model}
    return compile_program(dspy.Predict(Colour), **{"mirror": False, **given, **options})


def test_each_draw_is_another_proposal_with_typed_outputs() -> None:
    model = FunctionLM(world())

    found = search_of(model).ask(Propose, 4, **GIVEN)

    assert len({one.better for one in found}) == len(found) == len(model.requests) == 4
    assert sorted(request.config.seed or 0 for request in model.requests) == [0, 1, 2, 3]


def test_the_same_question_goes_on_where_it_stopped_and_another_one_does_not() -> None:
    search = search_of(FunctionLM(world()))

    first, second = search.ask(Propose, 2, **GIVEN), search.ask(Propose, 2, **GIVEN)
    other = search.ask(Propose, 1, **{**GIVEN, "pairs": []})

    assert len({one.better for one in (*first, *second)}) == 4
    assert len(search.job.lm.requests) == 5
    assert other[0].better not in {one.better for one in first}


def test_the_prompt_model_writes_and_the_program_keeps_its_own() -> None:
    ours, theirs, meter = FunctionLM(world()), FunctionLM(world(), name="prompt"), Meter()

    with metered(meter):
        compiled(ours, prompt_lm=theirs)

    assert len(theirs.requests) == 8
    charged = meter.by_role()["charged"]
    assert charged["prompt"].calls == 8
    assert charged["task"].calls == len(ours.requests)
    assert charged["prompt"].tokens > 0


def test_the_judges_model_judges_in_a_role_of_its_own() -> None:
    ours, theirs, meter = FunctionLM(world()), FunctionLM(lambda seen: "first", name="judge"), Meter()
    job = job_of(dspy.Predict(Colour), Asking(metric=right), trainset=TRAIN, valset=VAL, lm=ours, judge_lm=theirs)
    search = Search(job, meter=meter)

    found = search.judge("first, second -> better: Literal['first', 'second']", 3, first="a", second="b")

    assert [one.better for one in found] == ["first"] * 3
    assert (len(theirs.requests), meter.by_role()["charged"]["judge"].calls) == (3, 3)
    assert any("3 judgements were asked of the judge's model" in note for note in search.finish().notes)


def test_what_cannot_be_read_is_counted_and_left_out() -> None:
    def reply(seen: Seen) -> str:
        if asked(seen) and (seen.request.config.seed or 0) % 2:
            raise RequestRefused("not this one")
        return world()(seen)

    report = compiled(FunctionLM(reply), Asking(proposals=6)).report

    assert any(
        "6 proposals were asked of the prompt model as `Propose`; 3 could not be read" in n for n in report.notes
    )
    assert len(report.trials) <= 4


def test_one_proposal_is_not_several() -> None:
    report = compiled(FunctionLM(world()), Asking(proposals=1)).report

    assert any(note.startswith("1 proposal was asked of the prompt model as `Propose`") for note in report.notes)


@each(
    ("step", "inputs", "message"),
    [
        (Propose, {"instruction": "x"}, "takes the inputs instruction, pairs. Given: instruction"),
        (Propose, {**GIVEN, "more": 1}, "Given: instruction, pairs, more"),
        ("task -> text", {"task": object()}, "has no JSON form"),
        (7, {}, "A step is a signature"),
    ],
)
def test_what_is_no_question_is_refused_before_any_call(step: Any, inputs: dict[str, Any], message: str) -> None:
    model = FunctionLM(world())
    with pytest.raises(UsageError, match=message):
        search_of(model).ask(step, 2, **inputs)
    assert model.requests == []


def test_a_number_of_proposals_is_at_least_one() -> None:
    with pytest.raises(UsageError, match=r"at least 1\. Given: 0"):
        search_of(FunctionLM(world())).ask(Propose, 0, **GIVEN)


def test_a_step_may_be_a_program_or_the_text_of_a_signature() -> None:
    model = FunctionLM(lambda seen: written(seen, reasoning="r", text="short") if object_names(seen) else "short")
    search = search_of(model)
    assert [one.text for one in search.ask("task -> text", 2, task="t")] == ["short", "short"]
    assert [one.text for one in search.ask(ts.ChainOfThought("task -> text"), 1, task="t")] == ["short"]


def test_a_step_with_a_model_of_its_own_asks_that_one_for_every_draw() -> None:
    ours, own = FunctionLM(world()), FunctionLM(world(), name="own")
    step = dspy.Predict(Propose)
    step.lm = own

    found = search_of(ours).ask(step, 3, **GIVEN)

    assert len({one.better for one in found}) == 3
    assert (len(own.requests), len(ours.requests)) == (3, 0)


def test_a_budget_of_tokens_counts_proposals() -> None:
    meter = Meter(Budget(tokens=150))
    search = search_of(FunctionLM(world()), meter=meter)
    with pytest.raises((BudgetExceeded, StopSignal)):
        search.ask(Propose, 9, **GIVEN)
    assert 150 <= meter.charged.tokens < 300


@dataclass(frozen=True)
class Limited(Asking):
    """With a limit of what an example may cost."""

    limits: Mapping[str, float] = option({}, "The most.")


def test_a_limit_of_tokens_holds_for_proposals_by_fewer_examples() -> None:
    model = FunctionLM(world())
    given = {"trainset": TRAIN, "valset": VAL, "lm": model}
    search = Search(job_of(dspy.Predict(Colour), Limited(metric=right, limits={"tokens": 400}), **given))
    texts = [f"number {place:03} " + "of some words " * 10 for place in range(30)]

    search.ask(Propose, 1, instruction="x" * 40, pairs=texts)
    search.ask(Propose, 1, instruction="short", pairs=texts[:1])
    (first, second) = model.requests
    sent = sum(len(part.text) for message in first.messages for part in message.parts) + len(str(first.system))
    assert 1000 < sent <= 1600
    assert "number 000" in repr(first)
    assert "number 029" not in repr(first)
    assert "number 000" in repr(second)
    why = "texts of their inputs were left out, to stay within the limit or the context"
    assert any(why in note for note in search.finish().notes)


@each("room", [300, 1000])
def test_a_proposal_stays_within_the_context_of_the_prompt_model(room: int) -> None:
    engine = FunctionEngine(world(), Identity("double", "m", "1", (("num_ctx", str(room)),)), Capabilities())
    search = search_of(FunctionLM(world()), prompt=build_lm("m", engine))
    search.ask(Propose, 1, instruction="x", pairs=[f"number {place:03}" for place in range(2000)])
    (request,) = engine.requests
    sent = sum(len(part.text) for message in request.messages for part in message.parts) + len(str(request.system))
    assert room < sent < 4 * room


@each("slots", [1, 8])
def test_the_budget_ends_proposals_as_it_ends_evaluations(slots: int) -> None:
    model = FunctionLM(world(), slots=slots)
    search = search_of(model, meter=Meter(Budget(calls=3)))
    with pytest.raises((BudgetExceeded, StopSignal)):
        search.ask(Propose, 9, **GIVEN)
    assert len(model.requests) == 3


def test_a_plan_counts_proposals_and_is_kept() -> None:
    model = FunctionLM(world())
    given = {"metric": right, "trainset": TRAIN, "valset": VAL, "testset": TEST, "lm": model}
    found = plan(dspy.Predict(Colour), **given, compiler=Asking(rounds=3))

    assert found["proposals"] == 12
    assert model.requests == []
    charged = compiled(model, Asking(rounds=3)).charged.calls
    assert charged <= found["calls"]["worst"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> CompileResult:
    return compiled(FunctionLM(world(), version="1"), run=tmp_path_factory.mktemp("whole") / "run")


@each(("slots", "store"), [(1, True), (1, False), (8, True), (8, False)] if FULL else [(8, True), (1, False)])
def test_after_an_outage_no_proposal_is_asked_for_twice(
    slots: int, store: bool, whole: CompileResult, tmp_path: Path
) -> None:
    assert whole.report.improved
    questions: list[str] = []

    def gone(seen: Seen) -> str:
        if len(questions) == 6 and left:
            left.clear()
            raise ModelUnavailable("gone")
        if asked(seen):
            questions.append(repr((seen.messages, seen.request.config.seed)))
        return world()(seen)

    left = [1]
    model = FunctionLM(gone, cache=ReplyCache(tmp_path / "cache") if store else False, version="1", slots=slots)
    with pytest.raises(ModelUnavailable):
        compiled(model, run=tmp_path / "run")
    again = compiled(model, run=tmp_path / "run")
    assert again.artifact.sha256 == whole.artifact.sha256
    assert len(questions) == len(set(questions)) == 8, "the ledger alone gives them back, too"


def test_one_slot_and_eight_slots_ask_the_same_and_end_alike() -> None:
    one, eight = FunctionLM(world()), FunctionLM(world(), slots=8)
    found = compiled(one).report.candidate
    assert compiled(eight).report.candidate == found
    assert {repr(request) for request in one.requests} == {repr(request) for request in eight.requests}


def test_the_prompt_model_is_part_of_what_a_run_is(tmp_path: Path) -> None:
    model = FunctionLM(world())
    compiled(model, run=tmp_path / "run")
    with pytest.raises(ts.errors.RunMismatch, match="prompt lm"):
        compiled(model, run=tmp_path / "run", prompt_lm=FunctionLM(world(), name="other"))


def test_examples_of_a_step_that_nothing_labels_come_from_a_teachers_runs_once() -> None:
    def answer(seen: Seen) -> str:
        return written(seen, reasoning="r", colour=colour_of(number(seen.text)))

    model = FunctionLM(answer)
    job = job_of(dspy.ChainOfThought(Colour), Asking(metric=right), trainset=TRAIN, valset=VAL, lm=model)
    search = Search(job)
    (path,) = search.paths

    found = [search.examples(path, 3, draw=draw) for draw in (0, 1)]

    assert [len(demos) for demos in found] == [3, 3]
    assert all(demo.outputs["reasoning"] == "r" for demos in found for demo in demos)
    assert len(model.requests) == 3
    assert len(search_of(model).examples("self", 5)) == 5, "labels serve a plain step"


def test_failures_are_training_examples_with_what_went_wrong() -> None:
    def metric(example: Any, prediction: Any, trace: Any = None) -> ts.Score:
        good = example.colour == prediction.colour
        return ts.Score(float(good), f"it is {example.colour}")

    model = FunctionLM(world())
    search = Search(job_of(dspy.Predict(Colour), Asking(metric=metric), trainset=TRAIN, valset=VAL, lm=model))

    found = search.failures(search.base, 20)

    assert 0 < len(found) < 20
    assert all(one.outputs["colour"] != one.example.colour for one in found)
    assert all(one.feedback == f"it is {one.example.colour}" and one.score == 0 for one in found)
    assert all([step.predictor for step in one.steps] == ["self"] for one in found)
    assert {one.example.thing for one in found} <= {example.thing for example in TRAIN}
    assert len(model.requests) == 20
    assert [one.example for one in search.failures(search.base, 20)] == [one.example for one in found]
    assert isinstance(search.signature("self"), type(Signature))


def test_a_training_example_is_run_once_for_each_candidate() -> None:
    model = FunctionLM(world())
    search = search_of(model)
    first = search.minibatch(search.base, 6)

    again = search.outcomes(search.base, [first[2].example, first[0].example])

    assert again == [first[2], first[0]]
    assert len(model.requests) == 6
    assert len(search.outcomes(search.base, list(search.train))) == len(model.requests) == len(TRAIN)


def test_a_step_with_options_is_named_by_its_signature() -> None:
    search = search_of(FunctionLM(world()))
    search.propose("self", ts.Predict(Propose, temperature=0.5), **GIVEN)
    assert any("asked of the prompt model as `Propose`" in note for note in search.finish().notes)


def test_proposed_instructions_are_cleaned_guarded_and_new() -> None:
    texts = iter(['"Say the colour."', "Say the colour.", "Instruction: Look twice.", "", "```\nName it.\n```"])
    search = search_of(FunctionLM(lambda seen: proposed(seen, next(texts))))

    found = search.propose("self", Propose, 5, **GIVEN)

    assert found == ["Say the colour.", "Look twice.", "Name it."]
    (note,) = [note for note in search.finish().notes if "Propose" in note]
    assert (
        "of 5 instructions 3 were new and could be used (not used: 1 as it was proposed before, 1 as it is empty)"
        in note
    )


def test_a_step_that_gives_a_list_gives_each_of_its_texts() -> None:
    search = search_of(FunctionLM(lambda seen: '["Say it.", "Name it.", "Say it."]'))
    assert search.propose("self", "task -> texts: list[str]", 1, task="t") == ["Say it.", "Name it."]


def test_the_instruction_that_is_used_now_is_no_proposal() -> None:
    search = search_of(FunctionLM(lambda seen: f"'{Colour.instructions}'"))
    assert search.propose("self", "task -> instruction", 1, task="t") == []
