"""What running a program costs beyond the model, with the worker reused, and whether many programs leave anything.

    nice -n 10 python benchmarks/pal.py [PROGRAMS]

Runs small programs of the kind that answer a word problem: read, run in the worker and answered. Measures the time of
one program, by the clock and in CPU seconds of this process, and what memory, open files and workers grew by over
PROGRAMS programs (10,000) after 1,000 to warm up. One in ten fails. Writes benchmarks/pal.json. Exit code 1 if a
program takes more than 3 ms by the clock, or anything grew: a file, a worker, or more than 5 MB in a process.
"""

import gc
import os
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import psutil
from measure import Row, report

from tunesmith.modules.reasoning.python_subset import prepared
from tunesmith.modules.reasoning.sandbox import Limits, run_python

LIMIT_MS, GROWTH_MB = 3.0, 5.0
OUT = Path(__file__).with_suffix(".json")
PROGRAM = """def solution():
    money = {number}
    bagels = 5
    price = 3
    left = money - bagels * price
    return left{fails}
"""


def one(number: int) -> None:
    fails = " / 0" if number % 10 == 9 else ""
    ready = prepared(PROGRAM.format(number=number, fails=fails))
    found = run_python(ready.code, ready.answer, {}, Limits())
    assert (found.error is not None) if fails else found.answer == str(number - 15), found


def state() -> dict[str, Any]:
    """Return what must not grow. A worker that is replaced after 10,000 programs is not a new one."""
    gc.collect()
    me = psutil.Process()
    workers = [child for child in me.children() if "monty" in child.name()]
    return {
        "memory of this process, MB": me.memory_info().rss / 2**20,
        "memory of workers, MB": sum(child.memory_info().rss for child in workers) / 2**20,
        "open files": me.num_fds() if os.name == "posix" else 0,
        "threads": me.num_threads(),
        "workers": len(workers),
    }


def measured(programs: int) -> list[Row]:
    for number in range(1000):
        one(number)
    before, times, cpu = state(), [], time.process_time()
    for number in range(programs):
        began = time.perf_counter()
        one(number)
        times.append(1000 * (time.perf_counter() - began))
    cpu, after = time.process_time() - cpu, state()
    grown = {name: round(value - before[name], 2) for name, value in after.items()}
    slow = round(sorted(times)[int(0.99 * len(times))], 2)
    memory = [value for name, value in grown.items() if name.endswith("MB")]
    left = [value for name, value in grown.items() if not name.endswith("MB")]
    details = {"p99": slow, "cpu_ms": round(1000 * cpu / programs, 3)}
    over = f"over {programs:,} programs"
    return [
        Row("pal_ms", "ms of a program beyond the model, median", statistics.median(times), LIMIT_MS, details=details),
        Row("pal_memory", f"MB that a process grows by {over}", max(memory), GROWTH_MB, details=grown),
        Row("pal_left", f"files, threads and workers that are left {over}", max(left), 0, details=grown),
    ]


def main() -> int:
    return report(measured(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000), OUT)


if __name__ == "__main__":
    sys.exit(main())
