"""Chosen demos: what is tried, what it costs, and that it finds what a fixed set cannot show."""

from pathlib import Path
from typing import Any, Literal

import dspy
import pytest

import tunesmith as ts
from tests.compilers.worlds import TRAIN, VAL, Colour, right, world
from tests.each import each
from tests.evaluation.replies import written
from tunesmith.compilers import KNNFewShot, RandomSearch, Search, demo_pools, knn_candidates
from tunesmith.compilers._job import job_of
from tunesmith.errors import DataError, UsageError
from tunesmith.lm import FunctionLM, Seen
from tunesmith.modules import Candidate, Module, nearest_of

TOPICS = [f"{first}{second}" for first in "bdfgklmnprstvz" for second in ("ab", "ek", "im")]
"""Forty-two words; the topic of a message says which queue is right, and demos of it teach that."""


class Queue(dspy.Signature):
    """Say which queue the message belongs to."""

    message: str = dspy.InputField()
    queue: Literal["red", "green", "blue"] = dspy.OutputField()


def queue_of(topic: str) -> str:
    return ("red", "green", "blue")[TOPICS.index(topic) * 7 % 3]


def messages(*numbers: int) -> list[dspy.Example]:
    """Return a message of every topic for each number."""
    return [
        dspy.Example(message=f"please {topic} again {number}", queue=queue_of(topic)).with_inputs("message")
        for number in numbers
        for topic in TOPICS
    ]


def topical(seen: Seen) -> str:
    """Answer right if a demo has the topic of the message."""
    topic = next(topic for topic in TOPICS if f" {topic} " in seen.text)
    taught = any(f" {topic} " in content for role, content in seen.messages[:-1] if role == "user")
    return written(seen, queue=queue_of(topic) if taught else "red")


def same(example: Any, prediction: Any, trace: Any = None) -> bool:
    return bool(example.queue == prediction.queue)


def compiled(lm: Any, **options: Any) -> Any:
    given = {"metric": right, "formats": ("bare",), "race": "full", **options}
    with dspy.context(lm=lm):
        return KNNFewShot(**given).compile(dspy.Predict(Colour), trainset=TRAIN, valset=VAL)


def searched(program: Module | None = None, **options: Any) -> Search:
    with dspy.context(lm=FunctionLM(world())):
        student = dspy.Predict(Colour) if program is None else program
        return Search(job_of(student, KNNFewShot(metric=right, **options), trainset=TRAIN, valset=VAL))


@each(
    ("options", "candidates"),
    [
        ({}, 5),
        ({"k": (4,), "fixed_sets": 0}, 1),
        ({"k": (4, 8), "orders": ("nearest-last", "nearest-first"), "fixed_sets": 1}, 5),
        ({"k": (4, 8), "formats": ("bare", "json"), "fixed_sets": 1, "num_candidates": 3}, 3),
        ({"fixed_sets": 3, "num_candidates": 2}, 2),
    ],
)
def test_every_candidate_is_scored_whole_in_a_full_race(options: dict[str, Any], candidates: int) -> None:
    lm = FunctionLM(world())
    report = compiled(lm, **options).compile_report

    assert len(report.trials) == candidates + 1
    assert report.charged.calls == len(lm.requests) == (candidates + 1) * len(VAL)


def test_the_first_numbers_of_k_are_tried_first_and_fixed_sets_have_the_largest() -> None:
    report = compiled(FunctionLM(world()), num_candidates=3, fixed_sets=1).compile_report
    origins = [trial.origin for trial in sorted(report.trials, key=lambda trial: trial.number)]

    assert origins == ["program as given", "nearest 4 demos, bare", "nearest 8 demos, bare", "8 fixed demos"]


@pytest.mark.whole
def test_it_finds_what_random_search_cannot_at_equal_calls() -> None:
    train, val = messages(1), messages(2)
    options = {"metric": same, "formats": ("bare",), "race": "full"}
    with dspy.context(lm=FunctionLM(topical)):
        ours = KNNFewShot(**options, num_candidates=4).compile(dspy.Predict(Queue), trainset=train, valset=val)
        theirs = RandomSearch(**options, num_candidates=4).compile(dspy.Predict(Queue), trainset=train, valset=val)

    assert ours.compile_report.charged.calls == theirs.compile_report.charged.calls
    assert ours.compile_report.compiled.mean == 1
    assert (theirs.compile_report.compiled.mean or 0) < 0.8
    assert nearest_of(ours) is not None


def test_what_was_found_is_kept_by_a_run_and_its_artifact(tmp_path: Path) -> None:
    train, val = messages(1), messages(2)[::4]
    lm, program = FunctionLM(topical), ts.Predict(ts.Signature("message -> queue: Literal['red', 'green', 'blue']"))
    compiler = ts.KNNFewShot(k=(2,), formats=("bare",), fixed_sets=0)
    found = ts.compile(
        program,
        metric=same,
        trainset=train,
        valset=val,
        compiler=compiler,
        lm=lm,
        run=str(tmp_path / "run"),
        mirror=False,
    )

    assert found.report.improved
    notes = found.artifact.manifest["notes"]
    assert any("nothing but its instruction in common" in note for note in notes)
    assert any("chosen for each call among 42" in note for note in notes)
    loaded = ts.load(found.artifact.path, lm=lm)
    assert [loaded(message=e.message).queue for e in messages(3)[:9]] == [e.queue for e in messages(3)[:9]]


def test_a_plan_says_what_chosen_demos_cost() -> None:
    plan = KNNFewShot(metric=right).plan(train=40, val=30)

    assert plan["candidates"] == 9
    assert any("five times as long" in note for note in plan["notes"])


def test_pools_are_balanced_from_the_start_and_differ_by_seed() -> None:
    pools = [demo_pools(searched(seed=seed))["self"] for seed in (0, 0, 1)]

    assert pools[0] == pools[1] != pools[2]
    assert sorted(demo.key for demo in pools[0]) == sorted(demo.key for demo in pools[2])
    assert {demo.outputs["colour"] for demo in pools[0][:3]} == {"red", "green", "blue"}


def test_another_compiler_can_ask_for_candidates() -> None:
    search = searched()
    wording = search.base.with_part("self", instruction="Name the colour.")
    found = knn_candidates(search, (2, 4), orders=("nearest-first",), formats=(None, "json", "bare"), base=wording)

    assert list(found.values()) == [
        "nearest 2 demos, nearest-first",
        "nearest 2 demos, nearest-first, json",
        "nearest 4 demos, nearest-first",
        "nearest 4 demos, nearest-first, json",
    ], "the program's own format is not tried twice"
    assert {candidate.parts["self"].instruction for candidate in found} == {"Name the colour."}
    assert search.meter.charged.calls == 0
    (one,) = knn_candidates(search, 4)
    assert one.shown_demos("self") == 4
    with pytest.raises(UsageError, match="at least 1"):
        knn_candidates(search, 0)


class TwoSteps(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.think = dspy.ChainOfThought("thing -> guess")
        self.name = dspy.Predict("thing, guess -> colour")

    def forward(self, thing: str) -> dspy.Prediction:
        return self.name(thing=thing, guess=self.think(thing=thing).guess)


def test_where_labels_serve_no_predictor_a_teacher_makes_the_pools() -> None:
    def steps(seen: Seen) -> str:
        wanted = str(seen.request.config)
        return written(seen, reasoning="r", guess="g") if "guess" in wanted else written(seen, colour="red")

    lm = FunctionLM(steps)
    with dspy.context(lm=lm):
        compiler = KNNFewShot(metric=right, k=(2,), fixed_sets=0, max_bootstrapped_demos=5, race="full")
        program = compiler.compile(TwoSteps(), trainset=TRAIN, valset=VAL)
    report = program.compile_report
    (tried,) = {trial.candidate for trial in report.trials if trial.number == 1}

    assert {path: len(part.demos) for path, part in tried.parts.items()} == {"think.predict": 5, "name": 5}
    assert all(tried.nearest(path) is not None for path in tried.parts)
    runs = next(note for note in report.notes if note.startswith("Bootstrapped 5 examples in "))
    attempts = int(runs.split(" in ")[1].split()[0])
    assert report.charged.calls <= 2 * (attempts + len(report.trials) * len(VAL))


def test_frozen_demos_stay_fixed() -> None:
    with dspy.context(lm=FunctionLM(topical)):
        found = ts.compile(
            ts.Predict(Queue), metric=same, trainset=messages(1), valset=messages(2)[:6], compiler=KNNFewShot(k=(2,)),
            freeze=["self.demos"],
        )  # fmt: skip
    assert not found.report.improved
    assert nearest_of(found.program) is None


def test_a_program_that_chooses_already_can_be_compiled_again() -> None:
    chosen = next(iter(knn_candidates(searched(), 2))).apply(dspy.Predict(Colour))
    for compiler in (KNNFewShot(metric=right, num_candidates=3), RandomSearch(metric=right, num_candidates=3)):
        with dspy.context(lm=FunctionLM(world())):
            report = compiler.compile(chosen, trainset=TRAIN, valset=VAL).compile_report
        assert report.baseline_candidate.nearest("self") is not None
        assert (report.gain.mean or 0) >= 0


def test_latency_may_be_an_objective_or_a_limit() -> None:
    report = compiled(FunctionLM(world()), race=None, objectives=("score", "latency")).compile_report
    assert any("latency" in note for note in report.notes)
    assert {trial.n for trial in report.trials} == {len(VAL)}
    compiled(FunctionLM(world()), limits={"latency": 5.0})


@each(
    ("options", "why"),
    [
        ({"k": ()}, "`k` is empty"),
        ({"k": (0,)}, "at least 1"),
        ({"orders": ("last",)}, "one of: nearest-last"),
        ({"formats": ("prose",)}, "prose"),
        ({"num_candidates": 0}, "num_candidates"),
        ({"race": "derby"}, "race"),
        ({"objectives": ("speed",)}, "objective"),
        ({"objectives": None}, "a list of names"),
        ({"limits": None}, "Limits go by name"),
    ],
)
def test_options_that_cannot_be_are_refused(options: dict[str, Any], why: str) -> None:
    with pytest.raises(UsageError, match=why):
        KNNFewShot(metric=right, **options)


def test_examples_of_which_none_is_a_demo_are_refused_before_any_call() -> None:
    lm = FunctionLM(world())
    with dspy.context(lm=lm), pytest.raises(DataError, match="No training example can be a labelled demo"):
        KNNFewShot(metric=right, max_bootstrapped_demos=0).compile(
            dspy.ChainOfThought(Colour), trainset=TRAIN, valset=VAL
        )
    assert lm.requests == []


def test_a_candidate_of_chosen_demos_has_a_key_of_its_own() -> None:
    search = searched()
    pool = demo_pools(search)["self"]
    static = search.base.with_demos("self", pool)
    assert len({search.base.key, static.key, *(c.key for c in knn_candidates(search, (2, 4)))}) == 4
    assert isinstance(static, Candidate)


def test_vectors_need_a_model_that_gives_them() -> None:
    report = compiled(FunctionLM(world()), similarity="embedding", num_candidates=1, fixed_sets=0).compile_report
    (tried,) = {trial.candidate for trial in report.trials if trial.number}
    assert tried.settings["self.nearest"]["similarity"] == "embedding"

    lm = dspy.LM("openai/x", api_key="no", cache=False)
    with dspy.context(lm=lm):
        job = job_of(dspy.Predict(Colour), KNNFewShot(metric=right), trainset=TRAIN, valset=VAL)
        with pytest.raises(UsageError, match="needs a model that gives vectors"):
            knn_candidates(Search(job), 4, similarity="embedding")


def test_a_teacher_that_chooses_is_never_shown_the_example_itself() -> None:
    shown: list[bool] = []

    def watched(seen: Seen) -> str:
        if len(seen.messages) > 1:
            shown.append(any(seen.text == content for _, content in seen.messages[:-1]))
        return written(seen, colour="red")

    with dspy.context(lm=FunctionLM(watched)):
        chosen = next(iter(knn_candidates(searched(), 40))).apply(dspy.Predict(Colour))
        job = job_of(chosen, KNNFewShot(metric=right), trainset=TRAIN, valset=VAL)
        search = Search(job)
        search.bootstrap(3)
        search.failures(search.base, 10)
    assert len(shown) >= 13
    assert not any(shown)
