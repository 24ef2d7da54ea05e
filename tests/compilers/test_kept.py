"""Frozen parts and protected texts stay as they are, whatever a compiler proposes."""

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import dspy
import pytest

import tunesmith as ts
from tests.compilers.worlds import TRAIN, VAL, Colour, Steps, right, world
from tests.each import each
from tunesmith.compilers import Compiler, Effort, LabeledFewShot, RandomSearch, Search, job_of
from tunesmith.compilers._kept import Kept
from tunesmith.errors import RunMismatch, UsageError
from tunesmith.lm import FunctionLM
from tunesmith.modules import Candidate, Nearest
from tunesmith.signatures import Demo


class Inner(dspy.Module):
    """A module with a predictor of its own, in a list, and a setting."""

    tries: int = ts.Setting(1, choices=(1, 2))

    def __init__(self) -> None:
        super().__init__()
        self.steps = [dspy.Predict(Colour)]

    def forward(self, thing: str) -> dspy.Prediction:
        return self.steps[0](thing=thing)


class Outer(dspy.Module):
    """A program of a router and an inner module."""

    def __init__(self) -> None:
        super().__init__()
        self.router, self.inner = dspy.Predict("thing -> kind"), Inner()

    def forward(self, thing: str) -> dspy.Prediction:
        self.router(thing=thing)
        return self.inner(thing=thing)


GIVEN = Candidate.of(Outer())
ROUTER, STEP = "router", "inner.steps[0]"


def changed(candidate: Candidate = GIVEN) -> Candidate:
    """Return a candidate that differs in everything."""
    for path, outputs in ((ROUTER, {"kind": "x"}), (STEP, {"colour": "red"})):
        demos = (Demo({"thing": "a"}, outputs),)
        candidate = candidate.with_part(path, instruction="Another one.", demos=demos, format="json")
    return candidate.with_setting("inner", "tries", 2)


@each(
    ("freeze", "kept"),
    [
        (["router"], {"router.instruction", "router.demos", "router.format"}),
        (["router.demos", f"{STEP}.instruction"], {"router.demos", f"{STEP}.instruction"}),
        (["inner"], {f"{STEP}.instruction", f"{STEP}.demos", f"{STEP}.format", "inner.tries"}),
        (["inner.format"], {f"{STEP}.format"}),
        (["inner.steps"], {f"{STEP}.instruction", f"{STEP}.demos", f"{STEP}.format"}),
        (["inner.tries"], {"inner.tries"}),
        (["self.instruction"], {"router.instruction", f"{STEP}.instruction"}),
    ],
)
def test_a_name_freezes_a_predictor_a_module_or_one_part(freeze: list[str], kept: set[str]) -> None:
    found = Kept.of(GIVEN, freeze, ()).restored(changed())
    same = {"inner.tries"} if found.settings == GIVEN.settings else set[str]()
    for path, part in found.parts.items():
        for what in ("instruction", "demos", "format"):
            if getattr(part, what) == getattr(GIVEN.parts[path], what):
                same.add(f"{path}.{what}")
    assert same == kept


def test_how_demos_are_chosen_and_what_calibrates_a_format_goes_with_them() -> None:
    other = GIVEN.with_demos(ROUTER, changed().parts[ROUTER].demos, Nearest(k=1))
    other = other.with_part(ROUTER, format="scored", offsets={"x": 0.5})
    assert Kept.of(GIVEN, ["router.demos"], ()).restored(other).nearest(ROUTER) is None
    found = Kept.of(GIVEN, ["router.format"], ()).restored(other)
    assert found.parts[ROUTER].offsets == {}
    assert found.settings["router.nearest"] == other.settings["router.nearest"]
    for freeze in (["router.demos"], ["router.nearest"], ["router"]):
        restored = Kept.of(other, freeze, ()).restored(GIVEN)
        assert restored.settings["router.nearest"] == other.settings["router.nearest"]


def test_offsets_stay_only_with_the_prompt_that_they_were_learned_on() -> None:
    given = GIVEN.with_part(ROUTER, format="scored", offsets={"x": 0.5})
    learned = GIVEN.with_part(ROUTER, format="scored", offsets={"x": 0.7})
    assert Kept.of(GIVEN, ["router.demos", "router.instruction"], ()).restored(learned) is learned
    assert Kept.of(given, ["router"], ()).restored(changed(given)).parts[ROUTER] == given.parts[ROUTER]
    other = learned.with_part(ROUTER, instruction="Another one.", offsets={"x": 0.9})
    assert Kept.of(given, ["router.instruction"], ()).restored(other).parts[ROUTER].offsets == {}


def test_sampling_stays_if_a_predictor_stays_whole() -> None:
    hot = replace(GIVEN, sampling={"temperature": 1.0})
    assert Kept.of(GIVEN, ["router"], ()).restored(hot) == GIVEN
    assert Kept.of(GIVEN, ["router.demos"], ()).restored(hot) is hot


def test_all_of_it_frozen_is_the_program_as_given() -> None:
    assert Kept.of(GIVEN, ["self"], ()).restored(changed()) == GIVEN


@each(
    ("freeze", "message"),
    [
        (
            ["other"],
            r"`freeze` names 'other'.* Its predictors are: router, inner\.steps\[0\];.*settings are: inner\.tries",
        ),
        (["router.tries"], "names 'router.tries'"),
        (["rout"], "names 'rout'"),
        (["router."], "names 'router.'"),
        ("router", "is a list of texts"),
        ([""], "is a list of texts"),
        ([7], "is a list of texts"),
    ],
)
def test_a_name_that_is_not_there_is_refused(freeze: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Kept.of(GIVEN, freeze, ())


def test_a_protected_text_stays_where_it_is() -> None:
    given = GIVEN.with_part(ROUTER, instruction="Route it. Never give advice.")
    kept = Kept.of(given, (), ["Never give advice."])
    found = kept.restored(changed(given))
    assert found.parts[ROUTER].instruction == "Route it. Never give advice."
    assert (found.parts[STEP].instruction, found.parts[ROUTER].format) == ("Another one.", "json")
    better = given.with_part(ROUTER, instruction="Never give advice. Choose the way.")
    assert kept.restored(better) is better
    with pytest.raises(UsageError, match="No instruction of the program holds the protected text 'Ever'"):
        Kept.of(given, (), ["Ever"])


@dataclass(frozen=True)
class Changes(Compiler):
    """Knows of nothing that is frozen."""

    def effort(self, *, train: int, calls: float) -> Effort:
        return Effort(candidates=2)

    def search(self, search: Search) -> None:
        (path,) = search.base.parts
        tried = [search.base.with_part(path, instruction=f"Wording {number}.") for number in (1, 2)]
        for candidate in search.race(tried):
            assert search.seen(candidate) == search.size
        assert search.mean(tried[0]) == search.mean(search.base)
        assert search.failures(tried[0], 9) == search.failures(search.base, 9)


def test_what_a_compiler_changes_all_the_same_is_put_back_and_noted() -> None:
    model = FunctionLM(world())
    with dspy.context(lm=model):
        program = Changes(metric=right).compile(
            dspy.Predict(Colour), trainset=TRAIN, valset=VAL, freeze=["self.instruction"]
        )
    assert program.signature.instructions == Colour.instructions
    assert any("that was put back" in note for note in program.compile_notes)
    assert len(program.compile_report.trials) == 1


class Routed(dspy.Module):
    """The program that `docs/compilers.md` has in mind."""

    def __init__(self) -> None:
        super().__init__()
        self.router = ts.Predict("thing -> kind")
        self.answer = ts.Predict(ts.Signature("thing, kind -> colour", "Name it. Never give legal advice."))

    def forward(self, thing: str) -> dspy.Prediction:
        return self.answer(thing=thing, kind=self.router(thing=thing).kind)


def test_the_code_of_the_page_runs_and_keeps_what_it_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    page = (Path(__file__).parents[2] / "docs" / "compilers.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(ts\.compile\(.*?)```", page, re.DOTALL)
    given: dict[str, Any] = {"ts": ts, "program": Routed(), "metric": right, "train": TRAIN}
    given["lm"] = FunctionLM(lambda seen: "red", version="1")
    exec(compile(f"found = {code}", "compilers.md", "exec"), given)
    program = given["found"].program
    assert (program.router.demos, program.answer.demos) == ([], [])
    assert "Never give legal advice." in program.answer.signature.instructions


def test_only_what_is_free_is_offered_and_an_instruction_of_the_rest_is_refused() -> None:
    given = {"trainset": TRAIN, "valset": VAL, "lm": FunctionLM(world())}
    job = job_of(Steps(), RandomSearch(metric=right), freeze=["look", "answer.demos", "weigh.format"], **given)
    search = Search(job)
    assert search.paths == ("weigh", "answer")
    assert search.demo_paths == ("weigh",)
    assert search.format_paths == ("answer",)
    assert search.guard("look", "Look at it well.") == "the instruction is frozen: of `look`"


def test_random_search_draws_in_what_is_free_alone() -> None:
    with dspy.context(lm=FunctionLM(world())):
        program = RandomSearch(metric=right, num_candidates=5, instructions=["Wording 7."]).compile(
            Steps(), trainset=TRAIN, valset=VAL, freeze=["look", "answer.instruction"]
        )
    given = Candidate.of(Steps())
    tried = [trial.candidate for trial in program.compile_report.trials]
    assert all(one.parts["look"] == given.parts["look"] for one in tried)
    assert all(one.parts["answer"].instruction == given.parts["answer"].instruction for one in tried)
    assert any(one.parts["weigh"] != given.parts["weigh"] for one in tried)
    assert any(one.parts["answer"].demos for one in tried)
    assert not any("that was put back" in note for note in program.compile_notes)


def test_without_a_metric_a_frozen_predictor_gets_no_demos() -> None:
    program = LabeledFewShot(2).compile(Steps(), trainset=TRAIN, freeze=["answer"])
    assert program.answer.demos == []
    assert len(LabeledFewShot(2).compile(Steps(), trainset=TRAIN).answer.demos) == 2


def test_what_is_kept_is_part_of_what_a_run_is_only_if_it_is_given(tmp_path: Path) -> None:
    def run(**options: Any) -> None:
        with dspy.context(lm=FunctionLM(world())):
            LabeledFewShot(2, metric=right).compile(
                dspy.Predict(Colour), trainset=TRAIN, valset=VAL, run=str(tmp_path / "run"), mirror=False, **options
            )

    run()
    run(freeze=[], protect=())
    with pytest.raises(RunMismatch, match="freeze"):
        run(freeze=["self.format"])
    with pytest.raises(RunMismatch, match="protect"):
        run(protect=["colour"])


def test_a_guard_refuses_to_drop_a_protected_text() -> None:
    given = {"trainset": TRAIN, "valset": VAL, "lm": FunctionLM(world()), "protect": ["which colour"]}
    search = Search(job_of(dspy.Predict(Colour), RandomSearch(metric=right), **given))
    assert search.guard("self", "Name its colour.") == "it changes a protected text: 'which colour'"
    assert search.guard("self", "Name which colour it has.") is None
