"""Other models for other work: a teacher that makes demos, and a judge."""

import inspect
from pathlib import Path
from typing import Any

import dspy
import pytest

import tunesmith as ts
from tests.compilers.worlds import TRAIN, VAL, Colour, Steps, colour_of, right, world
from tests.evaluation.replies import number, written
from tunesmith.cli.choosing import chosen_role, chosen_teacher
from tunesmith.compilers import BootstrapFewShot, Compiler, LabeledFewShot, job_of
from tunesmith.errors import RunMismatch, UsageError
from tunesmith.experiments import Project, plan
from tunesmith.lm import FunctionLM, Meter, Seen, metered


def known(seen: Seen) -> str:
    return written(seen, colour=colour_of(number(seen.text)))


def test_a_model_as_the_teacher_is_the_same_program_under_that_model() -> None:
    ours, theirs, meter = FunctionLM(world()), FunctionLM(known, name="teacher"), Meter()
    student = dspy.Predict(Colour)

    with dspy.context(lm=ours), metered(meter):
        program = BootstrapFewShot(metric=right, max_labeled_demos=3).compile(
            student, trainset=TRAIN, valset=VAL, teacher=theirs
        )

    assert len(theirs.requests) == meter.by_role()["charged"]["teacher"].calls == 4, "it is always right"
    assert student.lm is None
    assert program.lm is None


def test_both_doors_pass_every_role_on() -> None:
    lm, teacher, prompt = (FunctionLM(known, name=name) for name in ("lm", "teacher", "prompt"))
    judging = FunctionLM(lambda seen: "good", name="judge")
    given = {"metric": judge(), "trainset": TRAIN, "valset": VAL[:5], "compiler": BootstrapFewShot(metric=right)}
    roles = {"lm": lm, "teacher": teacher, "judge_lm": judging, "prompt_lm": prompt}
    plan(dspy.Predict(Colour), **given, **roles)
    ts.compile(dspy.Predict(Colour), **given, **roles, mirror=False)
    assert teacher.requests
    assert judging.requests
    for compile_ in (ts.compile, plan, Compiler.compile):
        names = set(inspect.signature(compile_).parameters)
        assert {"teacher", "judge_lm", "prompt_lm", "freeze", "protect", "bad_cases"} <= names


def test_a_later_round_asks_the_teachers_own_model_for_another_draw() -> None:
    theirs = FunctionLM(lambda seen: written(seen, colour="none of them"), name="teacher")
    with dspy.context(lm=FunctionLM(world())):
        BootstrapFewShot(metric=right, max_bootstrapped_demos=1, max_rounds=2).compile(
            dspy.Predict(Colour), trainset=TRAIN[:3], valset=VAL, teacher=theirs
        )
    assert len(theirs.requests) == 6
    assert len({repr(request) for request in theirs.requests}) == 6


def test_a_predictor_with_a_model_of_its_own_keeps_it_in_the_teacher() -> None:
    own, theirs, student = FunctionLM(known, name="own"), FunctionLM(known, name="teacher"), Steps()
    student.look.lm = own
    job = job_of(
        student, BootstrapFewShot(metric=right), trainset=TRAIN, valset=VAL, lm=FunctionLM(world()), teacher=theirs
    )
    assert [p.lm for _, p in job.teacher.named_predictors()] == [own, theirs, theirs]
    assert [p.lm for _, p in student.named_predictors()] == [own, None, None]


def judge(**options: Any) -> Any:
    return ts.metrics.judge("It is a colour.", output="colour", **options)


def test_judges_without_a_model_of_their_own_answer_under_the_judges_model() -> None:
    own, theirs = (FunctionLM(lambda seen: "good", name=name) for name in ("own", "judge"))
    metric = ts.metrics.weighted([(judge(), 1), (judge(lm=own), 1), (ts.metrics.exact_match("colour"), 1)])
    gated = ts.metrics.gated(metric, judge())
    meter = Meter()
    with dspy.context(lm=FunctionLM(world())), metered(meter):
        LabeledFewShot(2, metric=gated).compile(dspy.Predict(Colour), trainset=TRAIN, valset=VAL[:5], judge_lm=theirs)
    assert len(own.requests) == 10, "two candidates on five examples"
    assert len(theirs.requests) == meter.by_role()["paid"]["judge"].calls - 10 > 10
    assert judge().under(theirs).metric_identity() != judge().metric_identity()
    assert judge(lm=own).under(theirs).verdict.lm is own


def test_roles_are_part_of_what_a_run_is_only_if_they_are_given(tmp_path: Path) -> None:
    def run(**options: Any) -> None:
        with dspy.context(lm=FunctionLM(world())):
            LabeledFewShot(2, metric=right).compile(
                dspy.Predict(Colour), trainset=TRAIN, valset=VAL, run=str(tmp_path / "run"), mirror=False, **options
            )

    run()
    run(teacher=None, judge_lm=None)
    with pytest.raises(RunMismatch, match="teacher lm"):
        run(teacher=FunctionLM(known, name="teacher"))
    with pytest.raises(RunMismatch, match="judge lm"):
        run(judge_lm=FunctionLM(known, name="judge"))


def test_the_project_file_names_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "roles_of_it.py").write_text(
        "import dspy\nteacher = dspy.Predict('thing -> colour')\n", encoding="utf-8"
    )
    file = tmp_path / "tunesmith.toml"
    file.write_text(
        "[compile]\nteacher = 'roles_of_it:teacher'\n[judge_lm]\nspec = 'ollama/j'\n[teacher_lm]\nspec = 'ollama/t'\n",
        encoding="utf-8",
    )
    project, model = Project.load(), FunctionLM(known)
    judging, teaching = (chosen_role(name, None, project) for name in ("judge_lm", "teacher_lm"))
    assert (getattr(judging, "model", ""), getattr(teaching, "model", "")) == ("ollama/j", "ollama/t")
    with pytest.raises(UsageError, match="not both"):
        chosen_teacher(None, None, project, model, ())
    assert getattr(chosen_teacher(None, "ollama/other", project, model, ()), "model", "") == "ollama/other"
    assert isinstance(chosen_teacher("roles_of_it:teacher", None, project, model, ()), dspy.Predict)
    file.write_text("", encoding="utf-8")
    assert chosen_teacher(None, None, Project.load(), model, ()) is None
