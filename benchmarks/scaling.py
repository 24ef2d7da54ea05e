"""One evaluation on many workers: the driver's CPU, the speed of more workers, and a driver of 1,000 hosts.

python benchmarks/scaling.py

A model that answers after 200 ms stands for a real one (20 ms for the driver's CPU), so that many workers fit on one
machine. They are Dask workers of one thread, several in a process. The 1,000 hosts are connections of one process that
talk as workers do; the driver is the real one. Writes `scaling.json`.
"""

import json
import os
import platform
import resource
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import distributed
import dspy
from measure import ENVIRONMENT
from scaling_world import metric, program

import tunesmith as ts
from tunesmith.data import example_key
from tunesmith.evaluation import Executor, Ledger, LedgerView, Runner, executing
from tunesmith.evaluation.executors import dask
from tunesmith.evaluation.ledger_columns import columns_of
from tunesmith.evaluation.ledger_entry import Entry, RowKey
from tunesmith.evaluation.subject import Subject
from tunesmith.lm import metered

HERE = Path(__file__).parent
_COMMAND = [sys.executable, "-c", "import scaling_world; scaling_world.main()"]  # under its name, as workers know it
_WORLD: dict[str, Any] = {"cwd": HERE, "env": {**ENVIRONMENT, "PYTHONPATH": str(HERE.parent)}}
_PER_PROCESS = 8  # Dask workers
_SECONDS = 6  # of each measurement, about
HOSTS = 1000
SLOW, FAST = 200, 20  # milliseconds of the model


def main() -> None:
    found: dict[str, Any] = {
        "machine": {"cores": os.cpu_count(), "python": platform.python_version()},
        "versions": {"distributed": distributed.__version__},
        "workers": [],
    }
    with _scheduler() as address:
        for count, delay in ((1, SLOW), (4, SLOW), (16, SLOW), (8, FAST)):
            with _workers(address, count):
                found["workers"].append(_measured(address, count, delay))
                print(found["workers"][-1])
    found["hosts"] = [_hosts(evaluations, ledger=ledger) for evaluations in (4_000, 12_000) for ledger in (False, True)]
    speed = {row["workers"]: row["per_second"] for row in found["workers"] if row["delay_ms"] == SLOW}
    found["goals"] = {f"speed_{count}": speed[count] / speed[1] for count in speed if count > 1}
    found["goals"]["driver_ms"] = next(row["cpu_ms"] for row in found["workers"] if row["delay_ms"] == FAST)
    (HERE / "scaling.json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


def _examples(count: int, start: int = 0) -> list[Any]:
    return [dspy.Example(question=f"{n}?", answer="yes").with_inputs("question") for n in range(start, start + count)]


@contextmanager
def _scheduler() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "dask", "scheduler", "--host", "127.0.0.1", "--port", str(port), "--no-dashboard"]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, **_WORLD)
    try:
        yield f"tcp://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


@contextmanager
def _workers(address: str, count: int) -> Iterator[None]:
    parts = [min(_PER_PROCESS, count - start) for start in range(0, count, _PER_PROCESS)]
    started = [
        subprocess.Popen([*_COMMAND, "workers", address, str(part)], stderr=subprocess.DEVNULL, **_WORLD)
        for part in parts
    ]
    try:
        with distributed.Client(address, timeout=60, set_as_default=False) as client:
            client.wait_for_workers(count, timeout=180)
        yield
    finally:
        for process in started:
            process.kill()
            process.wait()


def _measured(address: str, count: int, delay: int) -> dict[str, Any]:
    """Return the speed of `count` workers and the driver's CPU, once the workers are warm."""
    lm = ts.lm(f"waiting/{delay}", cache=False)
    number = round(count * _SECONDS * 1000 / delay)
    with executing(ts.DaskExecutor(address)):
        ts.evaluate(program, _examples(2 * count), metric, lm=lm)
        begun, cpu = time.perf_counter(), time.process_time()
        report = ts.evaluate(program, _examples(number, 10**6), metric, lm=lm)
        seconds, cpu = time.perf_counter() - begun, time.process_time() - cpu
    assert report.mean == 1.0
    return {
        "workers": count,
        "evaluations": number,
        "per_second": number / seconds,
        "delay_ms": delay,
        "best": count * 1000 / delay,
        "cpu_ms": 1000 * cpu / number,
    }


class _Hosts:
    """In place of a Dask client: the seats are connections of one process."""

    status = "running"

    def __init__(self, reply: dict[str, Any]) -> None:
        self._reply = reply
        self.process: subprocess.Popen[bytes] | None = None

    def scheduler_info(self, **_: Any) -> dict[str, int]:
        return {"n_workers": HOSTS, "total_threads": HOSTS}

    def map(self, _: Any, texts: list[str], **__: Any) -> list[Any]:
        if self.process is None:
            self.process = subprocess.Popen([*_COMMAND, "hosts"], stdin=subprocess.PIPE, **_WORLD)
            assert self.process.stdin is not None
            given = {"place": json.loads(texts[0]), "count": HOSTS, "reply": self._reply}
            self.process.stdin.write(json.dumps(given).encode() + b"\n")
            self.process.stdin.flush()
        return [_Task() for _ in texts]

    def cancel(self, *_: Any, **__: Any) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()


class _Task:
    status = "pending"

    def done(self) -> bool:
        return False


class _Driver(dask.DaskExecutor):
    """The real executor over hosts that are not there."""

    name = "simulated hosts"

    def __init__(self, reply: dict[str, Any]) -> None:
        super().__init__(listen="127.0.0.1:0")
        self._cluster = dask._Cluster(_Hosts(reply), False, ("127.0.0.1", 0), 30.0)


def _reply() -> dict[str, Any]:
    """Return a real row of this program as a worker sends it."""
    example, calls, scope = _examples(1)[0], list[Any](), list[Any]([None])
    subject = Subject(program, metric, lm=ts.lm("waiting/0", cache=False), tracing=True)
    with subject.settings(scope), metered():
        row, notes, bare = subject.evaluate(example_key(example), example, scope, calls)
    columns = list(columns_of(Entry(RowKey("", "", "", "", "eval", row.key), row, tuple(calls), notes, bare=bare), 0))
    return {"row": columns, "seconds": 0.2}


def _hosts(evaluations: int, *, ledger: bool) -> dict[str, Any]:
    lm = ts.lm("waiting/0", cache=False)
    executor: Executor = _Driver(_reply())
    with tempfile.TemporaryDirectory() as folder, executing(executor):
        view = None
        if ledger:
            view = LedgerView.of(
                Ledger(Path(folder) / "run.db"), program="p", candidate="c", models="m", lm=lm, metric="m"
            )
        runner = Runner(program, metric, lm=lm, view=view)
        runner.run(_examples(2 * HOSTS, 10**7))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        begun, cpu = time.perf_counter(), time.process_time()
        report = runner.run(_examples(evaluations))
        seconds, cpu = time.perf_counter() - begun, time.process_time() - cpu
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        size = sum(file.stat().st_size for file in Path(folder).iterdir()) if ledger else 0
    assert report.mean == 1.0
    found = {
        "hosts": HOSTS,
        "evaluations": evaluations,
        "ledger": ledger,
        "cpu_ms": 1000 * cpu / evaluations,
        "per_second": evaluations / seconds,
        "memory_kb": memory / evaluations,
        "disk_kb": size / 1024 / evaluations,
    }
    print(found)
    return found


if __name__ == "__main__":
    main()
