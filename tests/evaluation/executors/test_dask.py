"""Workers of a Dask cluster: in this process for the contract, in processes of their own where one is killed."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import tunesmith as ts
from tests.contracts.executor import ExecutorContract
from tests.evaluation.executors.programs import Colour, examples, right
from tests.heavy import distributed
from tests.protocol import FakeModel, ProtocolServer


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """The address of a scheduler with two workers of one thread, all in this process."""
    here: dict[str, Any] = {"processes": False, "protocol": "tcp", "host": "127.0.0.1", "dashboard_address": None}
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, silence_logs=logging.ERROR, **here) as found:
        yield found.scheduler_address


@pytest.mark.whole
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
