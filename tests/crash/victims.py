"""A compile to be killed: in a child of its own, against a server in another process that knows what was paid."""

import gc
import json
import os
import re
import resource
import shutil
import signal
import sqlite3
import tempfile
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
from tests.compilers.asking import Asking
from tests.crash.rule import answer, colour_of
from tests.experiments.plain_programs import Pipeline
from tests.protocol import FakeModel, ProtocolServer, ServerProcess
from tunesmith.artifacts import verify
from tunesmith.errors import TunesmithError
from tunesmith.experiments import compile_program
from tunesmith.lm import ReplyCache
from tunesmith.sqlite import Database

INSTRUCTIONS = ("Name the colour.", "Which colour is it?", "Think of the thing, then of its colour.")
PRICE = (0.15, 0.6)  # dollars of many calls, added up in another order, are other numbers
REFUSED = 7  # the exit status of a child that ended with an error of tunesmith's
KEY = "kind, program, candidate, lm, metric, mode, example, rollout"


class RuleServer(ServerProcess):
    """`python -m tests.crash`, killed at the end."""

    module = "tests.crash"

    def wait_for(self, calls: int) -> None:
        """Return when that many calls have come since the last `take`."""
        while not self._ask(f"/_test/wait/{calls}"):
            assert self._process is not None
            assert self._process.poll() is None, "the server is gone"

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
        url: of the server that is asked.
        val: how many examples validate, and as many test.
        teacher: whether demos are bootstrapped, from runs of the program itself: nothing labels its first predictor.
        slots: calls on the way at once.
        candidates: how many are drawn.
        mirrored: whether a mirror is written, which takes longer than all else but the calls.
        asks: whether the compiler asks for instructions instead, in so many rounds of four as there are candidates.
    """

    url: str
    val: int
    teacher: bool = False
    slots: int = 1
    candidates: int = 8
    mirrored: bool = True
    asks: bool = False

    def __call__(self, folder: Path) -> None:
        """Compile in `folder`, or go on there."""
        os.environ["TUNESMITH_HOME"] = str(folder / "home")
        compile_program(
            Pipeline(),
            metric=right,
            trainset=things(*range(12)),
            valset=things(*range(100, 100 + self.val)),
            testset=things(*range(200, 200 + self.val)),
            compiler=self._compiler(),
            lm=ts.lm("ollama/m", host=self.url, cache=ReplyCache(folder / "cache"), slots=self.slots, price=PRICE),
            run=folder / "run",
            mirror=None if self.mirrored else False,
        )

    def _compiler(self) -> ts.Compiler:
        if self.asks:
            return Asking(rounds=self.candidates)
        return ts.RandomSearch(
            metric=right,
            instructions=() if self.teacher else INSTRUCTIONS,
            num_candidates=self.candidates,
            max_labeled_demos=4,
            max_bootstrapped_demos=4 if self.teacher else 0,
        )


def warm_up() -> None:
    """Do small compiles in this process, with a server of their own: what is done once per process is then done."""
    before = os.environ.get("TUNESMITH_HOME")
    with ProtocolServer([FakeModel("m", reply=answer)]) as server, tempfile.TemporaryDirectory() as folder:
        for teacher in (False, True):
            work = Work(server.url, 2, teacher, candidates=1, mirrored=teacher)
            for _ in range(2):
                work(Path(folder) / str(teacher))
    if before is not None:
        os.environ["TUNESMITH_HOME"] = before


def started(work: Callable[[Path], object], folder: Path) -> int:
    """Do `work` in a forked process and return its id; what it raised is in the file `error` afterwards."""
    folder.mkdir(exist_ok=True)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            gc.freeze()  # what was there before is shared with the parent as long as nobody goes through it
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


def content_of(artifact: Path) -> tuple[bytes, str, str]:
    """Return the bytes of an artifact's files, and its identity.

    Only the values of `unhashed` and `unhashed_sha256` are left out, which are times and what was paid.
    """
    assert sorted(path.name for path in artifact.iterdir()) == ["manifest.json", "state.json"]
    manifest = (artifact / "manifest.json").read_bytes().decode()
    for pattern in (
        r'(?ms)(?<=^  "unhashed": )\{$.*?^  \}(?=,$)',
        r'(?m)(?<=^  "unhashed_sha256": )"[0-9a-f]{64}"(?=,$)',
    ):
        manifest, found = re.subn(pattern, "?", manifest)
        assert found == 1
    return (artifact / "state.json").read_bytes(), manifest, verify(artifact).sha256


def stored_in(folder: Path) -> set[str]:
    """Return the marks of all calls whose replies a killed compile has stored; its files are left as they are."""
    if not (folder / "cache" / "cache.db").exists():
        return set()
    with tempfile.TemporaryDirectory(dir=folder) as copies:
        for path in (folder / "cache").glob("cache.db*"):
            shutil.copy(path, copies)
        with closing(sqlite3.connect(Path(copies) / "cache.db")) as connection:
            has_rows = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'Cache'").fetchone()
            rows = connection.execute("SELECT value FROM Cache").fetchall() if has_rows else []
    marks = [mark for (value,) in rows for mark in re.findall(rb"mark ([a-p]{20})", value)]
    assert len(marks) == len(set(marks)) == len(rows)
    return {mark.decode() for mark in marks}


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
        server: who was asked.
        folder: where it was.
        artifact, rows: what it left.
        calls: what was asked, in order.
        moments: every moment that can be counted in a child, and how often it came.
        largest: bytes of the largest file it ever had.
    """

    work: Work
    server: RuleServer
    folder: Path
    artifact: tuple[bytes, str, str]
    rows: list[tuple[Any, ...]]
    calls: list[str]
    moments: dict[str, int]
    largest: int

    @classmethod
    def of(cls, work: Work, server: RuleServer, folder: Path) -> "Whole":
        server.take()
        finish(lambda place: counted(work, place), folder)
        calls = server.take()
        assert len(calls) == len(set(calls)), "nothing is asked twice"
        assert stored_in(folder) == set(calls)
        moments = json.loads((folder / "moments").read_text(encoding="utf-8"))
        largest = int((folder / "largest").read_text(encoding="utf-8"))
        return cls(
            work, server, folder, content_of(folder / "run" / "artifact"), rows_of(folder), calls, moments, largest
        )

    def counted_anew(self) -> "Whole":
        """Return this; calls that came before do not count. Runs of other tests leave some, with the same marks."""
        self.server.take()
        return self

    def check(self, folder: Path) -> int:
        """Go on in `folder`, where a compile was killed, and compare the end; return how many calls it had paid for.

        Exactly those calls are paid again that had reached the server, and whose replies were not stored yet: at most
        one for each slot.
        """
        before, stored = self.server.take(), stored_in(folder)
        on_the_way = set(before) - stored
        assert len(before) == len(set(before))
        assert stored <= set(before)
        assert len(on_the_way) <= self.work.slots
        self.check_end(folder)
        after = self.server.take()
        assert Counter(after) == Counter(set(self.calls) - stored), "what was stored is never paid again"
        assert Counter(before) + Counter(after) == Counter(self.calls) + Counter(on_the_way)
        return len(before)

    def check_end(self, folder: Path) -> None:
        """Go on in `folder`, and compare what is there then."""
        finish(self.work, folder)
        assert content_of(folder / "run" / "artifact") == self.artifact
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

        class Watched(Database):
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
            if options.get("factory") in (None, Database):  # the mirror has one of its own
                options["factory"] = Watched
            return connect(database, *given, **options)

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
