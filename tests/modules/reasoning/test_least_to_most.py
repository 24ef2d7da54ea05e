"""Problems are broken into simpler ones and solved in order, as Zhou et al. 2022 say."""

import json
import re
from pathlib import Path
from typing import Any

import dspy
import pytest

import tunesmith as ts
from tunesmith.errors import UsageError
from tunesmith.lm import Capabilities, FunctionLM, Seen
from tunesmith.modules import Candidate, calls_of

STEP = "question -> answer"


def ask(program: dspy.Module, *replies: str, **inputs: str) -> tuple[dspy.Prediction, Any]:
    lm = ts.ScriptedLM(*replies)
    with dspy.context(lm=lm):
        return program(**(inputs or {"question": "How many together?"})), lm


WORDS = {"walk": ["WALK"], "look": ["LOOK"], "run": ["RUN"], "jump": ["JUMP"]}
TURNS = {"left": "TURN_LEFT", "right": "TURN_RIGHT"}
TIMES = {"twice": 2, "thrice": 3}


def reduced(command: str) -> list[str]:
    """Return the parts of a SCAN command, as the paper's prompt of reduction lists them."""
    if " after " in command:
        first, second = command.split(" after ")
        return [*reduced(second), *reduced(first), command]
    if " and " in command:
        first, second = command.split(" and ")
        return [*reduced(first), *reduced(second), command]
    words = command.split()
    return [" ".join(words[:-1]), command] if words[-1] in TIMES and len(words) > 1 else [command]


def mapped(command: str, solved: dict[str, str]) -> str:
    """Return the actions of a command by one rule, from the parts that are solved: a model that takes one step."""
    for joint, forward in ((" after ", False), (" and ", True)):
        if joint in command:
            parts = [solved.get(part, "I cannot") for part in command.split(joint)]
            return " ".join(parts if forward else parts[::-1])
    words = command.split()
    if words[-1] in TIMES:
        return " ".join([solved.get(" ".join(words[:-1]), "I cannot")] * TIMES[words[-1]])
    verb, turn = WORDS[words[0]], TURNS.get(words[-1])
    if "opposite" in words:
        return " ".join([str(turn)] * 2 + verb)
    if "around" in words:
        return " ".join([str(turn), *verb] * 4)
    return " ".join(([turn] if turn else []) + verb)


def scan_model(seen: Seen) -> str:
    text = seen.request.messages[-1].text
    command = re.findall(r"^Command: (.*)$", text, re.MULTILINE)[-1]
    if "Solved:" not in text:
        whole = "simpler problems" in str(seen.request.system)
        return json.dumps(reduced(command)) if whole else mapped(command, {})
    solved = dict(re.findall(r"part: (.*)\n\s*actions: (.*)", text))
    return mapped(re.findall(r"^Part: (.*)$", text, re.MULTILINE)[-1], solved)


@pytest.mark.parametrize(
    ("command", "actions"),
    [
        ("look opposite right thrice after walk", "WALK" + " TURN_RIGHT TURN_RIGHT LOOK" * 3),
        (
            "run around left twice and jump left thrice",
            " ".join(["TURN_LEFT RUN"] * 8 + ["TURN_LEFT JUMP"] * 3),
        ),
    ],
    ids=["the paper's example", "longer than any demo"],
)
def test_a_model_that_takes_one_step_at_a_time_follows_long_commands(command: str, actions: str) -> None:
    step = ts.Predict("command -> actions")
    lm = FunctionLM(scan_model)
    with dspy.context(lm=lm):
        found = ts.LeastToMost(step, max_parts=8)(command=command)
        assert "cannot" in step(command=command).actions
    assert found.actions == actions
    assert [one["part"] for one in found.parts] == reduced(command)
    assert len(lm.requests) == 1 + len(reduced(command)) + 1  # decompose, the parts, and the step alone


def test_the_last_part_is_the_whole_problem_and_sees_all_answers() -> None:
    found, lm = ask(ts.LeastToMost(ts.Predict(STEP)), '["How many has Anna?", "How many together?", " "]', "7", "12")
    assert (found.answer, [one["part"] for one in found.parts]) == ("12", ["How many has Anna?", "How many together?"])
    shown = lm.requests[-1].messages[-1].text.replace("\n  ", "\n")
    assert "part: How many has Anna?\nanswer: 7" in shown
    assert shown.rstrip().endswith("Part: How many together?\nAnswer:")


@pytest.mark.parametrize("reply", ["[]", '["How many together?"]', "no list"])
def test_without_parts_the_step_answers_alone(reply: str) -> None:
    found, lm = ask(ts.LeastToMost(ts.Predict(STEP)), reply, "12")
    assert (found.answer, found.parts, len(lm.requests)) == ("12", [], 2)


def test_a_part_that_cannot_be_read_is_left_out_and_the_step_answers_in_place_of_the_last() -> None:
    program = ts.LeastToMost(ts.Predict("question -> answer: int"), max_parts=3)
    found, _ = ask(program, '["a", "b", "c"]', "?", "5", "12")
    assert (found.answer, [one["part"] for one in found.parts]) == (12, ["b", "How many together?"])
    found, _ = ask(program, '["a"]', "5", "?", "13")
    assert (found.answer, found.parts) == (13, [])


def test_it_is_counted_rebuilt_and_refused(tmp_path: Path) -> None:
    program = ts.LeastToMost(ts.ChainOfThought("story, question -> answer"), field="question")
    assert calls_of(program) == (7, True)
    ts.save(tmp_path / "one", Candidate.of(program).with_setting("self", "max_parts", 8).apply(program))
    loaded = ts.load(tmp_path / "one")
    assert (loaded.max_parts, loaded.field) == (8, "question")
    with pytest.raises(UsageError, match="story, question"):
        ts.LeastToMost(ts.Predict("story, question -> answer"))
    with pytest.raises(UsageError, match="`solved`"):
        ts.LeastToMost(ts.Predict("solved -> answer"))
    with pytest.raises(UsageError, match="reads `passages`"):
        ts.LeastToMost(ts.RAG(ts.BM25(["a"])))


def test_an_engine_is_held_to_few_and_short_parts_and_others_are_read_whatever_they_say() -> None:
    long = json.dumps(["x" * 400, *map(str, range(20))])
    lm = FunctionLM(lambda seen: long, capabilities=Capabilities(frozenset({"json_schema"})))
    program = ts.LeastToMost(ts.Predict("question -> answer"), max_parts=30)
    with dspy.context(lm=lm):
        assert len(program(question="?").parts) == 22
    schema = lm.requests[0].config.response_format["schema"]
    assert (schema["minItems"], schema["maxItems"], schema["items"]["maxLength"]) == (1, 10, 200)
