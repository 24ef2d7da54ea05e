"""ProgramOfThought: programs are run, written again, and vote; their calls are counted."""

import asyncio
from pathlib import Path
from typing import Any, Literal

import dspy
import pytest

import tunesmith as ts
from tests.each import each
from tunesmith.errors import ModelUnavailable, ParseError, UsageError
from tunesmith.lm import FunctionLM, Seen, StopSignal
from tunesmith.modules import Candidate, calls_of, program_inputs

STEP = "question -> answer: int"
GOOD, BAD = "def solution():\n    return 8", "def solution():\n    return 1 / 0"
THOUGHT = '{"reasoning": "Two and two.", "answer": 4}'

# The example of the PAL paper's section 3 (from GSM8K).
OLIVIA = "Olivia has $23. She bought five bagels for $3 each. How much money does she have left?"
PAL = '''def solution():
    """Olivia has $23. She bought five bagels for $3 each. How much money does she have left?"""
    money_initial = 23
    bagels = 5
    bagel_cost = 3
    money_spent = bagels * bagel_cost
    money_left = money_initial - money_spent
    result = money_left
    return result'''


def run(program: Any, *replies: str, **inputs: Any) -> tuple[Any, list[Seen], list[Any]]:
    """Return the prediction, what the model saw, and the trace."""
    seen, left = [], iter(replies)

    def reply(one: Seen) -> str:
        seen.append(one)
        return next(left)

    with dspy.context(lm=FunctionLM(reply), trace=[]):
        found = program(**(inputs or {"question": "2 + 2?"}))
        return found, seen, list(dspy.settings.trace)


def test_the_papers_example_is_one_call_and_a_run() -> None:
    found, seen, trace = run(ts.ProgramOfThought("question -> answer"), PAL, question=OLIVIA)
    assert (found.answer, found.program, found.confidence) == ("8", PAL, 1.0)
    assert len(seen) == 1
    assert OLIVIA in seen[0].text
    assert "solution()" in str(seen[0].request.system)
    assert [dict(step[2].items()) for step in trace] == [{"program": PAL}]


def budgeted(calls: int, *replies: str, **options: Any) -> Any:
    program = ts.ProgramOfThought(STEP, **options)
    with dspy.context(lm=ts.ScriptedLM(*replies)), ts.metered(ts.Meter(ts.Budget(calls=calls))):
        return program(question="2 + 2?")


def test_a_budget_that_ends_gives_the_vote_so_far() -> None:
    found = budgeted(3, BAD, GOOD, GOOD, programs=5, retries=1)
    assert (found.answer, found.stopped, found.confidence, len(found.attempts)) == (8, "budget", 1.0, 2)
    found = budgeted(3, GOOD, BAD, BAD.replace("1 /", "2 /"), programs=2, retries=2)
    assert (found.answer, found.stopped, len(found.attempts)) == (8, "budget", 1)


@each("calls", [0, 1, 2])
def test_a_budget_that_ends_before_a_program_works_ends_the_call(calls: int) -> None:
    with pytest.raises(StopSignal, match="budget of"):
        budgeted(calls, BAD, BAD, THOUGHT, programs=1, retries=1)


def test_what_answered_is_said() -> None:
    assert budgeted(9, GOOD).stopped == "programs"
    assert budgeted(9, BAD, BAD, THOUGHT).stopped == "fallback"


def test_a_majority_over_programs_is_taken_as_in_the_paper() -> None:
    wrong = PAL.replace("bagels * bagel_cost", "bagels + bagel_cost")
    program = ts.ProgramOfThought("question -> answer: float", programs=3)
    found, seen, trace = run(program, wrong, PAL, PAL.replace("= 23", "= 23.0"), question=OLIVIA)
    assert (found.answer, found.confidence, found.program) == (8.0, 2 / 3, PAL)
    assert [one["answer"] for one in found.attempts] == [15.0, 8.0, 8.0]
    assert [one.request.config.seed for one in seen] == [0, 1, 2]
    assert {one.request.config.temperature for one in seen} == {0.7}
    assert [step[2].program for step in trace] == [PAL]


def test_a_program_that_fails_is_written_again_with_its_error() -> None:
    found, seen, trace = run(ts.ProgramOfThought(STEP), BAD, GOOD)
    assert found.answer == 8
    assert "      return 1 / 0\nError:\n  line 2: return 1 / 0\n  ZeroDivisionError: division by zero" in seen[1].text
    assert [step[2].program for step in trace] == [GOOD]
    assert sorted(trace[0][1]) == ["error", "failed", "question"]


def test_a_wrong_type_is_an_error_of_the_program() -> None:
    found, seen, _ = run(ts.ProgramOfThought(STEP), "'many'", "None", THOUGHT)
    assert found.answer == 4
    assert "wrong answer" in seen[1].text
    assert "gave no answer" in found.attempts[0]["error"]


def test_without_a_program_that_works_the_chain_of_thought_answers() -> None:
    found, seen, trace = run(ts.ProgramOfThought(STEP, programs=2, retries=1), BAD, BAD, BAD, BAD, THOUGHT)
    assert (found.answer, found.reasoning, found.program, found.confidence) == (4, "Two and two.", None, 0.0)
    assert len(seen) == 5
    assert [step[2].answer for step in trace] == [4]
    with pytest.raises(ParseError, match=r"(?s)No program gave an answer.*ZeroDivisionError"):
        run(ts.ProgramOfThought(STEP, retries=0, fallback=False), BAD)


@each(("programs", "retries", "failures"), [(1, 0, 0), (1, 2, 2), (3, 1, 0), (3, 1, 1), (3, 0, 3), (2, 2, 6)])
def test_the_calls_are_the_programs_their_failures_and_the_fallback(programs: int, retries: int, failures: int) -> None:
    """`failures` programs fail first: n programs, one call more for each failure that may be mended, one at the end."""
    program = ts.ProgramOfThought(STEP, programs=programs, retries=retries)
    left = [BAD] * failures + [GOOD] * programs
    seen: list[Seen] = []

    def reply(one: Seen) -> str:
        seen.append(one)
        return THOUGHT if "reasoning" in str(one.request.system) else left.pop(0)

    with dspy.context(lm=FunctionLM(reply)):
        found = program(question="?")
    mended = min(failures, programs * retries)
    assert len(seen) == programs + mended + (found.program is None)
    assert len(seen) <= calls_of(program)[0] == programs * (1 + retries) + 1


def test_only_programs_that_work_vote() -> None:
    found, _, _ = run(ts.ProgramOfThought(STEP, programs=3, retries=0), BAD, "7", BAD)
    assert (found.answer, found.confidence) == (7, 1 / 3)


def test_numbers_vote_without_noise() -> None:
    found, _, _ = run(ts.ProgramOfThought("question -> answer", programs=3), "0.4", "0.1 + 0.2", "'0.3'")
    assert (found.answer, found.confidence) == ("0.3", 2 / 3)


def test_inputs_are_variables_and_any_type_is_an_output() -> None:
    class Longest(ts.Signature):
        """Say which row is longest."""

        rows: list[str] = ts.InputField()
        row: Literal["first", "second"] = ts.OutputField()

    found, seen, _ = run(ts.ProgramOfThought(Longest), "'first' if len(rows[0]) > 2 else 'second'", rows=["abc", "d"])
    assert found.row == "first"
    assert "Say which row is longest." in str(seen[0].request.system)
    assert "The program has the variables `rows`" in str(seen[0].request.system)
    listed, _, _ = run(ts.ProgramOfThought("question -> parts: list[int]"), "(1, 2)")
    assert listed.parts == [1, 2]


def test_it_runs_asynchronously_and_the_loop_goes_on() -> None:
    async def call() -> list[Any]:
        with dspy.context(lm=ts.ScriptedLM(GOOD)):
            return await asyncio.gather(ts.ProgramOfThought(STEP).acall(question="?"), asyncio.sleep(0, "went on"))

    found, other = asyncio.run(call())
    assert (found.answer, other) == (8, "went on")


def test_its_fields_are_streamed() -> None:
    *events, last = ts.stream(ts.ProgramOfThought(STEP), lm=ts.ScriptedLM(BAD, GOOD), question="?")
    texts = {name: "".join(one.text for one in events if one.predictor == name) for name in ("write", "repair")}
    assert texts == {"write": BAD, "repair": GOOD}
    assert last.prediction.answer == 8


def test_a_model_that_is_gone_is_not_hidden() -> None:
    def gone(seen: Seen) -> str:
        raise ModelUnavailable("the server is gone")

    with dspy.context(lm=FunctionLM(gone)), pytest.raises(ModelUnavailable):
        ts.ProgramOfThought(STEP)(question="?")


def test_an_empty_reply_is_a_failed_program() -> None:
    found, seen, _ = run(ts.ProgramOfThought(STEP), "", THOUGHT)
    assert found.answer == 4
    assert len(seen) == 2


def test_rollouts_of_an_outer_vote_pass_through() -> None:
    found, seen, _ = run(ts.SelfConsistency(ts.ProgramOfThought(STEP), vote="answer", samples=3), GOOD, "7", GOOD)
    assert (found.answer, found.confidence) == (8, 2 / 3)
    assert [one.request.config.seed for one in seen] == [0, 1, 2]


def test_a_predictor_with_a_model_of_its_own_is_rolled_too() -> None:
    seen: list[int] = []
    program = ts.ProgramOfThought(STEP, programs=3)
    program.write.lm = FunctionLM(lambda one: seen.append(one.request.config.seed) or GOOD)
    run(program)
    assert seen == [0, 1, 2]


def test_an_artifact_brings_it_back_without_leave(tmp_path: Path) -> None:
    program = ts.ProgramOfThought(ts.ChainOfThought(STEP), seconds=1.0)
    changed = Candidate.of(program).with_setting("self", "programs", 3).with_setting("self", "retries", 0)
    ts.save(tmp_path / "one", changed.apply(program))
    loaded = ts.load(tmp_path / "one")
    assert type(loaded) is ts.ProgramOfThought
    assert (loaded.programs, loaded.retries, loaded.seconds) == (3, 0, 1.0)
    found, _, _ = run(loaded, GOOD, GOOD, "7")
    assert (found.answer, found.confidence) == (8, 2 / 3)


def test_it_has_the_inputs_of_its_signature() -> None:
    assert program_inputs(ts.ProgramOfThought(STEP)).names == ("question",)


@each("made", [{"retries": 11}, {"programs": 0}, {"seconds": 0.1}, {"megabytes": 1}], ids=str)
def test_settings_out_of_bounds_are_refused(made: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=next(iter(made))):
        ts.ProgramOfThought(STEP, **made)


@each("step", ["question -> a, b", "question, program -> a", "question -> error", 5], ids=str)
def test_a_signature_that_cannot_be_used_is_refused(step: Any) -> None:
    with pytest.raises((UsageError, ts.errors.SignatureError, TypeError)):
        ts.ProgramOfThought(step)


class Sum(ts.Signature):
    """Add."""

    question: str = ts.InputField()
    answer: int = ts.OutputField()


def adding(seen: Seen) -> str:
    """Write a program, and for every fourth number one that fails."""
    number = int(seen.text.rsplit("Question: ", 1)[-1].split(" ", 1)[0])
    return BAD if number % 4 == 3 else f"def solution():\n    return {number} + {number}"


@each("compiler", [ts.BootstrapFewShot, ts.RandomSearch], ids=str)
def test_a_compile_makes_demos_of_programs_that_worked(compiler: Any) -> None:
    rows = [{"question": f"{n} + {n}?", "answer": 2 * n} for n in range(24)]
    train, val, test = (ts.Dataset.load(rows[n : n + 8], signature=Sum) for n in (0, 8, 16))
    program = ts.ProgramOfThought(Sum, retries=0, fallback=False)
    options = {"num_candidates": 4} if compiler is ts.RandomSearch else {}
    metric = ts.metrics.exact_match("answer")
    result = ts.compile(
        program,
        metric=metric,
        compiler=compiler(metric=metric, **options),
        trainset=train,
        valset=val,
        testset=test,
        lm=FunctionLM(adding),
        mirror=False,
    )
    assert type(result.program) is ts.ProgramOfThought
    assert "1 / 0" not in str([predictor.demos for _, predictor in result.program.named_predictors()])
