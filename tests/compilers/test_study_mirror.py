"""The mirror: what a dashboard shows is what was tried, and nothing that happens to it stops a compile."""

import json
import logging
import os
import random
import resource
import shutil
import sqlite3
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import dspy
import optuna
import pytest
from optuna.trial import TrialState

import tunesmith as ts
from tests.compilers.worlds import TEST, TRAIN, VAL, Colour, right, world
from tests.each import each
from tests.scale import FULL, scaled
from tunesmith.compilers import CompileResult, Mirror
from tunesmith.compilers._mirror import _open_own_file
from tunesmith.compilers._study import StoredStudy
from tunesmith.errors import UsageError
from tunesmith.evaluation import Report
from tunesmith.experiments import compile_program
from tunesmith.lm import LM, FunctionLM, ReplyCache


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    yield
    optuna.logging.set_verbosity(before)


def compiled(run: Path | None, lm: LM | None = None, **options: Any) -> CompileResult:
    given: dict[str, Any] = {
        "program": dspy.Predict(Colour),
        "metric": right,
        "trainset": TRAIN,
        "valset": VAL,
        "compiler": ts.RandomSearch(metric=right, num_candidates=4),
        "lm": FunctionLM(world(), version="1") if lm is None else lm,
        "run": run,
    }
    return compile_program(**{**given, **options})


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, CompileResult]:
    """The folder of a run that is only looked at, and what its compile returned."""
    run = tmp_path_factory.mktemp("undisturbed") / "first"
    return run, compiled(run)


def studies(url: str) -> list[optuna.Study]:
    names = optuna.get_all_study_names(url)
    return [optuna.load_study(study_name=name, storage=url) for name in names]


def study_of(run: Path) -> optuna.Study:
    (found,) = studies(f"sqlite:///{run}/study.db")
    return found


def shown(study: optuna.Study) -> list[Any]:
    """Return all of a study that does not depend on the clock."""
    return [
        (t.number, t.state, t.values, t.params, t.intermediate_values, {**t.user_attrs, "seconds": 0}, t.constraints)
        for t in study.get_trials()
    ]


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING and "mirror" in r.getMessage()]


# What it shows --------------------------------------------------------------------------------------------------


def test_it_shows_what_was_compared(undisturbed: tuple[Path, CompileResult]) -> None:
    run, result = undisturbed
    study = study_of(run)

    trials = {t.user_attrs["origin"]: t for t in study.get_trials()}
    assert len(trials) == len(result.report.trials) == 5
    for record in result.report.trials:
        trial = trials[record.origin]
        assert trial.user_attrs["key"] == record.candidate.key
        assert trial.user_attrs["score"] == record.mean
        whole = record.n == len(VAL)
        assert trial.state is (TrialState.COMPLETE if whole else TrialState.PRUNED)
        assert trial.value == record.mean, "of a pruned trial Optuna takes the last value reported"
        assert trial.intermediate_values == ({} if whole else {record.n: record.mean})
        for part in record.candidate.parts.values():
            assert part.instruction in trial.user_attrs["candidate"]
            assert all(str(demo.inputs["thing"]) in trial.user_attrs["candidate"] for demo in part.demos)
    drawn = [t for origin, t in trials.items() if origin.startswith("draw")]
    assert all(set(t.params) == {"self:instruction", "self:format", "self:demos", "self:set"} for t in drawn)
    assert {t.state for t in drawn} == {TrialState.COMPLETE, TrialState.PRUNED}


def test_scores_have_their_interval_and_costs_are_the_candidates_own(undisturbed: tuple[Path, CompileResult]) -> None:
    run, result = undisturbed
    study = study_of(run)

    (base,) = [t for t in study.get_trials() if t.user_attrs["origin"] == "program as given"]
    report = result.report.baseline
    assert [base.user_attrs[name] for name in ("score", "low", "high", "examples", "errors")] == [
        report.mean, report.low, report.high, report.n, report.errors
    ]  # fmt: skip
    assert base.user_attrs["calls"] == len(VAL)
    assert base.user_attrs["tokens"] == sum(row.tokens for row in report.rows) > 0
    assert sum(t.user_attrs["calls"] for t in study.get_trials()) == result.report.charged.calls
    assert sum(t.user_attrs["tokens"] for t in study.get_trials()) == result.report.charged.tokens
    assert study.user_attrs["chosen"] == result.report.candidate.key
    assert study.user_attrs["compiler"] == "RandomSearch"
    assert study.metric_names == ["score"]


def test_a_compiler_without_a_study_is_shown_as_well(tmp_path: Path) -> None:
    compiled(tmp_path / "first", compiler=ts.LabeledFewShot(4, metric=right))

    trials = study_of(tmp_path / "first").get_trials()
    assert [(t.user_attrs["origin"], t.state, t.params) for t in trials] == [
        ("program as given", TrialState.COMPLETE, {}),
        ("4 labelled demos", TrialState.COMPLETE, {}),
    ]


def test_several_objectives_are_shown_with_their_names(tmp_path: Path) -> None:
    search = ts.RandomSearch(metric=right, num_candidates=4, objectives=("score", "tokens"))
    result = compiled(tmp_path / "first", compiler=search)

    study = study_of(tmp_path / "first")
    assert study.metric_names == ["score", "tokens"]
    for trial in study.get_trials():
        assert trial.values == [trial.user_attrs["score"], trial.user_attrs["tokens"] / len(VAL)]
    best = {t.user_attrs["origin"] for t in study.best_trials}
    (note,) = [note for note in result.report.notes if note.startswith("Nothing that was tried beats")]
    assert all(f"{origin} (" in note for origin in best)
    assert note.count("(") == len(best)


def test_limits_are_shown_as_constraints(tmp_path: Path) -> None:
    compiled(tmp_path / "first", compiler=ts.RandomSearch(metric=right, num_candidates=6, limits={"tokens": 60}))

    drawn = [t for t in study_of(tmp_path / "first").get_trials() if t.params]
    assert drawn
    for trial in drawn:
        seen = len(VAL) if trial.state is TrialState.COMPLETE else max(trial.intermediate_values)
        assert trial.constraints == {"tokens": pytest.approx(trial.user_attrs["tokens"] / seen - 60)}


def test_dspys_calling_form_mirrors_its_runs_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with dspy.context(lm=FunctionLM(world())):
        search = ts.RandomSearch(metric=right, num_candidates=2)
        search.compile(dspy.Predict(Colour), trainset=TRAIN, valset=VAL, run="first")
        search.compile(dspy.Predict(Colour), trainset=TRAIN, valset=VAL, mirror=f"sqlite:///{tmp_path}/own.db")
        search.compile(dspy.Predict(Colour), trainset=TRAIN, valset=VAL, run="none", mirror=False)

    (own,) = studies(f"sqlite:///{tmp_path}/own.db")
    assert shown(own) == shown(study_of(Path("runs/first")))
    assert not Path("runs/none/study.db").exists()


def test_private_runs_show_scores_but_no_text(tmp_path: Path) -> None:
    compiled(tmp_path / "first", store=False, compiler=ts.LabeledFewShot(4, metric=right))

    assert all("candidate" not in t.user_attrs for t in study_of(tmp_path / "first").get_trials())
    held = b"".join(path.read_bytes() for path in (tmp_path / "first").glob("study.db*"))
    assert b"thing 1" not in held
    assert Colour.instructions.encode() not in held


def test_long_texts_are_cut_to_what_every_database_holds(tmp_path: Path) -> None:
    long = ["x" * 200_000, "\N{GRINNING FACE}" * 40_000, "\0" * 70_000]
    search = ts.RandomSearch(
        metric=right, sampler="grid", num_candidates=9, instructions=long, max_labeled_demos=0, formats=["bare"]
    )
    mirror = f"sqlite:///{tmp_path}/x.db"
    compiled(None, compiler=search, valset=VAL[:4], mirror=mirror)

    (study,) = studies(mirror)
    texts = [t.user_attrs["candidate"] for t in study.get_trials()]
    assert len(texts) == 4
    assert 50_000 < max(len(json.dumps(t)) for t in texts) <= 60_000
    assert all(any(text[:1000] in t for t in texts) for text in long)


# A resume -------------------------------------------------------------------------------------------------------


def test_a_resumed_run_writes_its_mirror_anew(tmp_path: Path, undisturbed: tuple[Path, CompileResult]) -> None:
    run, first = undisturbed
    shutil.copytree(run, tmp_path / "first")
    before = shown(study_of(tmp_path / "first"))
    again = compiled(tmp_path / "first")

    assert shown(study_of(tmp_path / "first")) == before
    assert again.report.candidate == first.report.candidate


def test_an_interrupted_runs_mirror_ends_as_an_undisturbed_ones(
    tmp_path: Path, undisturbed: tuple[Path, CompileResult]
) -> None:
    def impatient(left: Iterator[int]) -> Any:
        answer = world()

        def reply(seen: Any) -> str:
            if next(left, None) is None:
                raise KeyboardInterrupt
            return answer(seen)

        return reply

    for calls in (10, 40, 70) if FULL else (40,):
        run = tmp_path / str(calls)
        with pytest.raises(ts.errors.Interrupted):
            compiled(run, FunctionLM(impatient(iter(range(calls))), version="1"))
        compiled(run)
        assert shown(study_of(run)) == shown(study_of(undisturbed[0]))


def test_runs_share_a_database_and_each_rewrites_its_own_study(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/all.db"
    optuna.create_study(storage=url, study_name="somebody else's")
    for place in ("one", "two", "one"):
        compiled(tmp_path / place / "first", mirror=url, compiler=ts.LabeledFewShot(4, metric=right))

    names = sorted(optuna.get_all_study_names(url))
    assert len(names) == 3
    assert names[2] == "somebody else's"
    assert all(name.startswith("first-") for name in names[:2])
    assert all(len(study.get_trials()) == 2 for study in studies(url) if study.study_name != names[2])
    assert not (tmp_path / "one" / "first" / "study.db").exists()


# It decides nothing ---------------------------------------------------------------------------------------------


def test_the_artifact_is_the_same_with_any_mirror_or_none(
    tmp_path: Path, undisturbed: tuple[Path, CompileResult]
) -> None:
    places: list[Any] = [False, f"sqlite:///{tmp_path}/x.db"]
    found = {compiled(tmp_path / f"r{i}" / "run", mirror=place).artifact.sha256 for i, place in enumerate(places)}  # type: ignore[union-attr]
    assert found == {undisturbed[1].artifact.sha256}  # type: ignore[union-attr]


@pytest.mark.slow
def test_a_mirror_is_never_read(tmp_path: Path) -> None:
    """Whatever the file holds, a resume ends in the same artifact, with a whole mirror."""
    model = FunctionLM(world(), cache=ReplyCache(tmp_path / "cache"))
    first = compiled(tmp_path / "first", model)
    file, rng = tmp_path / "first" / "study.db", random.Random(0)
    before, whole = shown(study_of(tmp_path / "first")), file.read_bytes()
    damages = [b"", whole[:5000], os.urandom(len(whole))]
    for _ in range(scaled(20)):
        flipped = bytearray(whole)
        flipped[rng.randrange(len(whole))] ^= 1 << rng.randrange(8)
        damages.append(bytes(flipped))
    for damage in damages:
        file.write_bytes(damage)
        again = compiled(tmp_path / "first", model)
        assert again.artifact is not None
        assert first.artifact is not None
        assert again.artifact.sha256 == first.artifact.sha256
        assert again.paid.calls == 0
        assert shown(study_of(tmp_path / "first")) == before


# It stops nothing -----------------------------------------------------------------------------------------------


@each("url", ["study.db", "", 7, True])
def test_what_is_no_url_is_refused_before_the_first_call(url: Any, tmp_path: Path) -> None:
    model = FunctionLM(world())
    with pytest.raises(UsageError, match="A mirror is a URL as Optuna takes it"):
        compiled(tmp_path / "first", model, mirror=url)
    assert model.requests == []
    assert not (tmp_path / "first").exists()


@each(
    ("url", "problem"),
    [
        ("nosuchdatabase://host/name", "nosuchdatabase"),
        ("postgresql+psycopg2://me:s3cret@host/name", "psycopg2"),
        ("mysql+pymysql://me:s3cret@host/name?password=s3cret", "pymysql"),
        ("sqlite:////no/such/folder/study.db", "unable to open database file"),
        ("://", ""),
    ],
)
def test_a_url_that_cannot_be_opened_is_a_clear_error_at_the_start(url: str, problem: str, tmp_path: Path) -> None:
    model = FunctionLM(world())
    with pytest.raises(UsageError, match="The search cannot be mirrored to") as found:
        compiled(tmp_path / "first", model, mirror=url)
    assert problem in str(found.value)
    assert "s3cret" not in str(found.value)
    assert "Give a URL as Optuna takes it" in str(found.value)
    assert model.requests == []
    assert not (tmp_path / "first").exists(), "nothing of a run that never began is left"


def test_the_ledger_is_no_place_for_a_mirror(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be the run's ledger"):
        compiled(tmp_path / "first", mirror=f"sqlite:///{tmp_path}/first/../first/run.db")
    compiled(tmp_path / "first")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_file_of_the_users_is_a_clear_error(tmp_path: Path) -> None:
    file = tmp_path / "x.db"
    StoredStudy(f"sqlite:///{file}", "a", ("score",)).close()
    file.chmod(stat.S_IRUSR)
    with pytest.raises(UsageError, match="readonly"):
        compiled(tmp_path / "first", mirror=f"sqlite:///{file}")


def test_a_default_mirror_that_cannot_be_written_is_one_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, undisturbed: tuple[Path, CompileResult]
) -> None:
    calm = undisturbed[1]
    compiled(tmp_path / "first", mirror=False)
    (tmp_path / "first" / "study.db").mkdir()  # nothing can be written there
    result = compiled(tmp_path / "first")

    (said,) = warnings_of(caplog)
    assert "The search is no longer mirrored to" in said
    assert "study.db: unable to open database file" in said or "Is a directory" in said
    assert result.artifact is not None
    assert calm.artifact is not None
    assert result.artifact.sha256 == calm.artifact.sha256


def test_a_disk_that_fills_up_is_one_warning_and_is_not_tried_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite's own error would have Optuna try four times more, and sleep in between."""
    monkeypatch.setattr(optuna.storages._rdb.storage.time, "sleep", None)
    file = tmp_path / "study.db"
    candidate = ts.Candidate.of(dspy.Predict(Colour)).with_part("self", instruction="x" * 50_000)

    def written(mirror: Mirror) -> None:
        for number in range(20):
            mirror.add(candidate, f"draw {number}", Report(()), (0.5,))
        mirror.close()

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (700_000, before[1]))
    try:
        written(Mirror(lambda: _open_own_file(file, "first", ("score",)), "study.db", wait=True))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    (said,) = warnings_of(caplog)
    assert "no longer mirrored to study.db: disk I/O error" in said or "full" in said
    assert 0 < len(study_of(tmp_path).get_trials()) < 20

    caplog.clear()
    written(Mirror(lambda: _open_own_file(file, "first", ("score",)), "study.db", wait=True))
    assert warnings_of(caplog) == []
    assert len(study_of(tmp_path).get_trials()) == 20


def test_a_database_that_is_taken_away_is_one_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(optuna.storages._rdb.storage, "time", SimpleNamespace(sleep=lambda seconds: None))
    url, answer, asked = f"sqlite:///{tmp_path}/x.db", world(), []

    def reply(seen: Any) -> str:
        asked.append(seen)
        if len(asked) == 20:
            with sqlite3.connect(tmp_path / "x.db") as connection:
                connection.execute("DROP TABLE trial_user_attributes")
        return answer(seen)

    result = compiled(tmp_path / "first", FunctionLM(reply), mirror=url)

    (said,) = warnings_of(caplog)
    assert "no such table" in said
    assert result.artifact is not None


class Slow:
    """A study whose notes take their time, or that never opens."""

    notes: ClassVar[list[Any]] = []

    def __init__(self, opens_after: float = 0.0) -> None:
        time.sleep(opens_after)

    def note(self, name: str, value: Any) -> None:
        time.sleep(0.3)
        self.notes.append(value)

    def close(self) -> None:
        pass


def test_a_database_that_hangs_is_left_behind(caplog: pytest.LogCaptureFixture) -> None:
    """What it has begun ends before the next mirror of the same place begins, and the rest is dropped."""
    Slow.notes = []
    opened: Any = Slow
    first = Mirror(opened, "nowhere", wait=True, patience=0.1)
    for number in range(100):
        first.note("number", number)
    first.close()
    first.note("number", "too late")
    (said,) = warnings_of(caplog)
    assert "nothing was written for" in said

    second = Mirror(opened, "nowhere", wait=True, patience=60)
    second.note("number", "second")
    second.close()
    assert Slow.notes == [*range(len(Slow.notes) - 1), "second"]
    assert len(Slow.notes) < 50
    assert len(warnings_of(caplog)) == 1


def test_a_stopped_run_says_nothing_of_its_mirror(caplog: pytest.LogCaptureFixture) -> None:
    opened: Any = lambda: Slow(opens_after=2)  # noqa: E731
    mirror = Mirror(opened, "nowhere", wait=False)
    mirror.note("number", 1)
    mirror.stop()
    assert warnings_of(caplog) == []


def test_a_dashboard_may_read_while_the_run_writes(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    answer, seen_then, run = world(), [], tmp_path / "first"

    def reply(seen: Any) -> str:
        if (run / "study.db").exists():
            with sqlite3.connect(f"file:{run}/study.db?mode=ro", uri=True) as connection:
                tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
                if "trials" in tables:
                    seen_then.append(connection.execute("SELECT count(*) FROM trials").fetchone()[0])
        return answer(seen)

    compiled(run, FunctionLM(reply), testset=TEST)

    assert warnings_of(caplog) == []
    assert seen_then
    assert seen_then == sorted(seen_then)
    assert len(study_of(run).get_trials()) == 5
