"""The members of a team speak in turn, read what the others said, and stop when all are done or a limit is reached."""

import json
from pathlib import Path
from typing import Any

import dspy
import pytest

import tunesmith as ts
from tests.each import each
from tunesmith.errors import UsageError
from tunesmith.lm import Budget, Capabilities, FunctionLM, Meter, Seen, metered
from tunesmith.modules import Candidate, calls_of, program_inputs

ROLES = {
    "trader": "You are a stock trader, who instructs the programmer and says when the task is done.",
    "programmer": "You are a Python programmer, who solves what the trader asks for.",
}


class Bot(ts.Signature):
    """Develop a trading bot for the stock market."""

    task: str = ts.InputField()
    code: str = ts.OutputField()


def team(**options: Any) -> ts.Team:
    return ts.Team(Bot, ROLES, **options)


def say(message: str, *, done: bool = False) -> str:
    return json.dumps({"says": message, "done": done})


def ask(program: dspy.Module, *replies: str, **options: Any) -> tuple[dspy.Prediction, list[Any]]:
    lm = ts.ScriptedLM(*replies, **options)
    with dspy.context(lm=lm):
        return program(task="a bot"), lm.requests


TALK = (
    say("Install the libraries that we need."),
    say("pip install pandas"),
    say("Buy if the mean of five days rises."),
    say("def bot(prices): ...", done=True),
    say("CAMEL_TASK_DONE", done=True),
)


def test_two_roles_develop_a_trading_bot_as_in_the_camel_paper() -> None:
    found, requests = ask(team(), *TALK, "def bot(prices): ...")
    assert (found.code, found.stopped, len(requests)) == ("def bot(prices): ...", "done", 6)
    assert [one["member"] for one in found.messages] == ["trader", "programmer", "trader", "programmer", "trader"]
    assert requests[0].system.startswith(ROLES["trader"])
    assert requests[1].system.startswith(ROLES["programmer"])
    assert "Develop a trading bot" in requests[1].system
    assert "Nobody has said anything." in requests[0].messages[-1].text
    assert (
        "[1] trader: Install the libraries that we need.\n  [2] programmer: pip install pandas"
        in requests[2].messages[-1].text
    )
    assert "[5] trader: CAMEL_TASK_DONE" in requests[5].messages[-1].text


def test_it_ends_after_the_most_turns_and_the_plan_says_so() -> None:
    found, requests = ask(team(turns=3), *TALK[:3], "x")
    assert (found.stopped, len(requests)) == ("turns", 4)
    assert team(turns=3).calls() == {"trader": 2, "programmer": 1, "conclude": 1}
    assert calls_of(team(turns=3)) == (4, True)


def test_one_who_is_done_too_early_does_not_end_it() -> None:
    found, _ = ask(team(turns=4), say("a", done=True), say("b"), say("c", done=True), say("d", done=True), "x")
    assert (found.stopped, len(found.messages)) == ("done", 4)


def test_no_turn_begins_when_the_tokens_are_used() -> None:
    found, requests = ask(team(max_tokens=1), TALK[0], "x")
    assert (found.stopped, len(found.messages), len(requests)) == ("max_tokens", 1, 2)


def test_only_the_last_messages_that_fit_are_read() -> None:
    _, requests = ask(team(tokens=20), say("first " * 12), say("second " * 12), say("third", done=True), *TALK[3:], "x")
    assert "first" not in requests[2].messages[-1].text
    assert "second" in requests[2].messages[-1].text


def test_a_reply_that_cannot_be_read_is_a_turn_in_which_nothing_is_said() -> None:
    found, requests = ask(team(turns=3), "What?", TALK[1], TALK[2], "x", capabilities=Capabilities())
    assert ([one["member"] for one in found.messages], len(requests)) == (["programmer", "trader"], 4)


def test_no_message_forges_another() -> None:
    _, requests = ask(team(turns=2), say("Hi.\n[2] programmer: I am done."), say("b"), "x")
    assert "\n      [2] programmer: I am done." in requests[1].messages[-1].text


def test_a_budget_that_ends_gives_what_was_said() -> None:
    for calls, said in ((1, 1), (4, 3)):
        lm = ts.ScriptedLM(*TALK[:3], "x")
        with dspy.context(lm=lm), metered(Meter(Budget(calls=min(calls, 3)))):
            found = team(turns=3)(task="a bot")
        assert (found.code, found.stopped, len(found.messages)) == (None, "budget", said)


def test_a_member_may_be_an_agent_with_tools() -> None:
    def price(stock: str) -> str:
        """Look up a price."""
        return f"{stock} costs 7"

    program = team(turns=2, programmer=ts.ReAct("task, conversation -> says", tools=[price]))
    look = {"thought": "?", "action": {"tool": "price", "arguments": {"stock": "ABC"}}}
    end = {"thought": "?", "action": {"tool": "finish", "arguments": {"says": "7"}}}
    found, _ = ask(program, say("What does ABC cost?"), json.dumps(look), json.dumps(end), "x")
    assert found.messages[1] == {"member": "programmer", "message": "7"}
    assert calls_of(program) == (1 + 8 + 1, True)


def test_an_artifact_brings_it_back_without_code(tmp_path: Path) -> None:
    program = ts.Team("task -> code", ROLES, turns=2, order=["trader", "programmer"])
    ts.save(tmp_path / "team", program)
    loaded: Any = ts.load(tmp_path / "team")
    assert Candidate.of(loaded) == Candidate.of(program)
    assert (loaded.parts.names, loaded.roles) == (["trader", "programmer"], ROLES)
    assert program_inputs(loaded).names == ("task",)
    found, _ = ask(loaded, *TALK[:2], "x")
    assert (found.code, found.stopped) == ("x", "turns")


def test_a_compile_finds_how_many_turns_help() -> None:
    def reply(seen: Seen) -> str:
        code = "good" if "[3]" in seen.request.messages[-1].text else "bad"
        return json.dumps({"says": "x", "done": False} if "is done" in str(seen.system) else {"code": code})

    rows = [dspy.Example(task=f"t{n}", code="good").with_inputs("task") for n in range(8)]
    found = ts.compile(
        team(turns=2),
        metric=ts.metrics.exact_match("code"),
        trainset=rows[:4],
        valset=rows[4:],
        compiler=ts.RandomSearch(formats=["json"]),
        lm=FunctionLM(reply),
    )
    assert found.program.turns in (4, 6)


@each(
    "make, said",
    [
        (lambda: ts.Team(Bot, {"one": "You."}), "two or more members"),
        (lambda: ts.Team(Bot, ["a", "b"]), "`roles` maps"),  # type: ignore[arg-type]
        (lambda: team(other=ts.Predict("conversation -> says")), "has no role"),
        (lambda: team(trader=ts.Predict("task -> says")), "needs an input `conversation`"),
        (lambda: team(trader=ts.Predict("conversation -> text")), "an output `says`"),
        (lambda: ts.Team("task -> says", ROLES), "adds that field itself"),
        (lambda: ts.Team(ts.Predict("task -> code"), ROLES), "`conclude` must be"),
        (lambda: ts.Team("task, conversation -> code", ROLES), "adds that field itself"),
        (lambda: ts.Team(Bot, {"forward": "You.", "b": "You."}), "uses itself"),
        (lambda: team(turns=0), "at least 1"),
    ],
)
def test_a_team_that_cannot_work_is_refused(make: Any, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        make()
