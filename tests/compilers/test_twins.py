"""No evaluation is spent on a candidate that sends the same requests as another."""

from typing import Any

import dspy

import tunesmith as ts
from tunesmith.compilers._twins import Twins
from tunesmith.lm import FunctionLM
from tunesmith.modules import Candidate, idle_of
from tunesmith.signatures import Demo

ROWS = [dspy.Example(question=f"question {n}", answer="yes").with_inputs("question") for n in range(6)]


def agent(**options: Any) -> ts.Agent:
    def look(word: str) -> str:
        """Look it up."""
        return word

    return ts.Agent("question -> answer", tools=[look], **options)


def test_what_has_no_effect_is_as_in_the_program_as_given() -> None:
    program = agent()
    base = Candidate.of(program)
    twins = Twins(program, base)
    unplanned = base.with_setting("step", "planned", False)
    asked = unplanned.with_part("step.plan", instruction="Plan well.", demos=(Demo({"question": "a"}, {"plan": "b"}),))

    assert twins.one(asked) == twins.one(unplanned) == unplanned
    planned = base.with_part("step.plan", instruction="Plan well.")
    assert twins.one(planned) == planned


def test_a_search_tries_no_twin() -> None:
    program = agent(planned=False)
    report = ts.compile(
        program,
        metric=lambda example, found, trace=None: float(found.answer == example.answer),
        trainset=ROWS[:2],
        valset=ROWS[2:],
        compiler=ts.RandomSearch(num_candidates=12, instructions=("Do well.", "Do it.")),
        lm=FunctionLM(lambda seen: '{"thought": "", "action": {"tool": "finish", "arguments": {"answer": "yes"}}}'),
    ).report

    for trial in report.trials:
        idle, base = idle_of(trial.candidate.apply(program)), Candidate.of(program)
        assert all(trial.candidate.parts[path] == base.parts[path] for path in idle.parts)
        assert all(trial.candidate.settings[path][name] == base.settings[path][name] for path, name in idle.settings)
    assert len({trial.candidate for trial in report.trials}) == len(report.trials)
