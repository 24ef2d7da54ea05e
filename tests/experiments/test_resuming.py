"""A compile that was killed goes on: no call paid again, no row twice, the same artifact to the byte."""

import json
import logging
import os
import random
import shutil
import signal
import sqlite3
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import dspy
import pytest

import tunesmith as ts
from tests.compilers.worlds import TEST as ALL_TEST
from tests.compilers.worlds import TRAIN, Colour, right, world
from tests.compilers.worlds import VAL as ALL_VAL
from tests.experiments.plain_programs import Pipeline
from tests.experiments.worlds import model as plain_model
from tests.scale import FULL, scaled
from tunesmith.compilers import CompileResult
from tunesmith.errors import LedgerError, MetricError, ModelUnavailable, RunMismatch, UsageError
from tunesmith.evaluation import Ledger, read_entries
from tunesmith.experiments import compile_program
from tunesmith.lm import LM, Budget, FunctionLM, ReplyCache, Seen
from tunesmith.metrics import judge

Answer = Callable[[Seen], str]
VAL, TEST = (ALL_VAL, ALL_TEST) if FULL else (ALL_VAL[:8], ALL_TEST[:8])
MIRRORED = 5  # one of so many compiles writes a mirror


def search(program: str = "pipeline", slots: int = 1) -> dict[str, Any]:
    """Return a compile by name, at its full count of at least 300 calls unless it is called small."""
    if program in ("pipeline", "small"):
        count = 8 if program == "pipeline" else 3
        compiler: Any = ts.RandomSearch(metric=right, num_candidates=count, max_labeled_demos=4, slots=slots)
        return {"program": Pipeline(), "compiler": compiler, "trainset": TRAIN[:20]}
    compiler = ts.BootstrapFewShot(metric=right, max_bootstrapped_demos=8, slots=slots)
    return {"program": Pipeline(), "compiler": compiler, "trainset": TRAIN}


def compiled(lm: LM, run: Path | None, **options: Any) -> CompileResult:
    given: dict[str, Any] = {
        "metric": right,
        "valset": VAL,
        "testset": TEST,
        "lm": lm,
        "run": run,
        "mirror": False,
    }
    return compile_program(**{**given, **search("small"), **options})


def logged(log: Path, answer: Answer = plain_model, hook: Callable[[int], None] | None = None) -> Answer:
    """Return a model that notes each request in a file, where a killed process leaves it."""

    def function(seen: Seen) -> str:
        line = json.dumps([seen.system, seen.messages]) + "\n"
        with log.open("a", encoding="utf-8") as file:
            file.write(line)
        if hook is not None:
            hook(len(log.read_text(encoding="utf-8").splitlines()))
        return answer(seen)

    return function


def model(folder: Path, hook: Callable[[int], None] | None = None, *, cached: bool = True) -> LM:
    cache = ReplyCache(folder / "cache") if cached else None
    return FunctionLM(logged(folder / "log", hook=hook), cache=cache, version="1")


def asked(folder: Path) -> list[str]:
    log = folder / "log"
    return log.read_text(encoding="utf-8").splitlines() if log.exists() else []


def in_child(work: Callable[[], object], *, kill_after: float | None = None) -> int:
    """Do `work` in a forked process; kill it after some seconds, if it is still there. Return how it ended."""
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException:
            os._exit(1)
        os._exit(0)
    if kill_after is not None:
        time.sleep(kill_after)
        os.kill(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def artifact_bytes(run: Path) -> tuple[bytes, dict[str, Any]]:
    """Return what an artifact holds, but for times and paid counts, which no checksum covers."""
    manifest = json.loads((run / "artifact" / "manifest.json").read_text(encoding="utf-8"))
    return (run / "artifact" / "state.json").read_bytes(), manifest["sha256"]


@dataclass(frozen=True)
class Finished:
    """A compile that has ended.

    Attributes:
        folder: of its replies, its log and its run.
        result: what it returned; the artifact's path is that of the first folder.
    """

    folder: Path
    result: CompileResult

    @property
    def run(self) -> Path:
        return self.folder / "run"


@pytest.fixture(scope="module")
def _finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    folder = tmp_path_factory.mktemp("finished")
    return Finished(folder, compiled(model(folder), folder / "run"))


@pytest.fixture
def finished(_finished: Finished, tmp_path: Path) -> Finished:
    """A copy of a compile that kept its replies."""
    shutil.copytree(_finished.folder, tmp_path, dirs_exist_ok=True)
    return Finished(tmp_path, _finished.result)


def assert_one_row_each(run: Path) -> int:
    connection = sqlite3.connect(run / "run.db")
    twice = connection.execute(
        "SELECT count(*) FROM rows GROUP BY program, candidate, lm, example, rollout, mode HAVING count(*) > 1"
    ).fetchall()
    (rows,) = connection.execute("SELECT count(*) FROM rows").fetchone()
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()
    assert twice == []
    return int(rows)


@pytest.mark.slow  # in `make test` the kills of tests/crash/test_kills.py hold the same, on a server
@pytest.mark.parametrize(("kind", "slots"), [("pipeline", 1), ("teacher", 4)])
def test_a_compile_that_was_killed_anywhere_ends_in_the_same_artifact(tmp_path: Path, kind: str, slots: int) -> None:
    given = {**search(kind, slots), "mirror": None}
    (tmp_path / "whole").mkdir()
    start = time.monotonic()
    assert in_child(lambda: compiled(model(tmp_path / "whole"), tmp_path / "whole" / "run", **given)) == 0
    took = time.monotonic() - start
    wanted, calls = artifact_bytes(tmp_path / "whole" / "run"), asked(tmp_path / "whole")
    assert len(calls) == len({*calls}) >= (300 if kind == "pipeline" else 100)
    rows = assert_one_row_each(tmp_path / "whole" / "run")

    rng = random.Random(kind)
    for number in range(scaled(8)):
        folder = tmp_path / str(number)
        folder.mkdir()
        given["mirror"] = None if number % MIRRORED == 0 else False
        endings = [killed_once(folder, given, rng, len(calls), took, thinking=number % 2 == 1) for _ in range(2)]
        assert in_child(partial(go_on, folder, given)) == 0

        assert artifact_bytes(folder / "run") == wanted
        assert assert_one_row_each(folder / "run") == rows
        again = {line: count for line, count in Counter(asked(folder)).items() if count > 1}
        kills = endings.count(-signal.SIGKILL)
        assert sum(again.values()) - len(again) <= kills * slots, "only what was in flight is paid again"


def go_on(folder: Path, given: dict[str, Any], hook: Callable[[int], None] | None = None) -> None:
    compiled(model(folder, hook), folder / "run", **given)


def killed_once(
    folder: Path, given: dict[str, Any], rng: random.Random, calls: int, took: float, *, thinking: bool
) -> int:
    """Compile in a child that is killed while the model thinks, or whenever; return how it ended."""
    if not thinking:
        return in_child(partial(go_on, folder, given), kill_after=rng.random() * took)
    moment = rng.randrange(1, calls)

    def hook(count: int) -> None:
        if count == moment:
            os.kill(os.getpid(), signal.SIGKILL)

    return in_child(partial(go_on, folder, given, hook))


def test_finished_evaluations_come_from_the_ledger_where_no_reply_is_kept(tmp_path: Path) -> None:
    whole = compiled(model(tmp_path, cached=False), tmp_path / "run")
    before = len(asked(tmp_path))

    again = compiled(model(tmp_path, cached=False), tmp_path / "run")

    assert len(asked(tmp_path)) == before
    assert (again.charged.calls, again.charged.tokens, again.paid.calls) == (
        whole.charged.calls,
        whole.charged.tokens,
        0,
    )
    assert again.artifact.sha256 == whole.artifact.sha256
    assert [row.outputs for row in again.compiled.rows] == [row.outputs for row in whole.compiled.rows]
    assert [row.score for row in again.report.baseline.rows] == [row.score for row in whole.report.baseline.rows]
    assert all(row.cached for row in again.compiled.rows)


CAPS: list[tuple[dict[str, Any], int]] = [({"calls": 150}, 6), ({"calls": 180}, 1), ({"tokens": 8000}, 6)]
"""Budgets, each with a number of slots; `make test-slow` takes larger ones with one slot and with six."""
FULL_CAPS: list[tuple[dict[str, Any], int]] = [
    (cap, slots) for cap in ({"calls": 260}, {"calls": 333}, {"tokens": 9000}) for slots in (1, 6)
]


@pytest.mark.parametrize(("cap", "slots"), FULL_CAPS if FULL else CAPS, ids=str)
def test_a_budget_that_ended_the_search_ends_it_at_the_same_place(
    tmp_path: Path, cap: dict[str, Any], slots: int
) -> None:
    given = {**search(slots=slots), "budget": Budget(**cap)}
    whole = compiled(model(tmp_path), tmp_path / "run", **given)
    before = len(asked(tmp_path))

    again = compiled(model(tmp_path), tmp_path / "run", **given)

    assert len(asked(tmp_path)) == before
    assert again.charged.calls == whole.charged.calls
    assert again.charged.tokens == whole.charged.tokens
    assert again.notes == whole.notes
    assert again.artifact.sha256 == whole.artifact.sha256


def test_a_damaged_row_is_repaired_from_the_cache_without_a_call(finished: Finished) -> None:
    tmp_path, whole = finished.folder, finished.result
    before, rng = len(asked(tmp_path)), random.Random(0)
    for _ in range(scaled(20)):
        connection = sqlite3.connect(tmp_path / "run" / "run.db")
        last = connection.execute("SELECT max(seq) FROM rows").fetchone()[0]
        connection.execute("UPDATE rows SET score = 1 - score WHERE seq = ?", (rng.randint(1, last),))
        connection.commit()
        connection.close()

        again = compiled(model(tmp_path), tmp_path / "run")

        assert len(asked(tmp_path)) == before
        assert again.artifact.sha256 == whole.artifact.sha256


def test_a_ledger_that_is_lost_is_made_again_from_the_cache(finished: Finished) -> None:
    tmp_path, whole = finished.folder, finished.result
    rows, before = assert_one_row_each(tmp_path / "run"), len(asked(tmp_path))
    for harm in (lambda path: path.unlink(), lambda path: path.write_bytes(b"x"), lambda path: os.truncate(path, 9000)):
        harm(tmp_path / "run" / "run.db")
        again = compiled(model(tmp_path), tmp_path / "run")
        assert again.artifact.sha256 == whole.artifact.sha256
        assert assert_one_row_each(tmp_path / "run") == rows
    assert len(asked(tmp_path)) == before


def test_a_full_disk_stops_a_compile_that_goes_on_later(finished: Finished) -> None:
    tmp_path, whole = finished.folder, finished.result
    finished.run.rename(tmp_path / "whole")
    child = os.fork()
    if child == 0:
        import resource

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, 150_000))
        # A log of its own: that of the folder may be as large as the limit, and then the model would fail, not the disk.
        own = FunctionLM(logged(tmp_path / "log of the child"), cache=ReplyCache(tmp_path / "cache"), version="1")
        try:
            compiled(own, tmp_path / "run")
        except LedgerError:
            os._exit(7)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    assert not (tmp_path / "run" / "artifact").exists()
    assert len(read_entries(tmp_path / "run" / "run.db")) > 0
    assert compiled(model(tmp_path), tmp_path / "run").artifact.sha256 == whole.artifact.sha256


def test_a_model_that_is_away_leaves_no_row(tmp_path: Path) -> None:
    def gone(count: int) -> None:
        if count > 20:
            raise ModelUnavailable("gone")

    with pytest.raises(ModelUnavailable):
        compiled(model(tmp_path, gone), tmp_path / "run")
    assert all(entry.row.failure is None for entry in read_entries(tmp_path / "run" / "run.db"))
    assert len(read_entries(tmp_path / "run" / "run.db")) == 10


# A metric that changed ------------------------------------------------------------------------------------------


def lenient(example: dspy.Example, prediction: dspy.Prediction, trace: Any = None) -> bool:
    return True


def strict(example: dspy.Example, prediction: dspy.Prediction, trace: Any = None) -> float:
    return 0.5 * right(example, prediction)


def test_another_metric_scores_what_is_stored_at_no_call(finished: Finished) -> None:
    tmp_path = finished.folder
    before = len(asked(tmp_path))
    with pytest.raises(RunMismatch, match=r"another metric\..*--rescore"):
        compiled(model(tmp_path), tmp_path / "run", metric=strict)

    for metric in (strict, lenient):
        again = compiled(model(tmp_path, cached=False), tmp_path / "run", metric=metric, rescore=True)
        assert len(asked(tmp_path)) == before
        assert again.report.baseline.n == len(VAL)
        assert again.paid.calls == 0
    assert again.report.baseline.mean == 1.0

    fresh = compiled(model(tmp_path), tmp_path / "fresh", metric=lenient)
    assert compiled(model(tmp_path), tmp_path / "run", metric=lenient).artifact.sha256 == fresh.artifact.sha256


def test_a_metric_that_orders_alike_ends_in_the_same_candidate(finished: Finished) -> None:
    whole = finished.result
    again = compiled(model(finished.folder), finished.run, metric=strict, rescore=True)
    assert again.report.candidate == whole.report.candidate
    assert again.compiled.mean == pytest.approx(whole.compiled.mean / 2)
    assert again.verdict == whole.verdict
    assert again.charged == whole.charged


def test_a_new_judge_is_asked_and_the_program_is_not(finished: Finished) -> None:
    tmp_path = finished.folder
    before, judged = len(asked(tmp_path)), tmp_path / "judged"
    judged.mkdir()
    critic = FunctionLM(logged(judged / "log", lambda seen: "good"), version="2", name="critic")
    metric = judge("The colour is named.", output="colour", lm=critic, reason=False)

    again = compiled(model(tmp_path), tmp_path / "run", metric=metric, rescore=True)

    assert len(asked(tmp_path)) == before
    assert len(asked(judged)) == again.paid.calls > 0
    assert any("agreement" in note for note in again.notes)
    replay = compiled(model(tmp_path), tmp_path / "run", metric=metric)
    assert replay.notes == again.notes or any("--rescore" in note for note in again.notes)


def test_a_metric_that_failed_is_asked_again_about_the_stored_outputs(tmp_path: Path) -> None:
    broken = [True]

    class Helper:
        def __call__(self, example: dspy.Example, prediction: dspy.Prediction, trace: Any = None) -> bool:
            if broken[0]:
                raise ValueError("no connection")
            return right(example, prediction)

    small: dict[str, Any] = {"program": dspy.Predict(Colour), "compiler": ts.LabeledFewShot(2), "metric": Helper()}
    lm = FunctionLM(logged(tmp_path / "log", world()))
    with pytest.raises(MetricError):
        compiled(lm, tmp_path / "run", **small)
    (once,), broken[0] = asked(tmp_path), False
    result = compiled(lm, tmp_path / "run", **small)
    assert (result.report.baseline.metric_errors, result.report.baseline.n) == (0, len(VAL))
    assert asked(tmp_path).count(once) == 1, "what the metric failed on was not run again"
    assert result.charged.calls == len(asked(tmp_path))
    assert compiled(lm, tmp_path / "run", **small).paid.calls == 0


# Other runs -------------------------------------------------------------------------------------------------------


def test_new_sets_the_old_run_aside(finished: Finished) -> None:
    tmp_path = finished.folder
    kept = artifact_bytes(tmp_path / "run")
    for number in (1, 2):
        compiled(model(tmp_path), tmp_path / "run", metric=lenient, new=True)
        assert (tmp_path / f"run.old-{number}" / "run.db").exists()
    assert artifact_bytes(tmp_path / "run.old-1") == kept


def test_a_fork_starts_from_what_the_other_run_has_evaluated(tmp_path: Path) -> None:
    compiled(model(tmp_path, cached=False), tmp_path / "run")
    before = len(asked(tmp_path))

    other = {"compiler": ts.RandomSearch(metric=right, num_candidates=4, max_labeled_demos=4), "fork": tmp_path / "two"}
    forked = compiled(model(tmp_path, cached=False), tmp_path / "run", **other)

    paid = len(asked(tmp_path)) - before
    assert 0 < paid == forked.paid.calls < forked.charged.calls
    assert compiled(model(tmp_path, cached=False), tmp_path / "run", **other).paid.calls == 0, "the fork goes on"
    assert forked.artifact.path == tmp_path / "two" / "artifact"


def test_a_fork_with_another_metric_uses_no_score_of_the_old_one(finished: Finished) -> None:
    forked = compiled(model(finished.folder), finished.run, metric=lenient, fork=finished.folder / "two")
    assert forked.report.baseline.mean == 1.0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"run": None, "new": True}, "Name it"),
        ({"run": None, "rescore": True}, "Name it"),
        ({"fork": "run"}, "Given: fork='run'"),
        ({"rescore": True}, "nothing to rescore: there is no run in 'runs/run'"),
        ({"rescore": True, "new": True}, "nothing to rescore: `new`"),
        ({"rescore": True, "fork": "two"}, "nothing to rescore: there is no run in 'runs/run'"),
        ({"run": "nothing", "fork": "two"}, "no run in"),
    ],
    ids=str,
)
def test_what_is_about_no_run_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=message):
        compiled(**{"lm": model(tmp_path), "run": "run", **options})
    assert asked(tmp_path) == []
    assert not (tmp_path / "runs" / "run").exists()


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"temperature": 0.7}, "lm option temperature"),
        ({"max_tokens": 7}, "lm option max_tokens"),
        ({"version": "2"}, "lm digest"),
    ],
    ids=str,
)
def test_another_option_or_digest_of_the_model_is_another_run(
    tmp_path: Path, options: dict[str, Any], named: str
) -> None:
    given = {"version": "1"}
    small = {"program": dspy.Predict(Colour), "compiler": ts.LabeledFewShot(2)}
    compiled(FunctionLM(world(), **given), tmp_path / "run", **small)
    with pytest.raises(RunMismatch, match=rf"another {named}\."):
        compiled(FunctionLM(world(), **{**given, **options}), tmp_path / "run", **small)


def test_another_source_of_the_program_is_another_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (
        "import dspy\nfrom tests.compilers.worlds import Colour\n\n\nclass Mine(dspy.Module):\n"
        "    def __init__(self):\n        super().__init__()\n        self.step = dspy.Predict(Colour)\n\n"
        "    def forward(self, thing):\n        return self.step(thing=thing)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    small = {"compiler": ts.LabeledFewShot(2)}
    for turn, body in enumerate((text, text.replace("thing=thing", "thing=thing.strip()"))):
        (tmp_path / f"mine_{turn}.py").write_text(body, encoding="utf-8")
        kind = __import__(f"mine_{turn}").Mine
        kind.__module__ = "mine_0"  # the same name, another source
        if turn == 0:
            compiled(FunctionLM(world()), tmp_path / "run", program=kind(), **small)
        else:
            import linecache
            import sys

            sys.modules["mine_0"] = sys.modules["mine_1"]
            linecache.clearcache()
            with pytest.raises(RunMismatch, match=r"another source\."):
                compiled(FunctionLM(world()), tmp_path / "run", program=kind(), **small)


# What is not kept -------------------------------------------------------------------------------------------------


def test_a_run_that_keeps_no_replies_says_so_at_its_start(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    small = {"program": dspy.Predict(Colour), "compiler": ts.LabeledFewShot(2)}
    with caplog.at_level(logging.WARNING, "tunesmith"):
        compiled(FunctionLM(world()), tmp_path / "one", **small)
        assert "a resume pays again" in caplog.text
        caplog.clear()
        compiled(FunctionLM(world(), cache=ReplyCache(tmp_path / "cache")), tmp_path / "two", **small)
        compiled(FunctionLM(world()), None, **small)
        assert "pays again" not in caplog.text


@pytest.mark.parametrize("kind", ["pipeline" if FULL else "small", "teacher"])
def test_a_run_that_stores_nothing_keeps_scores_and_goes_on_to_the_same_artifact(tmp_path: Path, kind: str) -> None:
    whole = compiled(model(tmp_path, cached=False), tmp_path / "run", store=False, **search(kind))
    for path in (tmp_path / "run").glob("run.db*"):
        assert b"thing " not in path.read_bytes()
    again = compiled(model(tmp_path, cached=False), tmp_path / "run", store=False, **search(kind))
    assert again.artifact.sha256 == whole.artifact.sha256
    assert again.paid.calls < whole.paid.calls / 2, "but for the demos of a teacher, which are made again"


def test_a_compiler_of_its_own_keeps_a_ledger_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    lm = model(tmp_path, cached=False)
    compiler: Any = search("small")["compiler"]
    with dspy.context(lm=lm):
        first = compiler.compile(Pipeline(), trainset=TRAIN[:20], valset=VAL, run="mine", mirror=False)
        before = len(asked(tmp_path))
        again = compiler.compile(Pipeline(), trainset=TRAIN[:20], valset=VAL, run="mine", mirror=False)
    assert len(asked(tmp_path)) == before > 0
    assert again.compile_report.candidate == first.compile_report.candidate
    assert again.compile_report.charged == first.compile_report.charged
    with Ledger(tmp_path / "runs" / "mine" / "run.db") as ledger:
        assert len(ledger) > 0
