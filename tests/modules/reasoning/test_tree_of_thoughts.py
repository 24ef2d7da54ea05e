"""Thoughts are searched as a tree, as Yao et al. 2023 say; their Game of 24 is replayed."""

import json
import re
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import dspy
import pytest

import tunesmith as ts
from tunesmith.errors import UsageError
from tunesmith.lm import FunctionLM, Seen
from tunesmith.modules import Candidate, calls_of

GAME = "numbers -> expression"


def numbers_left(thought: str) -> list[Fraction]:
    return [Fraction(word) for word in re.findall(r"left: ([^)]*)\)", thought)[-1].split()]


def next_steps(left: Sequence[Fraction]) -> list[str]:
    """Return all next steps of the game, as the paper's model writes them."""
    found = []
    for i, one in enumerate(left):
        for j, two in enumerate(left):
            rest = [number for k, number in enumerate(left) if k not in (i, j)]
            results = [("-", one - two), *([("/", one / two)] if two else [])] if i != j else []
            results += [("+", one + two), ("*", one * two)] if i < j else []
            for sign, result in results:
                text = " ".join(map(str, sorted([*rest, result])))
                found.append(f"{one} {sign} {two} = {result} (left: {text})")
    return found


def can_reach_24(left: Sequence[Fraction]) -> bool:
    if len(left) == 1:
        return left[0] == 24
    return any(can_reach_24(numbers_left(step)) for step in next_steps(left))


class Player:
    """A model of the game: it knows all next steps, and a state that is lost from one that is not."""

    def __init__(self, most: int = 100) -> None:
        self.most = most
        self.asked: list[str] = []

    def reply(self, seen: Seen) -> str:
        text = seen.request.messages[-1].text
        thoughts = re.findall(r"\(left: [^)]*\)", text)
        start = re.findall(r"^Numbers: (.*)$", text, re.MULTILINE)[-1].split()
        left = numbers_left(thoughts[-1]) if thoughts else [Fraction(one) for one in start]
        words = str(seen.request.system)
        if "Propose" in words:
            self.asked.append("generate")
            return json.dumps(next_steps(left)[: self.most])
        if "sure, likely or impossible" in words:
            self.asked.append("evaluate")
            return "impossible" if not can_reach_24(left) else "sure" if len(left) < 3 else "likely"
        self.asked.append("answer")
        return str(left[0])


def play(numbers: str, most: int = 100, **options: Any) -> tuple[dspy.Prediction, list[str]]:
    player = Player(most)
    with dspy.context(lm=FunctionLM(player.reply)):
        return ts.TreeOfThoughts(GAME, **options)(numbers=numbers), player.asked


def test_breadth_first_search_wins_the_papers_game() -> None:
    found, asked = play("4 9 10 13", generated=50, max_nodes=1000)
    assert (found.expression, found.stopped, found.value) == ("24", "depth", 20.0)
    assert len(found.thoughts) == 3
    assert [can_reach_24(numbers_left(one)) for one in found.thoughts] == [True] * 3
    assert asked.count("generate") == 1 + 5 + 5  # the root, and the beam of two depths
    assert asked.count("evaluate") == 3 * found.nodes  # each state once, three times judged
    assert asked.count("answer") == 1


def test_without_its_beam_a_search_is_lost() -> None:
    one, asked = play("4 9 10 13", generated=3, beam=1, most=3)
    assert one.expression != "24"
    assert asked.count("generate") + asked.count("evaluate") <= 3 + 3 * 3 * 3


def test_depth_first_search_prunes_and_goes_back() -> None:
    found, asked = play("4 9 10 13", search="dfs", generated=50, max_nodes=1000, evaluations=1)
    assert (found.expression, found.stopped) == ("24", "value")
    assert asked.count("generate") <= 4  # it goes on with states from which 24 can be reached alone


def tree(value: dict[str, float], **options: Any) -> tuple[dspy.Prediction, list[str]]:
    """Search a tree in which the thoughts after `x` are `xa` and `xb`; return also the states that were asked."""
    asked: list[str] = []

    def reply(seen: Seen) -> str:
        text = seen.request.messages[-1].text
        last = (re.findall(r"\d+\. (\w+)$", text, re.MULTILINE) or [""])[-1]
        if "Propose" not in str(seen.request.system):
            return last
        asked.append(last)
        return json.dumps([f"{last}a", f"{last}b"])

    options = {"evaluate": lambda example, state: value.get(state.thoughts[-1], 0.0)} | options
    with dspy.context(lm=FunctionLM(reply)):
        return ts.TreeOfThoughts("q -> a", **options)(q="?"), asked


def test_depth_first_search_goes_back_from_a_dead_end() -> None:
    value = {"a": 0.9, "aa": 0.05, "ab": 0.01, "b": 0.5, "ba": 0.6, "bb": 0.05}
    found, asked = tree(value, search="dfs", depth=2, enough=0.6)
    assert asked == ["", "a", "b"]
    assert (found.thoughts, found.stopped) == (["b", "ba"], "value")
    found, asked = tree(value | {"b": 0.0}, search="dfs", depth=2)
    assert (asked, found.stopped, found.thoughts) == (["", "a"], "exhausted", ["a"])  # the deepest that is not pruned


def test_breadth_first_search_keeps_the_best_of_each_depth() -> None:
    value = {"a": 0.9, "b": 0.8, "ba": 1.0, "aa": 0.1, "ab": 0.2}
    assert tree(value, depth=2, beam=1)[0].thoughts == ["a", "ab"]
    assert tree(value, depth=2, beam=2)[0].thoughts == ["b", "ba"]


def test_a_goal_ends_the_search() -> None:
    found, asked = tree({"a": 0.9}, goal=lambda example, state: state.thoughts[-1] == "ab")
    assert (found.thoughts, found.stopped, found.a) == (["a", "ab"], "goal", "ab")
    assert asked == ["", "a", "b"]


def test_a_budget_of_nodes_ends_the_search() -> None:
    found, asked = tree({"a": 0.9, "b": 0.8}, max_nodes=3)
    assert (found.nodes, found.stopped, asked) == (3, "nodes", ["", "a"])


def test_equal_thoughts_are_one_state() -> None:
    judged: list[list[str]] = []

    def value(example: dspy.Example, state: dspy.Prediction) -> float:
        judged.append(state.thoughts)
        return 1.0

    with dspy.context(lm=ts.ScriptedLM('["x + 1", "X  + 1", "x - 1", ""]', "1")):
        assert ts.TreeOfThoughts("q -> a", evaluate=value, depth=1)(q="?").nodes == 2
    assert judged == [["x + 1"], ["x - 1"]]


def test_samples_and_votes_are_rollouts() -> None:
    seen: list[Seen] = []
    replies = iter(["go left", "go right", "2", "?", "2", "right"])

    def reply(one: Seen) -> str:
        seen.append(one)
        return next(replies)

    trace: list[Any] = []
    program = ts.TreeOfThoughts("q -> a", generate="sample", evaluate="vote", depth=1, generated=2)
    with dspy.context(lm=FunctionLM(reply), trace=trace):
        found = program(q="?")
    assert (found.a, found.thoughts, found.value) == ("right", ["go right"], 1.0)
    assert [one.request.config.seed for one in seen[:5]] == [0, 1, 0, 1, 2]
    assert [step[0] for step in trace] == [program.generate, program.answer]
    assert trace[0][2].thought == "go right"


def test_a_predictor_evaluates() -> None:
    program = ts.TreeOfThoughts("q -> a", evaluate=ts.Predict("q, thoughts -> good: bool"), depth=1, evaluations=1)
    with dspy.context(lm=ts.ScriptedLM('["x", "y"]', "false", "true", "1")):
        assert program(q="?").thoughts == ["y"]


def test_a_budget_that_ends_leaves_the_best_thoughts() -> None:
    with ts.metered(ts.Meter(ts.Budget(calls=2))):
        found, _ = tree({"a": 0.5, "b": 0.9, "ba": 0.1}, depth=2, beam=1)
    assert (found.thoughts, found.a, found.stopped) == (["b", "ba"], None, "budget")


@pytest.mark.parametrize(
    ("options", "calls"),
    [
        ({"depth": 3}, 1 + 5 + 5 + 3 * (5 + 25 + 25) + 1),
        ({"depth": 3, "generate": "sample", "evaluate": "vote"}, 5 * (1 + 5 + 5) + 3 * 3 + 1),
        ({"depth": 2, "search": "dfs", "generated": 3, "evaluations": 1}, 1 + 3 + (3 + 9) + 1),
        ({"depth": 3, "evaluate": lambda example, state: 1.0}, 1 + 5 + 5 + 1),
        ({"depth": 3, "max_nodes": 10}, 10 + 3 * 10 + 1),
    ],
)
def test_its_calls_are_those_of_the_formula(options: dict[str, Any], calls: int) -> None:
    assert calls_of(ts.TreeOfThoughts(GAME, **options)) == (calls, True)


def test_the_formula_is_met_by_a_tree_that_is_full() -> None:
    program = ts.TreeOfThoughts("q -> a", evaluate="value", depth=3, generated=2, beam=2, evaluations=2)

    def reply(seen: Seen) -> str:
        text = seen.request.messages[-1].text
        last = (re.findall(r"\d+\. (\w+)$", text, re.MULTILINE) or [""])[-1]
        return json.dumps([f"{last}a", f"{last}b"]) if "Propose" in str(seen.request.system) else "likely"

    lm = FunctionLM(reply)
    with dspy.context(lm=lm):
        program(q="?")
    assert len(lm.requests) == calls_of(program)[0] == 1 + 2 + 2 + 2 * (2 + 4 + 4) + 1


@pytest.mark.parametrize(
    "evaluate", ["value", "vote", ts.Predict("q, thoughts -> good: bool"), lambda example, state: 1.0]
)
def test_an_artifact_is_rebuilt(evaluate: Any, tmp_path: Path) -> None:
    program = ts.TreeOfThoughts("q -> a", "sample", evaluate)
    ts.save(tmp_path / "one", Candidate.of(program).with_setting("self", "beam", 3).apply(program))
    loaded = ts.load(tmp_path / "one")
    assert (type(loaded), loaded.beam, loaded.how) == (ts.TreeOfThoughts, 3, "sample")
    assert Candidate.of(loaded).parts.keys() == Candidate.of(program).parts.keys()


@pytest.mark.parametrize(
    "made",
    [
        lambda: ts.TreeOfThoughts("q -> a", "guess"),
        lambda: ts.TreeOfThoughts("q -> a", evaluate="guess"),
        lambda: ts.TreeOfThoughts("q -> a", goal="guess"),
        lambda: ts.TreeOfThoughts("q -> a", search="deep"),
        lambda: ts.TreeOfThoughts("q -> thoughts"),
        lambda: ts.TreeOfThoughts(ts.ChainOfThought("q -> a")),
    ],
)
def test_wrong_arguments_are_refused(made: Callable[[], object]) -> None:
    with pytest.raises(UsageError):
        made()


def test_a_way_to_judge_that_is_not_there_is_refused_with_those_that_are() -> None:
    with pytest.raises(UsageError, match="`evaluate` must be `value`, `vote`, a function or a predictor"):
        ts.TreeOfThoughts("numbers -> sum", evaluate="votes")
