"""A state machine walks along its moves, chooses where there are several, and says why it stopped."""

import math
from pathlib import Path
from typing import Any

import dspy
import pytest

import tunesmith as ts
from tests.each import each
from tests.evaluation.replies import likely
from tunesmith.errors import UsageError
from tunesmith.lm import Budget, FunctionLM, Meter, Seen, StopSignal, metered
from tunesmith.modules import Candidate, calls_of, program_inputs


def machine(**options: Any) -> ts.StateMachine:
    """Return a machine that writes a line, and looks at it until it is good."""
    given: dict[str, Any] = {"until": {"verdict": "^good"}} | options
    return ts.StateMachine(
        "verdict",
        moves={"write": ["check"], "check": ["write", "extend"], "extend": ["check"]},
        write=ts.Predict("topic -> line"),
        check=ts.Predict("line -> verdict"),
        extend=ts.Predict("line, verdict -> line2"),
        **given,
    )


def run(program: dspy.Module, *replies: str, **inputs: Any) -> tuple[dspy.Prediction, list[Any]]:
    lm = ts.ScriptedLM(*replies)
    with dspy.context(lm=lm):
        return program(**(inputs or {"topic": "snow"})), lm.requests


def test_a_task_of_states_runs_as_in_the_stateflow_paper() -> None:
    class Run(dspy.Module):
        """A database of one table."""

        def forward(self, sql: str) -> dspy.Prediction:
            return dspy.Prediction(result="Error: no such column" if "names" in sql else "Ada, Bob")

    class Mend(dspy.Module):
        """Writes a query again."""

        def __init__(self) -> None:
            super().__init__()
            self.again = ts.Predict("question, failed, error -> sql")

        def forward(self, question: str, sql: str, result: str) -> dspy.Prediction:
            return self.again(question=question, failed=sql, error=result)

    program = ts.StateMachine(
        "result",
        moves={"observe": ["execute"], "solve": ["execute"], "execute": ["mend", "verify"], "mend": ["execute"]},
        rules={"^Error": "mend", "^": "verify"},
        observe=ts.Predict("question -> sql"),
        execute=Run(),
        mend=Mend(),
        solve=ts.Predict("question, result -> sql"),
        verify=ts.Predict("question, sql, result -> answer"),
    )
    found, requests = run(
        program, "SELECT names FROM people", "SELECT name FROM people", "Ada and Bob",
        question="Who is there?",
    )  # fmt: skip
    assert found.states == ["observe", "execute", "mend", "execute", "verify"]
    assert (found.answer, found.stopped, len(requests)) == ("Ada and Bob", "end", 3)


def test_the_model_chooses_among_the_states_that_may_follow() -> None:
    found, requests = run(machine(), "Snow.", "short", "extend", "Snow falls.", "good")
    assert (found.states, found.stopped) == (["write", "check", "extend", "check"], "until")
    assert (found.line2, found.verdict) == ("Snow falls.", "good")
    asked = requests[2].messages[-1].text
    assert "write, extend" in asked
    assert "short" in asked
    assert "check" not in asked


def test_a_state_that_may_not_follow_is_none() -> None:
    found, _ = run(machine(), "Snow.", "short", "check")
    assert (found.states, found.stopped) == (["write", "check"], "none")
    found, _ = run(machine(default="write"), "Snow.", "short", "check", "Ice.", "good")
    assert (found.states, found.line) == (["write", "check", "write", "check"], "Ice.")


def test_descriptions_of_other_states_are_not_read() -> None:
    program = machine(descriptions={"write": "write anew", "check": "look at it", "extend": "make longer"})
    _, requests = run(program, "Snow.", "short", "none")
    asked = requests[2].messages[-1].text
    assert "write anew" in asked
    assert "make longer" in asked
    assert "look at it" not in asked


def test_rules_and_examples_choose_without_a_call() -> None:
    program = machine(rules={"short": "extend"}, examples={"wrong topic": "write"})
    found, requests = run(program, "Snow.", "too short", "Snow falls.", "the wrong topic", "Ice.", "GOOD")
    assert found.states == ["write", "check", "extend", "check", "write", "check"]
    assert len(requests) == 6


def test_probabilities_count_among_the_states_that_may_follow() -> None:
    def reply(seen: Seen) -> Any:
        if seen.request.config.logprobs is None:
            return "x"
        shares = {"check": 0.6, "extend": 0.3, "write": 0.05, "none": 0.05}
        return likely(seen, {name: math.log(share) for name, share in shares.items()})

    with dspy.context(lm=FunctionLM(reply)):
        assert machine(scored=True, threshold=0.7, max_steps=3)(topic="x").states == ["write", "check", "extend"]
        assert machine(scored=True, threshold=0.8, max_steps=3)(topic="x").stopped == "none"


def test_without_a_choice_there_is_no_predictor_for_it() -> None:
    program = ts.StateMachine(
        "x", {"a": ["b"], "b": ["a"]}, max_steps=3, a=ts.Predict("x -> y"), b=ts.Predict("y -> z")
    )
    assert set(Candidate.of(program).parts) == {"a", "b"}
    assert program.calls() == {"a": 2, "b": 1}
    assert run(program, "1", "2", "3", x="0")[0].states == ["a", "b", "a"]


def test_it_ends_after_the_most_steps() -> None:
    found, requests = run(machine(max_steps=3), "a", "b", "extend", "c")
    assert (found.states, found.stopped, len(requests)) == (["write", "check", "extend"], "max_steps", 4)


def test_the_plan_is_the_dearest_walk() -> None:
    assert calls_of(machine(max_steps=1)) == (1, True)
    assert calls_of(machine(max_steps=3)) == (3 + 1, True)
    assert calls_of(machine(max_steps=6)) == (6 + 2, True)
    dear = ts.StateMachine(
        "x",
        moves={"first": ["cheap", "dear"], "cheap": ["first"]},
        first=ts.Predict("y -> x"),
        cheap=ts.Predict("x -> z"),
        dear=ts.SelfConsistency(ts.Predict("x -> w"), samples=9),
    )
    assert dear.calls() == {"first": 3, "choose": 3, "cheap": 2, "dear": 1}
    assert calls_of(dear) == (3 + 3 + 2 + 9, True)


def test_a_budget_that_ends_gives_what_the_states_returned() -> None:
    lm = ts.ScriptedLM("Snow.", "short", "extend", "Snow falls.")
    with dspy.context(lm=lm), metered(Meter(Budget(calls=3))):
        found = machine()(topic="snow")
    assert (found.states, found.line, found.stopped) == (["write", "check"], "Snow.", "budget")
    with dspy.context(lm=lm), metered(Meter(Budget(calls=0))), pytest.raises(StopSignal):
        machine()(topic="snow")


def test_its_inputs_are_those_that_no_state_gives(tmp_path: Path) -> None:
    assert program_inputs(machine()).names == ("topic",)
    ts.save(tmp_path / "machine", machine(rules={"short": "extend"}))
    loaded: Any = ts.load(tmp_path / "machine")
    assert Candidate.of(loaded) == Candidate.of(machine(rules={"short": "extend"}))
    assert (loaded.names, loaded.start) == (["write", "check", "extend"], "write")
    assert run(loaded, "Snow.", "short", "Snow falls.", "good")[0].stopped == "until"


def test_a_compile_finds_how_many_steps_help() -> None:
    count = {"n": 0}

    def reply(seen: Seen) -> str:
        count["n"] += 1
        return "extend" if "Route:" in seen.text else f"bad {count['n']}"

    rows = [dspy.Example(topic=f"t{n}").with_inputs("topic") for n in range(8)]
    found = ts.compile(
        machine(max_steps=3),
        metric=lambda example, found, trace=None: len(found.states) >= 6,
        trainset=rows[:4],
        valset=rows[4:],
        compiler=ts.RandomSearch(formats=["bare"]),
        lm=FunctionLM(reply),
    )
    assert found.program.max_steps in (6, 9)


@each(
    "options, said",
    [
        ({"start": "nowhere"}, "There is no state 'nowhere'"),
        ({"rules": {"x": "nowhere"}}, "There is no state 'nowhere'"),
        ({"until": {"verdict": "("}}, "regular expression"),
        ({"default": "nowhere"}, "There is no state"),
        ({"other": ts.Predict("a -> states")}, "output `states`"),
        ({"choose": ts.Predict("a -> b")}, "uses itself"),
    ],
)
def test_a_machine_that_cannot_work_is_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        machine(**options)


@each(
    "make, said",
    [
        (lambda: ts.StateMachine("x", {"a": "b"}, a=ts.Predict("x -> y"), b=ts.Predict("y -> z")), "`moves` maps"),
        (lambda: ts.StateMachine("x", {"c": ["b"]}, a=ts.Predict("x -> y"), b=ts.Predict("y -> z")), "no state 'c'"),
        (lambda: ts.StateMachine("w", {"a": ["a", "b"]}, a=ts.Predict("x -> y"), b=ts.Predict("y -> z")), "`field`"),
        (lambda: ts.StateMachine("x", {}, a=ts.Predict("x -> y")), "needs 2 or more"),
    ],
)
def test_moves_name_states(make: Any, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        make()


def test_why_a_state_stopped_is_kept_beside_why_the_machine_did() -> None:
    vote = ts.SelfConsistency(ts.Predict("topic -> line"), samples=1)
    program = ts.StateMachine("line", moves={"vote": ["end"]}, vote=vote, end=ts.Predict("line -> title"))
    found, _ = run(program, "Snow.", "Winter", topic="winter")
    assert (found.vote_stopped, found.stopped) == ("samples", "end")
