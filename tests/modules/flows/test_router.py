"""A router asks rules, then examples, then a model, and leaves what nothing decides to the default."""

import math
from pathlib import Path
from typing import Any

import dspy
import pytest

import tunesmith as ts
from tests.each import each
from tests.evaluation.replies import likely
from tunesmith.errors import UsageError
from tunesmith.lm import FunctionLM, Seen
from tunesmith.modules import Candidate, calls_of, program_inputs
from tunesmith.signatures import output_types, type_text

STEP = "text -> answer"


def router(**options: Any) -> ts.Router:
    given = {"descriptions": {"sums": "arithmetic", "talk": "small talk"}} | options
    return ts.Router("text", sums=ts.Predict(STEP), talk=ts.Predict(STEP), **given)


def ask(program: dspy.Module, text: str, *replies: str) -> dspy.Prediction:
    with dspy.context(lm=ts.ScriptedLM(*replies)):
        return program(text=text)


def test_a_rule_decides_first_and_costs_no_call() -> None:
    program = router(rules={r"\bplus\b": "sums"}, examples={"two plus two": "talk"})
    found = ask(program, "Two PLUS two", "4")
    assert (found.answer, found.route, found.routed_by) == ("4", "sums", "rule")


def test_an_example_that_is_near_enough_decides_next() -> None:
    program = router(examples={"how are you today": "talk", "add two numbers": "sums"})
    found = ask(program, "How are you?", "Fine.")
    assert (found.route, found.routed_by) == ("talk", "example")
    assert found.confidence == pytest.approx(3 / math.sqrt(3 * 4), abs=0.1)
    program.similarity = 1.5
    assert ask(program, "How are you?", "sums", "x").routed_by == "model"


def test_examples_vote_with_their_similarity() -> None:
    program = router(examples={"a b c d": "sums", "a b c x": "talk", "a b x y": "talk"}, similarity=0.3)
    assert ask(program, "a b c d", "?").route == "talk"
    program.neighbours = 1
    assert ask(program, "a b c d", "?").route == "sums"


def test_a_text_without_words_has_no_neighbour() -> None:
    assert ask(router(examples={"hello": "talk"}, similarity=0.0), "?!", "sums", "x").routed_by == "model"


def test_the_model_reads_the_descriptions_which_are_a_setting() -> None:
    seen: list[Seen] = []

    def written(one: Seen) -> str:
        seen.append(one)
        return "talk"

    program = router()
    chosen = Candidate.of(program).with_setting("self", "descriptions", "sums: money\ntalk: the rest").apply(program)
    for one in (program, chosen):
        with dspy.context(lm=FunctionLM(written)):
            assert one(text="Hi").route == "talk"
    assert "small talk" in seen[0].text
    assert "sums: money" in seen[2].text


@each("reply", ["none", "What?"])
def test_what_nothing_decides_goes_to_the_default(reply: str) -> None:
    found = ask(router(default="talk"), "Hm", reply, "Well.")
    assert (found.answer, found.route, found.routed_by) == ("Well.", "talk", "default")
    found = ask(router(), "Hm", reply)
    assert (found.answer, found.route, found.routed_by) == (None, None, "default")


def test_a_choice_that_is_not_sure_enough_abstains() -> None:
    def written(seen: Seen) -> Any:
        if seen.request.config.logprobs is None:
            return "answer"
        return likely(seen, {"sums": math.log(0.6), "talk": math.log(0.3), "none": math.log(0.1)})

    program = router(scored=True, default="talk")
    for threshold, route, by in ((0.0, "sums", "model"), (0.5, "sums", "model"), (0.8, "talk", "default")):
        program.threshold = threshold
        with dspy.context(lm=FunctionLM(written)):
            found = program(text="Hm")
        assert (found.route, found.routed_by, round(found.confidence, 2)) == (route, by, 0.6)


def test_the_plan_has_a_choice_and_the_dearest_route() -> None:
    dear = ts.SelfConsistency(ts.Predict(STEP), samples=5)
    assert calls_of(ts.Router("text", cheap=ts.Predict(STEP), dear=dear)) == (6, True)


def test_an_artifact_brings_it_back_without_code(tmp_path: Path) -> None:
    program = router(rules={"plus": "sums"}, examples={"hello": "talk"}, default="talk", neighbours=1)
    ts.save(tmp_path / "router", program)
    loaded: Any = ts.load(tmp_path / "router")
    assert Candidate.of(loaded) == Candidate.of(program)
    assert (loaded.rules, loaded.examples, loaded.default) == (program.rules, program.examples, "talk")
    assert ask(loaded, "one plus one", "2").routed_by == "rule"


def test_an_artifact_keeps_the_order_of_the_routes(tmp_path: Path) -> None:
    program = ts.Router("text", talk=ts.Predict(STEP), sums=ts.Predict("text, digits -> number"))
    ts.save(tmp_path / "router", program)
    loaded: Any = ts.load(tmp_path / "router")
    assert loaded.names == ["talk", "sums"]
    assert ask(loaded, "hello", "talk", "Hi.").answer == "Hi."


def test_a_route_gets_only_the_inputs_that_it_takes() -> None:
    program = ts.Router("text", default="talk", talk=ts.Predict(STEP), sums=ts.Predict("text, digits -> number"))
    assert program_inputs(program).names == ("text", "digits")
    lm = ts.ScriptedLM("talk", "Hi.")
    with dspy.context(lm=lm):
        program(text="hello", digits="two")
    assert "two" not in lm.requests[1].messages[-1].text


def test_labels_of_every_route_fit() -> None:
    program = ts.Router("text", a=ts.Predict("text -> label: Literal['x', 'y']"), b=ts.Predict("text -> label: int"))
    known = program_inputs(program).signature
    assert known is not None
    assert type_text(output_types(known)["label"]) == "Literal['x', 'y'] | int"


def test_a_compile_finds_the_similarity_that_helps() -> None:
    rows = [dspy.Example(text=f"hello number {n}", route="sums").with_inputs("text") for n in range(8)]
    found = ts.compile(
        router(examples={"hello number": "talk"}),
        metric=lambda example, found, trace=None: example.route == found.route,
        trainset=rows[:4],
        valset=rows[4:],
        compiler=ts.RandomSearch(),
        lm=FunctionLM(lambda seen: "sums"),
    )
    assert found.program.similarity == 2.0


@each(
    "options",
    [
        {"rules": {"(": "sums"}},
        {"rules": {"x": "nowhere"}},
        {"examples": {"x": "nowhere"}},
        {"default": "nowhere"},
        {"descriptions": {"nowhere": "x"}},
        {"steps": ts.Predict(STEP)},
        {"none": ts.Predict(STEP)},
        {"other": 5},
        {"other": ts.Predict("question -> answer")},
        {"other": ts.Predict("text -> route")},
    ],
)
def test_a_router_that_cannot_work_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        router(**options)
    with pytest.raises(UsageError, match="needs 2 or more"):
        ts.Router("text", one=ts.Predict(STEP))


def test_a_field_of_a_route_that_the_router_adds_itself_has_the_name_of_the_route() -> None:
    vote = ts.SelfConsistency(ts.Predict(STEP), samples=2)
    found = ask(ts.Router("text", rules={"vote": "vote"}, vote=vote, talk=ts.Predict(STEP)), "vote", "4", "5")
    assert (found.vote_confidence, found.confidence, found.stopped) == (0.5, None, "samples")


def test_without_the_text_that_decides_no_call_is_made() -> None:
    with pytest.raises(UsageError, match="`text` is missing, which decides the route"):
        router()(question="2 + 2?")
