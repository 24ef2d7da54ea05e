"""Self-consistency votes as Wang et al. 2022 say, and a compile can choose how many chains there are."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import dspy
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tunesmith as ts
from tunesmith.errors import ParseError, UsageError
from tunesmith.lm import FunctionLM, Seen
from tunesmith.modules import Candidate, calls_of
from tunesmith.modules.reasoning.votes import Votes

STEP = "question -> answer"


def ask(program: dspy.Module, lm: ts.LM) -> dspy.Prediction:
    with dspy.context(lm=lm):
        return program(question="2 + 2?")


def answers(*texts: str) -> ts.LM:
    return ts.ScriptedLM(*texts)


def test_the_most_frequent_answer_wins_after_normalisation() -> None:
    found = ask(ts.SelfConsistency(ts.Predict(STEP), samples=4), answers("5", "four", "Four.", "six"))
    assert found.answer == "four"
    assert found.confidence == 0.5
    assert [chain["answer"] for chain in found.chains] == ["5", "four", "Four.", "six"]


def test_a_tie_goes_to_the_answer_that_came_first() -> None:
    found = ask(ts.SelfConsistency(ts.Predict(STEP), samples=4), answers("a1", "b1", "b1", "a1"))
    assert (found.answer, found.confidence) == ("a1", 0.5)


def test_each_chain_is_another_rollout_at_the_temperature_of_the_setting() -> None:
    seen: list[Seen] = []
    program = ts.SelfConsistency(ts.Predict(STEP), samples=3, temperature=0.4)
    ask(program, FunctionLM(lambda one: seen.append(one) or "x"))
    assert [one.request.config.seed for one in seen] == [0, 1, 2]
    assert {one.request.config.temperature for one in seen} == {0.4}


def test_two_rollouts_of_a_program_share_no_chain() -> None:
    seen: list[int] = []
    lm = FunctionLM(lambda one: seen.append(one.request.config.seed) or "x")
    program = ts.SelfConsistency(ts.Predict(STEP), samples=3)
    for rollout in (0, 1, 2):
        ask(program, lm.copy(rollout_id=rollout))
    assert len(set(seen)) == 9


def test_a_step_with_a_model_of_its_own_is_rolled_too() -> None:
    seen: list[int] = []
    step = ts.Predict(STEP)
    step.lm = FunctionLM(lambda one: seen.append(one.request.config.seed) or "x")
    ask(ts.SelfConsistency(step, samples=3), answers())
    assert seen == [0, 1, 2]


def test_a_chain_of_thought_votes_on_its_answer_and_not_on_its_reasoning() -> None:
    replies = [f'{{"reasoning": "way {n}", "answer": "{a}"}}' for n, a in enumerate("xyy")]
    found = ask(ts.SelfConsistency(ts.ChainOfThought(STEP), samples=3), answers(*replies))
    assert (found.reasoning, found.answer) == ("way 1", "y")


def test_a_chain_that_cannot_be_parsed_has_no_vote_and_counts() -> None:
    class Sized(ts.Signature):
        """Say the size."""

        question: str = ts.InputField()
        size: Literal["small", "large"] = ts.OutputField()

    found = ask(ts.SelfConsistency(ts.Predict(Sized), samples=3), answers("?", "large", "?"))
    assert (found.size, found.confidence, found.chains[0]) == ("large", 1 / 3, None)
    with pytest.raises(ParseError):
        ask(ts.SelfConsistency(ts.Predict(Sized), samples=2), answers("?", "?"))


def test_the_trace_has_the_winning_chain_alone() -> None:
    program = ts.SelfConsistency(ts.Predict(STEP), samples=3)
    trace: list[object] = []
    with dspy.context(lm=answers("no", "yes", "yes"), trace=trace):
        program(question="?")
    ((predictor, _, prediction),) = trace
    assert predictor is program.step
    assert prediction.answer == "yes"


def stopping(early_stop: str, samples: int, *texts: str) -> tuple[str, int, str]:
    found = ask(ts.SelfConsistency(ts.Predict(STEP), samples=samples, early_stop=early_stop), answers(*texts))
    return found.answer, len(found.chains), found.stopped


@pytest.mark.parametrize(
    ("texts", "chains"),
    [("aaaxy", 3), ("aaxyz", 4), ("abaxy", 4), ("abbab", 5), ("axbya", 5)],
    ids=str,
)
def test_an_exact_stop_comes_as_soon_as_no_chain_can_change_the_answer(texts: str, chains: int) -> None:
    whole = stopping("none", 5, *(f"{one}1" for one in texts))
    early = stopping("exact", 5, *(f"{one}1" for one in texts))
    assert early == (whole[0], chains, "samples" if chains == 5 else "exact")


@given(st.lists(st.sampled_from("abc?"), min_size=1, max_size=9), st.lists(st.sampled_from([0, 0.5, 1]), min_size=9))
def test_an_exact_stop_gives_the_answer_of_all_chains(texts: list[str], weights: list[float]) -> None:
    votes, winners, decided = Votes(), [], None
    for number, text in enumerate(texts):
        votes.add(None if text == "?" else dspy.Prediction(answer=text), weights[number])
        winners.append(texts[votes.winner] if votes else None)
        if decided is None and votes.decided(len(texts) - number - 1):
            decided = number
    if decided is not None:
        assert winners[decided] == winners[-1]


def test_a_probable_stop_comes_when_the_posterior_says_so() -> None:
    assert stopping("probable", 40, *["a1"] * 40) == ("a1", 4, "probable")  # 31 of 32, as 15 of 16 is not 0.95
    assert stopping("probable", 40, "b1", *["a1"] * 39)[:2] == ("a1", 7)  # 120 of 128 with 5 votes, 247 of 256 with 6


def test_a_vote_counts_as_much_as_its_weight(tmp_path: Path) -> None:
    def weight(example: dspy.Example, found: dspy.Prediction) -> float:
        return {"good": 1.0, "bad": 0.25}[found.answer]

    program = ts.SelfConsistency(ts.Predict(STEP), samples=3, weight=weight)
    found = ask(program, answers("bad", "bad", "good"))
    assert (found.answer, found.confidence) == ("good", 1 / 1.5)
    ts.save(tmp_path / "one", program)
    with pytest.raises(UsageError, match="no `weight`"):
        ask(ts.load(tmp_path / "one"), answers("good"))
    assert ask(ts.load(tmp_path / "one", program=program), answers("bad", "bad", "good")).answer == "good"
    with pytest.raises(UsageError, match="from 0 to 1"):
        ask(ts.SelfConsistency(ts.Predict(STEP), weight=lambda example, found: 2.0), answers("good"))


def test_a_predictor_weighs_a_vote() -> None:
    program = ts.SelfConsistency(ts.Predict(STEP), samples=2, weight=ts.Predict("question, answer -> sure: float"))
    assert ask(program, answers("bad", "0.1", "good", "0.9")).answer == "good"
    assert calls_of(program) == (4, True)


def test_chains_that_are_votes_themselves_are_compared_by_their_answers() -> None:
    program = ts.SelfConsistency(ts.SelfConsistency(ts.Predict(STEP), samples=1), samples=3)
    assert ask(program, answers("a1", "b1", "b1")).answer == "b1"


def test_it_runs_asynchronously() -> None:
    program = ts.SelfConsistency(ts.Predict(STEP), samples=3)

    async def call() -> dspy.Prediction:
        with dspy.context(lm=answers("a1", "b1", "b1")):
            return await program.acall(question="?")

    assert asyncio.run(call()).answer == "b1"


def test_its_calls_are_counted() -> None:
    assert calls_of(ts.SelfConsistency(ts.ChainOfThought(STEP), samples=7)) == (7, True)
    assert calls_of(ts.SelfConsistency(ts.SelfConsistency(ts.Predict(STEP), samples=2), samples=3)) == (6, True)


@pytest.mark.parametrize(
    "made",
    [
        lambda: ts.SelfConsistency("question -> answer"),  # type: ignore[arg-type]
        lambda: ts.SelfConsistency(ts.Predict(STEP), vote="colour"),
        lambda: ts.SelfConsistency(ts.Predict(STEP), samples=0),
        lambda: ts.SelfConsistency(ts.Predict(STEP), samples=3.5),  # type: ignore[arg-type]
        lambda: ts.SelfConsistency(ts.Predict("question -> answer, confidence: float")),
    ],
)
def test_wrong_arguments_are_refused(made: object) -> None:
    with pytest.raises(UsageError):
        made()  # type: ignore[operator]


@pytest.mark.parametrize("step", [ts.Predict(STEP), ts.ChainOfThought(STEP)])
def test_an_artifact_is_rebuilt_with_its_settings_and_without_leave(step: dspy.Module, tmp_path: Path) -> None:
    program = ts.SelfConsistency(ts.SelfConsistency(step, samples=2), vote="answer", samples=3)
    ts.save(tmp_path / "one", Candidate.of(program).with_setting("self", "samples", 9).apply(program))
    loaded = ts.load(tmp_path / "one")
    assert type(loaded) is ts.SelfConsistency
    assert (loaded.samples, loaded.step.samples, loaded.vote) == (9, 2, "answer")
    assert type(loaded.step.step) is type(step)


def test_a_run_does_not_search_what_ran_before() -> None:
    program = ts.SelfConsistency(ts.ChainOfThought(STEP), samples=1)
    program.step.history = program.step.predict.history = _Unsearched()
    assert ask(program, FunctionLM(lambda seen: '{"reasoning": "r", "answer": "4"}')).answer == "4"


class _Unsearched(list[object]):
    """A history that may grow, but that nobody goes through."""

    def __iter__(self) -> Iterator[object]:
        raise AssertionError("the history was searched")


def test_chains_of_other_modules_vote_on_what_these_declare() -> None:
    rag = ts.RAG(ts.BM25(["two and two", "2 is two"]))
    found = ask(ts.SelfConsistency(rag, samples=2), answers(*(f'{{"answer": "4", "citations": [{n}]}}' for n in "12")))
    assert (found.answer, found.confidence) == ("4", 1.0)

    def add(a: int, b: int) -> int:
        return a + b

    assert ts.SelfConsistency(ts.Agent(STEP, tools=[add])).outputs == ["answer"]
    assert ts.SelfConsistency(ts.TreeOfThoughts(STEP)).outputs == ["answer"]
    assert ts.SelfConsistency(ts.Team(STEP, {"a": "You add.", "b": "You check."})).outputs == ["answer"]
    assert ts.SelfConsistency(ts.Chain(a=ts.Predict(STEP), b=ts.Predict("answer -> unit"))).outputs == ["unit"]
