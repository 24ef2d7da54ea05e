"""What holds for every test: no network, an own home, nothing of the caller's environment."""

import functools
import gc
import ipaddress
import os
import shutil
import socket
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from tests.scale import FULL

_HERE = Path(__file__).parent
# Tests that run verbs of the command line, processes of their own, other packages, pages of the docs, or whole searches.
_WHOLE = (
    "artifacts/export/",
    "artifacts/test_rebuild.py",
    "artifacts/test_round_trip.py",
    "cli/",
    "compilers/test_ape.py",
    "compilers/test_bootstrap.py",
    "compilers/test_budget_contract.py",
    "compilers/test_capo.py",
    "compilers/test_comparison.py",
    "compilers/test_joint_search.py",
    "compilers/test_landscape.py",
    "compilers/test_opro.py",
    "compilers/test_pe2.py",
    "compilers/test_portfolio.py",
    "compilers/test_proposals.py",
    "compilers/test_protegi.py",
    "compilers/test_random_search.py",
    "compilers/test_study_mirror.py",
    "compilers/test_study_search.py",
    "crash/",
    "evaluation/executors/test_dask.py",
    "evaluation/executors/test_processes.py",
    "evaluation/test_race_papers.py",
    "evaluation/test_race_worlds.py",
    "experiments/test_comparison.py",
    "experiments/test_compiling.py",
    "experiments/test_correction.py",
    "experiments/test_experiment.py",
    "experiments/test_plain_programs.py",
    "experiments/test_report.py",
    "experiments/test_resuming.py",
    "lm/test_deadlines.py",
    "modules/reasoning/test_sandbox.py",
    "modules/test_processes.py",
    "test_adding.py",
    "test_docs.py",
    "test_docstrings.py",
    "test_examples.py",
    "test_other_process.py",
    "test_start.py",
)
# How the variables begin that stand for a setting of tunesmith.toml.
_SETTINGS = tuple(
    f"TUNESMITH_{name}"
    for name in (
        "COMPILE_",
        "DATA_",
        "JUDGE_LM",
        "LM",
        "METRIC",
        "PATIENCE",
        "PROGRAM",
        "PROMPT_LM",
        "SLOTS",
        "TEACHER_LM",
    )
)
_LIVE = ("OLLAMA_HOST", "TUNESMITH_LIVE_MODEL")
_connect, _connect_ex = socket.socket.connect, socket.socket.connect_ex
_MEMORY = Path("/dev/shm")
_ROOM = 4 * 1024**3
_LONGEST = 1800  # seconds for one test at its full count, on a busy machine
_WORKER = os.environ.get("PYTEST_XDIST_WORKER", "").removeprefix("gw")  # its number, where tests run in parallel
_CORES = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []

# Each worker, and each process that a test starts, would compile the package and the tests anew.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

hypothesis.settings.register_profile(
    "tunesmith", deadline=None, derandomize=os.environ.get("CI") is not None, max_examples=100 if FULL else 10
)
hypothesis.settings.load_profile("tunesmith")


@pytest.fixture(scope="session", autouse=True)
def _own_home() -> Iterator[None]:
    """A home of the run's own, where only the weights are those of the machine."""
    from tunesmith.lm.folders import home_path  # not before: the process that leads the workers needs no package

    models, before = home_path() / "models", os.environ.get("TUNESMITH_HOME")
    with tempfile.TemporaryDirectory(prefix="tunesmith-tests-") as folder:
        if models.is_dir():
            (Path(folder) / "models").symlink_to(models)
        os.environ["TUNESMITH_HOME"] = folder
        yield
        if before is None:
            del os.environ["TUNESMITH_HOME"]
        else:
            os.environ["TUNESMITH_HOME"] = before


def pytest_configure() -> None:
    """Keep what tests write in memory where that can be: what is forced to the disk there costs nothing.

    A kill leaves the same there as on a disk. A folder that the environment names as `TMPDIR` stays.
    """
    if "TMPDIR" not in os.environ and _holds_all(_MEMORY):
        os.environ["TMPDIR"] = tempfile.tempdir = str(_MEMORY)


def _holds_all(folder: Path) -> bool:
    try:
        with tempfile.TemporaryFile(dir=folder):
            return shutil.disk_usage(folder).free >= _ROOM and not os.statvfs(folder).f_flag & os.ST_NOEXEC
    except (AttributeError, OSError):  # not there, not ours, or not Linux
        return False


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Keep what is imported and collected out of every collection of garbage, now and later, and collect less often."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.set_threshold(100_000)
        gc.enable()


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Import no file of which no test is wanted: every worker imports all others."""
    wanted = config.option.markexpr
    all_of = [] if "(" in wanted or " or " in wanted else wanted.split(" and ")
    return True if "not whole" in all_of and _is_whole(collection_path) else None


@functools.cache
def _is_whole(path: Path) -> bool:
    return path.is_relative_to(_HERE) and path.relative_to(_HERE).as_posix().startswith(_WHOLE)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Nothing of the caller's environment, no network but in the tests that are about it, a core to a model."""
    _stay_on_one_core(item.get_closest_marker("model") is not None and item.get_closest_marker("cores") is None)
    for name in [name for name in os.environ if name.startswith(_SETTINGS)]:
        del os.environ[name]
    live = item.get_closest_marker("live") is not None
    socket.socket.connect = _connect if live else _connect_here  # type: ignore[method-assign]
    socket.socket.connect_ex = _connect_ex if live else _connect_ex_here  # type: ignore[method-assign]


def _stay_on_one_core(wanted: bool) -> None:
    """Have one core compute for a model where tests run in parallel: two are no faster on two cores each."""
    if _WORKER and _CORES:
        os.sched_setaffinity(0, {_CORES[int(_WORKER) % len(_CORES)]} if wanted else _CORES)


@pytest.fixture(scope="session", autouse=True)
def _revisions_are_read_once() -> Iterator[None]:
    """For every database Optuna has alembic run the files of all its revisions three times: half of what it takes."""
    import alembic.util

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(alembic.util, "load_python_file", functools.cache(alembic.util.load_python_file))
        yield


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what runs whole commands; skip what needs a server or much time, unless the environment allows it."""
    # What may take long begins first: the other workers would wait for one that begins last.
    items.sort(key=lambda item: item.get_closest_marker("timeout") is None)
    for item in items:
        if _is_whole(item.path):
            item.add_marker(pytest.mark.whole)
        if item.get_closest_marker("live") is not None and any(os.environ.get(name) is None for name in _LIVE):
            item.add_marker(pytest.mark.skip(reason=f"needs {' and '.join(_LIVE)}"))
        if item.get_closest_marker("slow") is not None and not os.environ.get("TUNESMITH_SLOW"):
            item.add_marker(pytest.mark.skip(reason="runs in `make test-slow`"))
        if FULL and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(_LONGEST))


class NetworkUsed(Exception):
    """A test reached out of the machine. It is no `OSError`, lest it be taken for an outage."""


def _connect_here(self: socket.socket, address: Any) -> None:
    _refuse_others(self, address)
    _connect(self, address)


def _connect_ex_here(self: socket.socket, address: Any) -> int:
    _refuse_others(self, address)
    return _connect_ex(self, address)


def _refuse_others(connection: socket.socket, address: Any) -> None:
    if connection.family in {socket.AF_INET, socket.AF_INET6} and not _is_here(str(address[0])):
        raise NetworkUsed(f"a test connects to {address}; mark it `live` or use a double")


def _is_here(host: str) -> bool:
    if host in {"", "localhost"}:
        return True
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False
