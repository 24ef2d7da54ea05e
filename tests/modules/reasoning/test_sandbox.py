"""The sandbox: what a program must not reach, what it may use, and what happens to its process."""

import json
import multiprocessing
import multiprocessing.connection
import os
import random
import sys
import threading
import time
from collections.abc import Iterator

import psutil
import pytest

from tests.each import each
from tests.scale import scaled
from tunesmith.modules.reasoning.python_subset import prepared
from tunesmith.modules.reasoning.sandbox import Limits, Ran, run_python

SHORT = Limits(seconds=0.5, megabytes=32, depth=200, characters=2000)
LOOSE = 1.5

# What must not work: programs that would do no harm if they did.
REFUSED = {
    "files": [
        "open('/etc/hostname').read()",
        "open('tunesmith-probe', 'w').write('x')",
        "open(0).read()",
        "from pathlib import Path\nPath('/etc/hostname').read_text()",
        "from pathlib import Path\nPath('probe').write_text('x')",
        "from pathlib import Path\nlist(Path('/').iterdir())",
        "from pathlib import Path\nPath.home()",
        "from pathlib import Path\nPath('probe').mkdir()",
        "import os\nos.listdir('/')",
        "import os\nos.listdir('.')",
        "import os\nos.remove('tunesmith-probe')",
        "import os\nos.mkdir('tunesmith-probe')",
        "import os\nos.stat('/')",
        "import io\nio.open('/etc/hostname')",
        "import tempfile\ntempfile.mkdtemp()",
        "import shutil\nshutil.disk_usage('/')",
        "import glob\nglob.glob('/*')",
        "import sqlite3\nsqlite3.connect(':memory:')",
    ],
    "network": [
        "import socket\nsocket.socket()",
        "import urllib.request",
        "import http.client",
        "import ssl",
        "import ftplib",
        "import requests",
        "import httpx",
        "import asyncio\nasyncio.open_connection('localhost', 1)",
    ],
    "environment": [
        "import os\nos.environ['HOME']",
        "import os\nos.environ.get('HOME')",
        "import os\nos.getenv('HOME')",
        "import os\nos.getpid()",
        "import os\nos.uname()",
        "import os\nos.getlogin()",
        "import os\nos.cpu_count()",
        "import sys\nsys.path",
        "import sys\nsys.modules",
        "import sys\nsys._getframe()",
        "import platform\nplatform.node()",
        "import getpass\ngetpass.getuser()",
        "input()",
    ],
    "processes": [
        "import os\nos.system('true')",
        "import os\nos.popen('true')",
        "import os\nos.fork()",
        "import os\nos.kill(0, 0)",
        "import subprocess\nsubprocess.run(['true'])",
        "import multiprocessing",
        "import threading",
        "import signal",
        "import ctypes",
        "import sys\nsys.exit(0)",
        "exit()",
    ],
    "imports": [
        "import tunesmith",
        "import dspy",
        "import importlib\nimportlib.import_module('os')",
        "import builtins",
        "import inspect",
        "import gc",
        "import pickle",
        "import numpy",
        "__import__('os')",
        "__builtins__",
    ],
    "attributes": [
        "().__class__.__base__",
        "object.__subclasses__()",
        "(lambda: 0).__globals__",
        "(lambda: 0).__code__",
        "(lambda: 0).__closure__",
        "print.__self__",
        "''.__class__.__mro__",
        "len.__module__.__class__",
        "globals()",
        "vars()",
        "getattr((), '__class__').__base__",
    ],
}  # fmt: skip

ENDLESS = {
    "a loop": "while True: pass",
    "a loop that catches everything": "while True:\n    try:\n        while True: pass\n    except BaseException: pass",
    "a sum": "sum(range(10**12))",
    "an endless generator": "import itertools\n[n for n in itertools.count()]\n",
    "a loop that sleeps": "import time\nwhile True: time.sleep(60)",
}
LARGE = {
    "a text": "x = 'a' * 10**9",
    "a list": "x = [0] * 10**9",
    "a growing list": "x = [0]\nwhile True: x = x + x",
    "a growing list of texts": "x = []\nwhile True: x.append('a' * 1000 + str(len(x)))",
    "permutations": "import itertools\nx = list(itertools.permutations(range(11)))",
}


def run(code: str, answer: str = "None", limits: Limits = SHORT) -> Ran:
    return run_python(code, answer, {}, limits)


def workers() -> list[psutil.Process]:
    return [one for one in psutil.Process().children() if "monty" in one.name() and one.status() != "zombie"]


@each("kind", sorted(REFUSED))
def test_a_program_reaches_nothing_outside(kind: str) -> None:
    for probe in REFUSED[kind]:
        ready = prepared(probe)  # it would leave an import out that nothing uses
        found = run(ready.code, ready.answer) if "\n" in probe or "import" not in probe else run(probe)
        assert found.error is not None, f"{probe!r} gave {found.answer!r}"
        assert found.answer == found.printed == ""


def test_there_are_enough_probes() -> None:
    assert sum(map(len, REFUSED.values())) + len(ENDLESS) + len(LARGE) >= 60


@each("name", sorted(ENDLESS))
def test_an_endless_program_is_stopped_in_time(name: str) -> None:
    run("")
    began = time.perf_counter()
    found = run(ENDLESS[name])
    took = time.perf_counter() - began
    assert found.error is not None
    assert found.error.startswith(("TimeoutError", "MemoryError"))
    assert took < LOOSE * SHORT.seconds + 0.5  # half a second for a busy machine


@each("name", sorted(LARGE))
def test_a_large_program_is_stopped_within_its_memory(name: str) -> None:
    run("")
    (worker,) = workers()
    before = worker.memory_info().rss
    found = run(LARGE[name], limits=Limits(seconds=5, megabytes=64))
    assert found.error is not None
    assert found.error.startswith("MemoryError")
    if worker.is_running() and sys.platform == "linux":
        assert _peak(worker) - before < LOOSE * 64 * 2**20


def _peak(worker: psutil.Process) -> int:
    with open(f"/proc/{worker.pid}/status", encoding="ascii") as lines:
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def test_recursion_ends_at_its_depth() -> None:
    down = "def f(n):\n    return 0 if n == 0 else 1 + f(n - 1)"
    assert run(down, "f(150)").answer == "150"
    assert "RecursionError" in str(run(down, f"f({int(SHORT.depth * LOOSE)})").error)
    assert "RecursionError" in str(run("def f():\n    return f()", "f()").error)


def test_what_is_printed_and_answered_is_bounded() -> None:
    for code in ("print('x' * 10**6)", "while True: print('x' * 50)", "for n in range(10**5): print(n)"):
        found = run(code)
        assert found.error is not None
        assert len(found.printed) <= LOOSE * SHORT.characters
    for answer in ("'x' * 10**6", "list(range(10**5))", "{1: 'x' * 10**5}"):
        found = run("", answer)
        assert "longer than 2,000 characters" in str(found.error)
        assert found.answer == ""
    assert len(str(run("raise ValueError('x' * 10**6)").error)) < 2000
    assert run("print('a')\nprint('b', end='')").printed == "a\nb"


def test_an_answer_is_read_whatever_the_program_calls_its_variables() -> None:
    code = "str = list = type = dict = sum = len = 1"
    assert run(code, "{2}") == Ran("json", "[2]")
    assert run(code, "'a b'") == Ran("text", "a b")
    assert run(code, "True") == Ran("json", "true")
    assert run(code, "2.5") == Ran("float", "2.5")
    assert run(code, "None") == Ran("none", "")
    assert run("", "len") == Ran("none", "")


def test_numbers_are_rounded_as_python_rounds_them() -> None:
    draw = random.Random(0)
    given = [2.675, 1.15, 12.345, -2.675, 0.5, 1e22, *(draw.randrange(-9999, 9999) / 200 for _ in range(300))]
    for digits in (0, 1, 2, 5):
        inputs = {"given": given, "digits": digits}
        found = run_python("", "[str(round(one, digits)) for one in given]", inputs, Limits())
        assert json.loads(found.answer) == [str(round(one, digits)) for one in given]
    assert (
        run("", "[round(2.5), round(7), round(1234, -2), round(number=1.05, ndigits=1)]").answer == "[2, 7, 1200, 1.1]"
    )
    assert str(run("a = round('a', 1)").error).startswith("line 1: a = round('a', 1)\nTypeError")


def test_an_error_names_the_line_of_the_program() -> None:
    found = run("def f():\n    return 1 / 0\n\ndef solution():\n    return f()", "solution()")
    assert found.error == "line 5: return f()\nline 2: return 1 / 0\nZeroDivisionError: division by zero"


def test_programs_share_nothing_and_draw_the_same_numbers() -> None:
    assert run("kept = 1").error is None
    assert "NameError" in str(run("", "kept").error)
    assert run_python("", "rows[0]", {"rows": [7]}, SHORT).answer == "7"
    draw = "import random", "random.random()"
    assert run(*draw).answer == run(*draw).answer


def test_one_worker_serves_all_programs() -> None:
    before = {one.pid for one in workers()}
    for _ in range(20):
        run("", "1")
    assert {one.pid for one in workers()} <= before or len(before) == 0


def test_the_parent_survives_dead_workers() -> None:
    for number in range(scaled(100)):
        run("")
        for worker in workers():
            worker.kill()
            worker.wait(10)
        assert run("", str(number)).answer == str(number)


def test_threads_run_programs_at_once() -> None:
    found: list[str] = []

    def work(number: int) -> None:
        found.append(run(f"x = {number}\nprint(x)", "x * 2").answer)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert sorted(map(int, found)) == [0, 2, 4, 6, 8, 10, 12, 14]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_fork_of_a_process_that_ran_programs_gets_an_error_and_does_not_hang() -> None:
    run("")
    fork = multiprocessing.get_context("fork")
    ours, theirs = fork.Pipe()
    child = fork.Process(target=_try, args=(theirs,))
    child.start()
    assert ours.poll(20)
    assert "get_context('spawn')" in ours.recv()
    child.join(10)
    assert run("", "3").answer == "3"


def _try(pipe: multiprocessing.connection.Connection) -> None:
    try:
        pipe.send(run("", "3").answer)
    except Exception as error:
        pipe.send(str(error))


@pytest.fixture(autouse=True)
def _no_file() -> Iterator[None]:
    yield
    assert not os.path.exists("tunesmith-probe")
