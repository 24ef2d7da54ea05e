"""What every executor promises: the same rows, charges and errors as threads. Override `name`."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import dspy
import pytest

import tunesmith as ts
from tests.evaluation.executors.programs import Colour, Fails, TwoSteps, broken, examples, right
from tests.protocol import FakeModel, ProtocolServer
from tests.scale import FULL
from tunesmith.errors import BudgetExceeded, Interrupted, MetricError, ModelUnavailable, UsageError
from tunesmith.evaluation import Report, executor_names, read_entries
from tunesmith.lm import LM, Budget, Meter, ReplyCache


def chats(server: ProtocolServer) -> int:
    """Return how many replies the server was asked for."""
    return sum(entry.path == "/api/chat" for entry in server.requests)


def plain(report: Report) -> list[Any]:
    """Return the rows without their times and what was paid."""
    return [replace(row, seconds=0.0, cached=False) for row in report.rows]


class ExecutorContract:
    """Subclass it and override `name`."""

    name = ""

    @pytest.fixture
    def server(self) -> Iterator[ProtocolServer]:
        with ProtocolServer(models=[FakeModel("m", reply="red")], slots=4) as server:
            yield server

    @staticmethod
    def model(server: ProtocolServer, folder: Path, **more: Any) -> LM:
        return ts.lm("ollama/m", host=server.url, cache=ReplyCache(folder), patience=0, **more)

    def test_it_is_known_by_its_name(self) -> None:
        assert self.name in executor_names()

    def test_rows_and_charges_are_those_of_threads(self, server: ProtocolServer, tmp_path: Path) -> None:
        found = []
        for number, name in enumerate(("threads", self.name)):
            lm = self.model(server, tmp_path / str(number))
            for program in (ts.Predict(Colour), TwoSteps(), Fails()):
                meter, slots = Meter(), 2 if FULL or isinstance(program, TwoSteps) else 1
                report = ts.evaluate(program, examples(8), right, lm=lm, slots=slots, meter=meter, executor=name)
                found.append((plain(report), report.notes, meter.charged.calls, meter.paid.calls, meter.charged.tokens))

        assert found[:3] == found[3:]

    def test_a_compile_ends_in_the_same_artifact_with_the_same_ledger(
        self, server: ProtocolServer, tmp_path: Path
    ) -> None:
        artifacts, rows = [], []
        for number, name in enumerate(("threads", self.name)):
            found = ts.compile(
                ts.Predict(Colour),
                metric=right,
                trainset=examples(12),
                valset=examples(6, 20),
                testset=examples(6, 40),
                compiler=ts.LabeledFewShot(k=2, metric=right, slots=2),
                lm=self.model(server, tmp_path / f"cache {number}"),
                run=tmp_path / str(number),
                executor=name,
                mirror=False,
            )
            assert found.artifact is not None
            artifacts.append(found.artifact.sha256)
            entries = [replace(entry, seq=0, time=0.0) for entry in read_entries(tmp_path / str(number) / "run.db")]
            rows.append(
                sorted(
                    (
                        entry.key.candidate,
                        entry.key.example,
                        str(replace(entry.row, seconds=0.0, cached=False)),
                        [call._replace(seconds=0.0, paid=False) for call in entry.calls],
                    )
                    for entry in entries
                )
            )

        assert artifacts[0] == artifacts[1]
        assert rows[0] == rows[1]
        assert len(rows[0]) > 12

    def test_a_budget_is_kept_to_the_call(self, server: ProtocolServer, tmp_path: Path) -> None:
        meter = Meter(Budget(calls=5))

        with pytest.raises(BudgetExceeded, match="5 calls"):
            ts.evaluate(
                TwoSteps(),
                examples(8),
                right,
                lm=self.model(server, tmp_path),
                slots=2,
                meter=meter,
                executor=self.name,
            )

        assert meter.charged.calls == meter.paid.calls == chats(server) == 5

    def test_what_was_answered_before_is_not_paid_again_and_the_callers_settings_stay(
        self, server: ProtocolServer, tmp_path: Path
    ) -> None:
        before = dspy.settings.copy()
        for name in (self.name, "threads"):
            meter = Meter()
            lm = self.model(server, tmp_path)
            ts.evaluate(ts.Predict(Colour), examples(4), right, lm=lm, meter=meter, executor=name)
        assert (meter.charged.calls, meter.paid.calls) == (4, 0)

        ts.evaluate(ts.Predict(Colour), examples(4, 2), right, lm=lm, meter=meter, executor=self.name)
        assert meter.paid.calls == 2, "two of them are new"
        assert dspy.settings.copy() == before

    def test_the_models_absence_is_the_same_error(self, server: ProtocolServer, tmp_path: Path) -> None:
        lm = self.model(server, tmp_path)
        assert lm.identity
        server.stop()

        with pytest.raises(ModelUnavailable):
            ts.evaluate(ts.Predict(Colour), examples(3), right, lm=lm, executor=self.name)

    def test_a_metric_that_fails_stops_the_evaluation(self, server: ProtocolServer, tmp_path: Path) -> None:
        with pytest.raises(MetricError, match="a metric that fails"):
            ts.evaluate(ts.Predict(Colour), examples(3), broken, lm=self.model(server, tmp_path), executor=self.name)

    def test_progress_tells_of_every_row_and_an_interruption_keeps_the_finished_ones(
        self, server: ProtocolServer, tmp_path: Path
    ) -> None:
        told = list[int]()

        def progress(done: int, total: int) -> None:
            told.append(done)
            if done == 3:
                raise KeyboardInterrupt

        with pytest.raises(Interrupted) as caught:
            ts.evaluate(
                ts.Predict(Colour),
                examples(6),
                right,
                lm=self.model(server, tmp_path),
                slots=1,
                progress=progress,
                executor=self.name,
            )

        assert told == [1, 2, 3]
        assert len(caught.value.partial.rows) == 3

    def test_another_name_is_refused_with_those_there_are(self, server: ProtocolServer, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match=f"There is no executor.*{self.name}"):
            ts.evaluate(ts.Predict(Colour), examples(2), right, lm=self.model(server, tmp_path), executor="elsewhere")
