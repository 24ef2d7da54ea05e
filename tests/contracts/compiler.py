"""What every compiler promises. Subclass `CompilerContract` and override `make`; `make test-slow` runs all of it."""

import functools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dspy
import pytest
from dspy.dsp.utils.settings import settings
from dspy.utils.callback import BaseCallback

from tests.compilers.worlds import TRAIN, VAL, Colour, harmful, helpful, right, state_of, world
from tests.each import each
from tests.scale import FULL, scaled
from tunesmith.compilers import Compiler, CompileReport
from tunesmith.errors import (
    BudgetExceeded,
    DataError,
    Interrupted,
    ModelUnavailable,
    RunMismatch,
    SplitError,
    UsageError,
)
from tunesmith.evaluation import evaluate
from tunesmith.lm import LM, Budget, FunctionLM, Meter, ReplyCache, Seen, metered
from tunesmith.modules import Candidate, static_demos


def crossed(cases: list[tuple[int, int]], *, slots: tuple[int, ...]) -> list[tuple[int, int]]:
    """Return `cases`, or in `make test-slow` each of their first values with each of `slots`."""
    return [(after, count) for after, _ in cases for count in slots] if FULL else cases


class Told(BaseCallback):
    """A callback of DSPy that notes what compiles it was told of."""

    def __init__(self) -> None:
        self.events: list[Any] = []

    def on_compile_start(self, call_id: str, instance: Any, inputs: dict[str, Any]) -> None:
        self.events.append(("start", instance))

    def on_compile_end(self, call_id: str, outputs: Any, exception: Exception | None = None) -> None:
        self.events.append(("end", outputs, exception))


class Nested(dspy.Module):
    """A program with its predictor in a list and code around it."""

    def __init__(self) -> None:
        super().__init__()
        self.steps = [dspy.Predict(Colour)]
        self.limit = 3

    def forward(self, thing: str) -> dspy.Prediction:
        return self.steps[0](thing=thing[: 100 * self.limit])


@dataclass(frozen=True)
class Done:
    """A compile that has ended, with one slot and seed 0.

    Attributes:
        compiler: what was used.
        program: what it returned.
        report: of the program.
        model: what was asked.
        told: what a callback was told.
        meter: of the caller.
        progress: what was told of it.
        around: the student, the examples and the settings of DSPy, before and after.
    """

    compiler: Compiler
    program: Any
    report: CompileReport
    model: FunctionLM
    told: Told
    meter: Meter
    progress: list[tuple[str, int, int]]
    around: tuple[Any, Any]


class Made:
    """One compiler, and what the tests of it are made from."""

    def make(self, **options: Any) -> Compiler:
        """Return the compiler, small, with `metric=right` unless `options` say otherwise."""
        raise NotImplementedError

    def compiled(self, lm: LM | None = None, *, student: Any = None, valset: Any = VAL, **options: Any) -> Any:
        with dspy.context(lm=FunctionLM(world()) if lm is None else lm):
            return self.make(**options).compile(
                dspy.Predict(Colour) if student is None else student, trainset=TRAIN, valset=valset
            )

    def students(self) -> tuple[dspy.Module, ...]:
        """Return programs of further kinds that it compiles."""
        return Nested(), dspy.ChainOfThought("thing -> colour")

    def done(self) -> Done:
        """Return a compile that is only looked at, made once for all tests of the class."""
        return _done(type(self))


class CompileContract(Made):
    """What `Compiler.compile` keeps whatever the search is: `make test` runs it for a few compilers."""

    def test_it_is_a_dspy_optimizer_in_dspys_calling_form(self) -> None:
        """A training set is enough: it is split aloud."""
        compiler = self.make()
        assert isinstance(compiler, dspy.teleprompt.teleprompt.Teleprompter)

        with dspy.context(lm=FunctionLM(world())):
            program = compiler.compile(Nested(), trainset=TRAIN)
            prediction = program(thing="thing 205")

        assert type(program) is Nested
        assert program.limit == 3
        assert program._compiled is True
        assert prediction.colour in ("red", "green", "blue")
        assert program.compile_report.baseline.n == 16
        assert any("24 examples" in note and "16 select" in note for note in program.compile_report.notes)

    def test_the_students_own_model_stays_its_own(self) -> None:
        own, student = FunctionLM(world(), name="own"), dspy.Predict(Colour)
        student.lm = own

        program = self.compiled(student=student)

        assert program.lm is own
        assert own.requests

    @each("cap", [0, len(VAL) - 1])
    @each("slots", [1, 8])
    def test_a_budget_too_small_for_the_student_is_an_error(self, cap: int, slots: int) -> None:
        model = FunctionLM(world())

        with pytest.raises((BudgetExceeded, UsageError), match=f"budget of {cap} calls"):
            self.compiled(model, budget=cap, slots=slots)
        assert len(model.requests) <= cap

    def test_a_second_compile_from_the_cache_pays_nothing_and_ends_alike(self, tmp_path: Path) -> None:
        model = FunctionLM(world(), cache=ReplyCache(tmp_path))
        first = self.compiled(model).compile_report
        asked = len(model.requests)

        second = self.compiled(model).compile_report

        assert len(model.requests) == asked
        assert second.candidate == first.candidate
        assert (second.charged.calls, second.paid.calls) == (first.charged.calls, 0)

    def test_the_state_runs_in_plain_dspy(self, tmp_path: Path) -> None:
        program = self.compiled(student=Nested())
        path = tmp_path / "state.json"
        program.save(path)

        plain = Nested()
        plain.load(path)

        demos = static_demos(program.steps[0])
        assert [dict(d.items()) for d in map(dspy.Example, plain.steps[0].demos)] == [dict(d.items()) for d in demos]
        model = FunctionLM(world())
        with dspy.context(lm=model, adapter=dspy.ChatAdapter()):
            assert plain(thing="thing 200").colour
        assert len(model.requests[0].messages) == 1 + 2 * len(demos)

    def test_it_composes_with_better_together(self) -> None:
        """Which passes a teacher in a list."""
        student = dspy.Predict(Colour)
        student.lm = FunctionLM(world())
        both = dspy.BetterTogether(metric=right, ours=self.make())

        with dspy.context(lm=student.lm):
            program = both.compile(
                student, teacher=dspy.Predict(Colour), trainset=list(TRAIN), valset=list(VAL), strategy="ours"
            )

        assert program.flag_compilation_error_occurred is False
        assert {found["strategy"] for found in program.candidate_programs} == {"", "ours"}
        assert type(program) is dspy.Predict

    def test_callbacks_of_dspy_are_told_once(self) -> None:
        done, told, compiler = self.done(), Told(), self.make()
        assert done.told.events == [("start", done.compiler), ("end", done.program, None)]

        with pytest.raises(UsageError), dspy.context(lm=FunctionLM(world()), callbacks=[told]):
            compiler.compile(dspy.Predict(Colour), trainset=TRAIN, valset=VAL, nonsense=1)
        assert isinstance(told.events[-1][2], UsageError)

    def test_a_run_folder_keeps_the_report_and_refuses_another_compile(self, tmp_path: Path) -> None:
        given = {"trainset": TRAIN, "valset": VAL, "run": str(tmp_path / "run"), "mirror": False}
        with dspy.context(lm=FunctionLM(world())):
            program = self.make().compile(dspy.Predict(Colour), **given)
            again = self.make().compile(dspy.Predict(Colour), **given)
            with pytest.raises(RunMismatch, match="compiler"):
                self.make(seed=77).compile(dspy.Predict(Colour), **given)
            with pytest.raises(RunMismatch, match="valset"):
                self.make().compile(dspy.Predict(Colour), **{**given, "valset": VAL[1:]})

        assert again.compile_report.candidate == program.compile_report.candidate
        kept = json.loads((tmp_path / "run" / "result.json").read_text(encoding="utf-8"))
        assert kept["verdict"] == "untested"
        assert kept["candidates"] == len(program.compile_report.trials)
        assert kept["compiled"]["n"] == len(VAL)

    def test_splits_that_share_examples_are_refused(self) -> None:
        model = FunctionLM(world())

        with pytest.raises(SplitError, match=r"`trainset` and `valset` share 1 example"):
            self.compiled(model, valset=[*VAL, TRAIN[3]])
        assert model.requests == []

    def test_arguments_that_no_compiler_knows_are_refused(self) -> None:
        with dspy.context(lm=FunctionLM(world())), pytest.raises(UsageError, match="max_bootstraps, num_threads"):
            self.make().compile(dspy.Predict(Colour), trainset=TRAIN, valset=VAL, num_threads=4, max_bootstraps=1)

    @each(
        "teacher",
        [dspy.ChainOfThought(Colour), Nested(), dspy.Predict("thing, hint -> colour")],
        ids=lambda t: str(type(t)),
    )
    def test_a_teacher_of_another_structure_is_refused_before_any_call(self, teacher: dspy.Module) -> None:
        model = FunctionLM(world())

        with dspy.context(lm=model), pytest.raises(UsageError, match="same predictors"):
            self.make().compile(dspy.Predict(Colour), trainset=TRAIN, valset=VAL, teacher=teacher)
        assert model.requests == []

    @each(
        ("change", "kind"),
        [
            ({"student": dspy.Predict}, UsageError),
            ({"student": "thing -> colour"}, UsageError),
            ({"student": dspy.Module()}, UsageError),
            ({"teacher": "gpt"}, UsageError),
            ({"trainset": []}, DataError),
            ({"trainset": "train.jsonl"}, UsageError),
            ({"trainset": None}, UsageError),
            ({"trainset": [dspy.Example(thing="thing 1", colour="red")]}, UsageError),
            ({"valset": []}, DataError),
            ({"trainset": TRAIN[:1], "valset": None}, (UsageError, SplitError)),
        ],
        ids=str,
    )
    def test_what_cannot_be_used_is_refused_before_any_call(self, change: dict[str, Any], kind: Any) -> None:
        model = FunctionLM(world())
        given = {"student": dspy.Predict(Colour), "trainset": TRAIN, "valset": VAL} | change

        with dspy.context(lm=model), pytest.raises(kind):
            self.make().compile(**given)
        assert model.requests == []

    def test_there_must_be_a_model(self) -> None:
        with dspy.context(lm=None), pytest.raises(UsageError, match="There is no model"):
            self.make().compile(dspy.Predict(Colour), trainset=TRAIN, valset=VAL)

    def test_a_metric_must_be_a_function(self) -> None:
        with pytest.raises(UsageError, match="A metric must be a function"):
            self.make(metric="accuracy")

    @each(("after", "slots"), crossed([(0, 1), (35, 8), (50, 1)], slots=(1, 8)))
    def test_the_absence_of_the_model_stops_it_with_the_typed_error(self, after: int, slots: int) -> None:
        left, answer = iter(range(after)), world()

        def fails(seen: Seen) -> str:
            if next(left, None) is None:
                raise ModelUnavailable("the server is gone")
            return answer(seen)

        with pytest.raises(ModelUnavailable, match="the server is gone"):
            self.compiled(FunctionLM(fails), slots=slots)

    @each(("after", "slots"), crossed([(10, 8), (50, 1)], slots=(1, 8)))
    def test_ctrl_c_stops_it_and_the_same_command_goes_on(self, after: int, slots: int, tmp_path: Path) -> None:
        left, answer, patient = iter(range(after)), world(), False

        def stopped(seen: Seen) -> str:
            if not patient and next(left, None) is None:
                raise KeyboardInterrupt
            return answer(seen)

        model = FunctionLM(stopped, cache=ReplyCache(tmp_path))
        with pytest.raises(Interrupted):
            self.compiled(model, slots=slots)
        patient, paid = True, len(model.requests)

        report = self.compiled(model, slots=slots).compile_report

        undisturbed = self.compiled(slots=slots).compile_report if FULL else self.done().report
        assert report.candidate == undisturbed.candidate
        assert report.charged.calls == undisturbed.charged.calls
        assert report.paid.calls <= undisturbed.paid.calls - min(after, paid - slots)


class CompilerContract(CompileContract if FULL else Made):
    """What the search keeps: one class per compiler."""

    def test_the_report_says_what_was_decided_and_what_it_cost(self) -> None:
        done = self.done()
        report = done.report

        assert isinstance(report, CompileReport)
        assert report.compiler == self.make().name
        assert report.baseline.n == report.compiled.n == len(VAL)
        assert report.gain.mean == pytest.approx((report.compiled.mean or 0) - (report.baseline.mean or 0))
        assert report.improved == (report.candidate != report.baseline_candidate)
        assert [t for t in report.trials if t.number == 0][0].candidate == report.baseline_candidate
        assert len({t.candidate for t in report.trials}) == len(report.trials), "no candidate is listed twice"
        assert report.charged.calls == report.paid.calls == len(done.model.requests)

    def test_the_program_uses_the_candidate_of_the_report(self) -> None:
        done = self.done()
        assert Candidate.of(done.program) == done.report.candidate

    def test_students_of_other_kinds_are_unchanged(self) -> None:
        for student in self.students():
            before = state_of(student)
            self.compiled(student=student)
            assert state_of(student) == before

    def test_the_student_the_examples_and_what_dspy_keeps_are_unchanged(self) -> None:
        before, after = self.done().around

        assert after == before
        assert self.done().model.history == []

    @each("ability", [helpful, harmful])
    def test_the_result_is_never_worse_than_the_student_on_validation(self, ability: Any) -> None:
        """If demos only harm, the student comes back."""
        for seed in range(scaled(20)):
            model = FunctionLM(world(ability))
            program = self.compiled(model, seed=seed)
            before = evaluate(dspy.Predict(Colour), VAL, right, lm=model).mean
            after = evaluate(program, VAL, right, lm=model).mean
            assert before is not None
            assert after is not None
            assert after >= before
            assert program.compile_report.improved == (after > before)
            if ability is harmful and seed == 0:
                assert program.demos == []
                assert program.compile_report.gain.mean == 0

    @each("slots", [1, 8] if FULL else [8])
    def test_the_same_seed_gives_the_same_result_with_one_slot_and_with_eight(self, slots: int) -> None:
        first, second = self.done().report, self.compiled(slots=slots).compile_report

        assert first.candidate == second.candidate
        assert first.candidate.key == second.candidate.key
        assert [t.candidate.key for t in first.trials] == [t.candidate.key for t in second.trials]
        assert [(t.candidate, t.mean, t.n) for t in first.trials] == [(t.candidate, t.mean, t.n) for t in second.trials]

    def test_seed_0_is_not_seed_9(self) -> None:
        zero, nine = self.done().report, self.compiled(seed=9).compile_report

        assert {t.candidate for t in zero.trials} != {t.candidate for t in nine.trials}
        assert (zero.seed, nine.seed) == (0, 9)

    @each("slots", [1, 8])
    def test_no_more_is_charged_than_the_budget(self, slots: int) -> None:
        for run in range(20) if FULL else [int(slots == 8)]:
            cap = 30 + (run * 37) % 300
            model = FunctionLM(world())
            report = self.compiled(model, budget=cap, slots=slots, seed=run).compile_report
            assert report.charged.calls <= cap
            assert report.paid.calls == len(model.requests) <= cap
            assert report.compiled.n == len(VAL)

    def test_tokens_are_a_budget_too(self) -> None:
        free = self.done().report.charged
        base = self.compiled(budget=len(VAL)).compile_report.charged

        for tokens in range(base.tokens + 50, free.tokens, max(1, (free.tokens - base.tokens) // (3 if FULL else 2))):
            charged = self.compiled(budget=Budget(tokens=tokens)).compile_report.charged
            # A call's tokens are known when it is answered: the last one may end above the limit.
            assert charged.tokens < tokens + 400

    def test_a_budget_for_the_student_alone_gives_the_student(self) -> None:
        report = self.compiled(budget=len(VAL)).compile_report

        assert not report.improved
        assert report.charged.calls == len(VAL)
        assert report.trials[0].number == 0

    @each("freeze", ["self.instruction", "self.demos", "self.format", "self"])
    def test_frozen_parts_stay_as_they_are(self, freeze: str) -> None:
        budget = None if FULL else 70
        with dspy.context(lm=FunctionLM(world())):
            program = self.make(budget=budget).compile(
                dspy.Predict(Colour), trainset=TRAIN, valset=VAL, freeze=[freeze]
            )

        given, what = Candidate.of(dspy.Predict(Colour)), freeze.partition(".")[2]
        for trial in program.compile_report.trials:
            part, own = trial.candidate.parts["self"], given.parts["self"]
            assert getattr(part, what, None) == getattr(own, what, None)
            assert what or trial.candidate == given

    def test_a_callers_meter_sees_every_call(self) -> None:
        done = self.done()

        assert done.meter.charged == done.report.charged
        assert done.meter.paid.calls == len(done.model.requests)

    def test_progress_is_told(self) -> None:
        told = self.done().progress

        assert ("program as given", 30, 30) in told
        assert all(0 <= done <= total for _, done, total in told)

    def test_a_metric_that_fails_now_and_then_is_nobodys_loss(self) -> None:
        def moody(example: dspy.Example, prediction: dspy.Prediction, trace: Any = None) -> bool:
            if example.thing == VALID[7].thing:
                raise KeyError("no label")
            return right(example, prediction)

        with dspy.context(lm=FunctionLM(world())):
            program = self.make(metric=moody).compile(dspy.Predict(Colour), trainset=TRAIN, valset=VALID)

        report = program.compile_report
        assert report.baseline.metric_errors == 1
        assert report.gain.n == len(VALID) - 1
        assert (report.gain.mean or 0) >= 0


@functools.cache
def _done(kind: type[Made]) -> Done:
    compiler, student, model = kind().make(), dspy.Predict(Colour), FunctionLM(world())
    told, meter, progress = Told(), Meter(), list[tuple[str, int, int]]()

    def around() -> Any:
        examples = [(dict(e.items()), set(e.inputs().keys())) for e in (*TRAIN, *VAL)]
        return state_of(student), examples, dict(settings.config)

    with dspy.context(lm=model, callbacks=[told]), metered(meter):
        before = around()
        program = compiler.compile(student, trainset=TRAIN, valset=VAL, progress=lambda *news: progress.append(news))
        after = around()
    return Done(compiler, program, program.compile_report, model, told, meter, progress, (before, after))


VALID = [example.copy(thing=f"thing {300 + i}") for i, example in enumerate(VAL * 2)]
