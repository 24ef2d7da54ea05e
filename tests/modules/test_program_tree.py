"""The tree of a program names every predictor, setting and tool, of tunesmith, of DSPy and of the caller's classes."""

import re
from pathlib import Path
from textwrap import indent

import dspy
import pytest

import tunesmith as ts
from tests.each import each
from tests.modules.plain_programs import Frozen, Pipeline, agent, lookup
from tunesmith.errors import UsageError
from tunesmith.modules import Candidate


def test_it_prints_signatures_settings_and_tools() -> None:
    program = ts.Chain(
        facts=ts.ChainOfThought("question -> facts"),
        answer=ts.ReAct("facts -> answer: int", tools=[lookup], max_steps=2),
    )
    assert str(ts.tree(program)) == (
        "self: Chain\n"
        "├─ facts: ChainOfThought\n"
        "│  └─ predict: Predict, question -> reasoning, facts\n"
        "└─ answer: ReAct, max_steps = 2, max_observation = 1000, max_tokens = 0, max_seconds = 0.0, "
        "answer_at_limit = True\n"
        "   ├─ tool lookup(word?: str)\n"
        "   ├─ step: Predict, facts, trajectory -> thought: text, action: call\n"
        "   └─ extract: Predict, facts, trajectory -> answer: int"
    )


def test_it_shows_format_demos_and_what_is_frozen() -> None:
    program = Candidate.of(ts.Predict("a -> b")).with_part("self", format="json", demos=()).apply(ts.Predict("a -> b"))
    assert str(ts.tree(program)) == "self: Predict, a -> b, format = json"
    assert "demos = 1, frozen" in str(ts.tree(Frozen()))


@each("program", [Pipeline(), agent(), Frozen(), ts.Predict("a -> b"), ts.Chain(one=Pipeline(), two=agent())])
def test_every_predictor_is_in_the_tree_and_in_the_drawing(program: dspy.Module) -> None:
    text, drawing = str(ts.tree(program)), ts.tree(program).mermaid()
    count = len(program.named_predictors()) + isinstance(program, Frozen)  # DSPy does not list the frozen one
    assert len(re.findall(" -> ", text)) == count
    assert len(re.findall("-#gt;", drawing)) == count
    assert len(re.findall(r"^ +\w+(\(\[|\[\[?)\"[^\"]+\"(\]\)|\]\]?)$", drawing, re.MULTILINE)) == len(
        text.splitlines()
    )


def test_no_text_of_a_program_breaks_the_drawing() -> None:
    program = ts.Router("text", 'a: "x"] --> [<b>`\nb: y', a=ts.Predict("text -> one"), b=ts.Predict("text -> two"))
    drawing = ts.tree(program).mermaid()
    for line in drawing.splitlines()[1:]:
        assert re.fullmatch(r" {4}(\w+(\(\[\"[^\"`]+\"\]\)|\[\"[^\"`]+\"\])|\w+ -->? ?\w+)", line), line


def test_its_json_has_the_same_parts() -> None:
    found = ts.tree(agent()).to_json()
    assert [part["name"] for part in found["parts"]] == ["react", "extract"]
    assert found["tools"] == ["lookup", "finish"]


def test_a_class_is_no_program() -> None:
    with pytest.raises(UsageError, match="Pass an instance"):
        ts.tree(Pipeline)  # type: ignore[arg-type]


def test_the_tree_in_the_docs_is_the_one_that_is_printed() -> None:
    page = (Path(__file__).parents[2] / "docs" / "modules.md").read_text(encoding="utf-8")
    program = ts.Chain(
        split=ts.Predict("review -> remarks: list[str]"),
        moods=ts.Map(ts.Predict("remark -> mood"), over="remarks", each="remark"),
        end=ts.Parallel(title=ts.Predict("review, mood -> title"), reply=ts.Predict("review, mood -> reply")),
    )
    assert indent(str(ts.tree(program)), " " * 4) in page
    assert f"```mermaid\n{ts.tree(program).mermaid()}\n```" in page
