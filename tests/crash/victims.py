"""A compile to be killed: in a child of its own, against a server in another process that knows what was paid."""

import json
import os
import resource
import signal
import sqlite3
import subprocess
import sys
import threading
import traceback
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dspy

import tunesmith as ts
from tests.crash.rule import colour_of
from tests.experiments.plain_programs import Pipeline
from tests.protocol import ServerProcess
from tunesmith.errors import TunesmithError
from tunesmith.experiments import compile_program
from tunesmith.lm import ReplyCache

INSTRUCTIONS = ("Name the colour.", "Which colour is it?", "Think of the thing, then of its colour.")
REFUSED = 7  # the exit status of a child that ended with an error of tunesmith's
KEY = "kind, program, candidate, lm, metric, mode, example, rollout"


class RuleServer(ServerProcess):
    """`python -m tests.crash`, killed at the end."""

    def start(self) -> None:
        command = [sys.executable, "-m", "tests.crash", "--port", str(self.port)]
        root = Path(__file__).parents[2]
        self._process = subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the server did not start"
        self.port = json.loads(line)["port"]

    def wait_for(self, calls: int) -> None:
        """Return when that many calls have come since the last `take`."""
        self._ask(f"/_test/wait/{calls}")

    def take(self) -> list[str]:
        """Return what every call since the last time was about, in the order of arrival."""
        return self._ask("/_test/take")


def things(*numbers: int) -> list[dspy.Example]:
    return [dspy.Example(thing=f"thing {n}", colour=colour_of(n)).with_inputs("thing") for n in numbers]


def right(example: dspy.Example, prediction: dspy.Prediction, trace: Any = None) -> bool:
    return bool(example.colour == prediction.colour)


@dataclass(frozen=True)
class Work:
    """One compile of two predictors, with 8 candidates.

    Attributes:
        server: who is asked.
        val: how many examples validate, and as many test.
        teacher: whether demos are bootstrapped, from runs of the program itself: nothing labels its first predictor.
        slots: calls on the way at once.
        candidates: how many are drawn.
    """

    server: RuleServer
    val: int
    teacher: bool = False
    slots: int = 1
    candidates: int = 8

    def __call__(self, folder: Path) -> None:
        """Compile in `folder`, or go on there."""
        os.environ["TUNESMITH_HOME"] = str(folder / "home")
        compile_program(
            Pipeline(),
            metric=right,
            trainset=things(*range(12)),
            valset=things(*range(100, 100 + self.val)),
            testset=things(*range(200, 200 + self.val)),
            compiler=ts.RandomSearch(
                metric=right,
                instructions=() if self.teacher else INSTRUCTIONS,
                num_candidates=self.candidates,
                max_labeled_demos=4,
                max_bootstrapped_demos=4 if self.teacher else 0,
            ),
            lm=ts.lm("ollama/m", host=self.server.url, cache=ReplyCache(folder / "cache"), slots=self.slots),
            run=folder / "run",
        )


def started(work: Callable[[Path], object], folder: Path) -> int:
    """Do `work` in a forked process and return its id; what it raised is in the file `error` afterwards."""
    folder.mkdir(exist_ok=True)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            work(folder)
            code = 0
        except TunesmithError as error:
            code = REFUSED
            (folder / "error").write_text(str(error), encoding="utf-8")
        except BaseException:
            (folder / "error").write_text(traceback.format_exc(), encoding="utf-8")
        finally:
            os._exit(code)
    return child


def ended(child: int) -> int:
    """Wait for a process and return how it ended."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def finish(work: Callable[[Path], object], folder: Path) -> None:
    """Do `work` in a forked process, to its end."""
    code = ended(started(work, folder))
    assert code == 0, (folder / "error").read_text(encoding="utf-8") if code in (1, REFUSED) else code


# What it left -----------------------------------------------------------------------------------------------------


def artifact_of(folder: Path) -> tuple[bytes, bytes]:
    """Return the bytes of an artifact's files, but for times and paid counts, which are no part of its identity."""
    artifact = folder / "run" / "artifact"
    manifest = json.loads((artifact / "manifest.json").read_text(encoding="utf-8"))
    identity = {name: value for name, value in manifest.items() if not name.startswith("unhashed")}
    return (artifact / "state.json").read_bytes(), json.dumps(identity).encode()


def rows_of(folder: Path) -> list[tuple[Any, ...]]:
    """Return the ledger's rows but for times; none is there twice, and the file is sound."""
    with closing(sqlite3.connect(folder / "run" / "run.db")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute(f"SELECT {KEY} FROM rows GROUP BY {KEY} HAVING count(*) > 1").fetchall() == []
        return connection.execute(
            f"SELECT {KEY}, score, fault, error, calls, tokens FROM rows ORDER BY {KEY}"
        ).fetchall()


@dataclass(frozen=True)
class Whole:
    """What an undisturbed compile did.

    Attributes:
        work: the compile.
        folder: where it was.
        artifact, rows: what it left.
        calls: what was asked, in order.
        moments: every moment that can be counted in a child, and how often it came.
        largest: bytes of the largest file it ever had.
    """

    work: Work
    folder: Path
    artifact: tuple[bytes, bytes]
    rows: list[tuple[Any, ...]]
    calls: list[str]
    moments: dict[str, int]
    largest: int

    @classmethod
    def of(cls, work: Work, folder: Path) -> "Whole":
        work.server.take()
        finish(lambda place: counted(work, place), folder)
        calls = work.server.take()
        assert len(calls) == len(set(calls)), "nothing is asked twice"
        moments = json.loads((folder / "moments").read_text(encoding="utf-8"))
        largest = int((folder / "largest").read_text(encoding="utf-8"))
        return cls(work, folder, artifact_of(folder), rows_of(folder), calls, moments, largest)

    def check(self, folder: Path, before: list[str]) -> None:
        """Go on in `folder`, where a compile was killed that had asked `before`, and compare the end."""
        self.check_end(folder)
        calls = before + self.work.server.take()
        assert set(calls) == set(self.calls)
        assert len(calls) - len(set(calls)) <= self.work.slots, "only what was on the way is paid again"

    def check_end(self, folder: Path) -> None:
        """Go on in `folder`, and compare what is there then."""
        finish(self.work, folder)
        assert artifact_of(folder) == self.artifact
        assert rows_of(folder) == self.rows


# Moments ----------------------------------------------------------------------------------------------------------


class Moments:
    """Calls `act` with the name and number of every moment: before and after each commit and each rename.

    Made in a child, for the rest of its life.

    Attributes:
        counts: how often each moment came.
        is_full: whether no database may grow any more.
    """

    def __init__(self, act: Callable[[str, int], None]) -> None:
        self.counts: Counter[str] = Counter()
        self.is_full = False
        self._act, self._lock = act, threading.Lock()
        moments, connect = self, sqlite3.connect

        class Watched(sqlite3.Connection):
            def __init__(self, database: Any, *given: Any, **options: Any) -> None:
                super().__init__(database, *given, **options)
                self.name = Path(os.fsdecode(database)).name.partition("?")[0]

            def execute(self, sql: str, *given: Any) -> sqlite3.Cursor:
                if moments.is_full:
                    super().execute("PRAGMA max_page_count = 1")  # SQLite takes the size it has
                if sql != "COMMIT":
                    return super().execute(sql, *given)
                moments.come(f"before a commit of {self.name}")
                found = super().execute(sql, *given)
                moments.come(f"after a commit of {self.name}")
                return found

        def watched(database: Any, *given: Any, **options: Any) -> sqlite3.Connection:
            return connect(database, *given, **{"factory": Watched, **options})  # the mirror has one of its own

        sqlite3.connect = watched  # type: ignore[assignment]
        os.rename, os.replace = self._watched(os.rename), self._watched(os.replace)

    def _watched(self, rename: Callable[..., None]) -> Callable[..., None]:
        def watched(source: Any, target: Any, **options: Any) -> None:
            name = Path(os.fsdecode(target)).name
            self.come(f"before a rename to {name}")
            rename(source, target, **options)
            self.come(f"after a rename to {name}")

        return watched

    def come(self, name: str) -> None:
        with self._lock:
            self.counts[name] += 1
            number = self.counts[name]
        self._act(name, number)


def counted(work: Callable[[Path], object], folder: Path) -> None:
    """Do `work` and write down its moments, and how large a file it ever had."""
    largest = 0

    def act(_name: str, _number: int) -> None:
        nonlocal largest
        largest = max([largest, *(path.stat().st_size for path in folder.glob("*/*.db*"))])

    moments = Moments(act)
    work(folder)
    (folder / "moments").write_text(json.dumps(moments.counts), encoding="utf-8")
    (folder / "largest").write_text(str(largest), encoding="utf-8")


def killed_at(work: Callable[[Path], object], folder: Path, name: str, number: int) -> None:
    """Do `work` until the moment `name` comes for that time, then die."""

    def act(now: str, count: int) -> None:
        if (now, count) == (name, number):
            os.kill(os.getpid(), signal.SIGKILL)

    Moments(act)
    work(folder)


def filled_at(work: Callable[[Path], object], folder: Path, name: str, number: int) -> None:
    """Do `work` on a disk where, from the moment `name` on, no database has room to grow."""

    def act(now: str, count: int) -> None:
        moments.is_full = moments.is_full or (now, count) == (name, number)

    moments = Moments(act)
    work(folder)


def limited_to(work: Callable[[Path], object], folder: Path, size: int) -> None:
    """Do `work` where no file may be larger than `size` bytes."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, most))
    try:
        work(folder)
    finally:  # there must be room to say what happened
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
