"""Workers of a Dask cluster: in this process for the contract, in processes of their own where one is killed."""

import contextlib
import json
import logging
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import tunesmith as ts
from tests.contracts.executor import ExecutorContract, chats
from tests.evaluation.executors.programs import Colour, Dies, TwoSteps, examples, right
from tests.heavy import distributed
from tests.protocol import FakeModel, ProtocolServer
from tunesmith.errors import ModelUnavailable, UsageError
from tunesmith.evaluation import read_entries
from tunesmith.evaluation.dask_seat import take_seat
from tunesmith.evaluation.executors import dask
from tunesmith.evaluation.subject import Subject
from tunesmith.experiments import Project
from tunesmith.lm import ReplyCache


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """The address of a scheduler with two workers of one thread, all in this process."""
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, silence_logs=logging.ERROR, **HERE) as found:
        yield found.scheduler_address


ROOT = Path(__file__).parents[3]
HERE: dict[str, Any] = {"processes": False, "protocol": "tcp", "host": "127.0.0.1", "dashboard_address": ":0"}


class TestDask(ExecutorContract):
    name = "dask"

    @pytest.fixture(autouse=True)
    def _address(self, cluster: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("DASK_SCHEDULER_ADDRESS", cluster)

    def test_as_many_examples_are_on_the_way_as_the_cluster_has_threads(self, cluster: str, tmp_path: Path) -> None:
        """One executor serves any number of evaluations."""
        executor = ts.DaskExecutor(cluster)
        with ProtocolServer(models=[FakeModel("m", reply="red", delay=0.05)], slots=4) as server:
            for number in range(2):
                lm = self.model(server, tmp_path / str(number))
                ts.evaluate(ts.Predict(Colour), examples(3), right, lm=lm, executor=executor)

                chats = [entry for entry in server.requests if entry.path == "/api/chat"][-3:]
                assert chats[2].time >= chats[0].time + 0.05

    def test_the_code_of_the_page_runs(self, cluster: str, server: ProtocolServer, tmp_path: Path) -> None:
        (code,) = re.findall(
            r"```python\n(.*?)```", (ROOT / "docs" / "scaling.md").read_text(encoding="utf-8"), re.DOTALL
        )
        given: dict[str, Any] = {"ts": ts, "program": ts.Predict(Colour), "metric": right, "train": examples(20)}
        given["lm"] = self.model(server, tmp_path)
        code = code.replace("ts.compile(", "ts.compile(compiler=ts.LabeledFewShot(1), program=")  # the quickest
        exec(compile(code.replace("tcp://scheduler:8786", cluster), "scaling.md", "exec"), given)
        assert chats(server) > 0

    def test_several_hosts_of_a_model_are_a_pool_on_each_worker(self, cluster: str, tmp_path: Path) -> None:
        with (
            ProtocolServer(models=[FakeModel("m", reply="red")]) as first,
            ProtocolServer(models=[FakeModel("m", reply="red")]) as second,
        ):
            lm = ts.lm("ollama/m", host=[first.url, second.url], cache=ReplyCache(tmp_path), patience=0)
            report = ts.evaluate(TwoSteps(), examples(6), right, lm=lm, executor=ts.DaskExecutor(cluster))

            assert report.errors == 0
            assert chats(first) > 0 < chats(second)

    def test_a_connection_that_says_nothing_delays_no_worker(
        self, cluster: str, server: ProtocolServer, tmp_path: Path
    ) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = int(free.getsockname()[1])
        executor, lm = ts.DaskExecutor(cluster, listen=f"127.0.0.1:{port}"), self.model(server, tmp_path)
        executor.check(Subject(ts.Predict(Colour), right, lm=lm))
        with socket.create_connection(("127.0.0.1", port)):
            start = time.monotonic()
            ts.evaluate(ts.Predict(Colour), examples(1), right, lm=lm, executor=executor)
        assert time.monotonic() < start + 8, "it would be heard for 10 seconds"

    def test_a_worker_refuses_another_version_by_name(
        self, cluster: str, server: ProtocolServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(dask, "own_version", lambda: "9.9.9")

        with pytest.raises(UsageError, match=r"The Dask worker .* has tunesmith \d.*and this process has 9\.9\.9"):
            ts.evaluate(
                ts.Predict(Colour),
                examples(1),
                right,
                lm=self.model(server, tmp_path),
                executor=ts.DaskExecutor(cluster),
            )
        assert chats(server) == 0

    def test_a_worker_that_cannot_reach_the_driver_says_so(self, server: ProtocolServer, tmp_path: Path) -> None:
        with pytest.raises(RuntimeError, match=r"cannot reach the driver at 127\.0\.0\.1:9.*listen="):
            take_seat(json.dumps({"host": "127.0.0.1", "port": 9}))

    def test_a_cluster_without_workers_is_an_error_before_the_first_call(
        self, server: ProtocolServer, tmp_path: Path
    ) -> None:
        with (
            distributed.LocalCluster(n_workers=0, silence_logs=logging.ERROR, **HERE) as empty,
            pytest.raises(ModelUnavailable, match=r"has had no worker for 0\.1 seconds.*dask worker"),
        ):
            executor = ts.DaskExecutor(empty.scheduler_address, patience=0.1)
            ts.evaluate(ts.Predict(Colour), examples(1), right, lm=self.model(server, tmp_path), executor=executor)
        assert chats(server) == 0

    def test_a_scheduler_that_has_gone_is_a_clear_error(self, server: ProtocolServer, tmp_path: Path) -> None:
        lm = self.model(server, tmp_path)
        with distributed.LocalCluster(n_workers=1, silence_logs=logging.ERROR, **HERE) as cluster:
            executor = ts.DaskExecutor(cluster.scheduler_address, patience=1)
            executor.check(Subject(ts.Predict(Colour), right, lm=lm))
        with pytest.raises(ModelUnavailable, match=r"The Dask scheduler at .* has gone\. The same command goes on"):
            ts.evaluate(ts.Predict(Colour), examples(2), right, lm=lm, executor=executor)
        assert chats(server) == 0


@contextmanager
def worker_processes(scheduler: str, places: list[tuple[str, Path]]) -> Iterator[None]:
    """Workers of one thread, each with its own Ollama host and its own home, in a session that ends with the block."""
    command = [sys.executable, "-m", "dask", "worker", scheduler, "--nthreads", "1", "--no-nanny", "--no-dashboard"]
    started = [
        subprocess.Popen(
            [*command, "--host", "127.0.0.1", "--local-directory", str(home)],
            env={**os.environ, "PYTHONPATH": str(ROOT), "OLLAMA_HOST": host, "TUNESMITH_HOME": str(home)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for host, home in places
    ]
    try:
        with distributed.Client(scheduler, set_as_default=False) as client:
            client.wait_for_workers(len(places), timeout=120)
        yield
    finally:
        for process in started:
            process.kill()
        for process in started:
            process.wait()


def test_three_processes_one_of_them_killed_end_in_the_artifact_of_one_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each has its own server and cache. What the dead one had in flight is paid again, and nothing else."""

    def compiled(name: str, **more: Any) -> tuple[Any, ...]:
        found = ts.compile(
            Dies(),
            metric=right,
            trainset=examples(12),
            valset=examples(9, 20),
            testset=examples(9, 40),
            compiler=ts.LabeledFewShot(k=2, metric=right),
            lm=ts.lm("ollama/m", patience=0),
            run=tmp_path / name,
            mirror=False,
            **more,
        )
        assert found.artifact is not None
        files = {path.name: path.read_bytes() for path in sorted((tmp_path / name / "artifact").iterdir())}
        times = re.compile(rb'"unhashed.*', re.DOTALL)  # of the clock, at the end of the manifest
        rows = [
            (str(entry.key), entry.row.outputs, entry.row.score, [call[:4] for call in entry.calls])
            for entry in read_entries(tmp_path / name / "run.db")
        ]
        return {name: times.sub(b"", content) for name, content in files.items()}, sorted(rows), found

    monkeypatch.setenv("TUNESMITH_TEST_DEATH", str(tmp_path))
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(ProtocolServer(models=[FakeModel("m", reply="red")])) for _ in range(4)]
        monkeypatch.setenv("OLLAMA_HOST", servers[0].url)
        monkeypatch.setenv("TUNESMITH_HOME", str(tmp_path / "driver"))
        *alone, here = compiled("here")
        paid = chats(servers[0])
        monkeypatch.setenv("TUNESMITH_HOME", str(tmp_path / "another"))
        monkeypatch.setenv("TUNESMITH_TEST_DEATH", str(tmp_path / "died"))
        cluster = stack.enter_context(distributed.LocalCluster(n_workers=0, silence_logs=logging.ERROR, **HERE))
        places = [(server.url, tmp_path / f"home {number}") for number, server in enumerate(servers[1:])]
        with worker_processes(cluster.scheduler_address, places):
            *many, there = compiled("there", executor=ts.DaskExecutor(cluster.scheduler_address))

        assert (tmp_path / "died").exists()
        assert many == alone
        assert there.charged.calls == here.charged.calls
        assert [chats(server) > 0 for server in servers[1:]] == [True] * 3
        assert sum(map(chats, servers[1:])) == paid + 1
        assert chats(servers[0]) == paid


def test_no_scheduler_and_no_address_are_clear_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DASK_SCHEDULER_ADDRESS", raising=False)
    with ProtocolServer(models=[FakeModel("m", reply="red")]) as server:
        for executor, kind, words in (
            (ts.DaskExecutor("tcp://127.0.0.1:9", patience=0.1), ModelUnavailable, "no Dask scheduler at 'tcp://127"),
            (ts.DaskExecutor(), UsageError, "--dask tcp://HOST:8786"),
            (ts.DaskExecutor("odd://place"), UsageError, "is not the address of a Dask scheduler"),
            (ts.DaskExecutor("place"), UsageError, "missing port number"),
        ):
            start = time.monotonic()
            with pytest.raises(kind, match=words):
                ts.evaluate(
                    ts.Predict(Colour), examples(1), right, lm=ts.lm("ollama/m", host=server.url), executor=executor
                )
            assert time.monotonic() - start < 20, "Dask gives a wrong address up after a minute"
    with pytest.raises(UsageError, match="`listen` is 'HOST:PORT'"):
        ts.DaskExecutor(listen="8786")


def test_the_projects_file_names_the_scheduler(tmp_path: Path) -> None:
    file = tmp_path / "tunesmith.toml"
    file.write_text('[compile]\ndask = "tcp://there:8786"\n')
    assert isinstance(Project.load(tmp_path).executor(), ts.DaskExecutor)

    file.write_text('[compile]\nexecutor = "processes"\ndask = "tcp://there:8786"\n')
    with pytest.raises(UsageError, match=r"The executor is 'processes' .*line 2.*line 3"):
        Project.load(tmp_path).executor()
