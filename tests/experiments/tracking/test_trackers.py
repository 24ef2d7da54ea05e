"""A run in MLflow's file store and in an offline run of Weights & Biases, read with their own readers."""

import json
import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import tunesmith as ts
from tests.compilers.worlds import TEST, TRAIN, VAL, Colour, right, world
from tunesmith.errors import UsageError
from tunesmith.evaluation import RunInfo
from tunesmith.experiments import RunRecord, compile_program, export_run
from tunesmith.experiments.tracking import TrackedRun
from tunesmith.lm import FunctionLM


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tracked") / "first"
    compile_program(
        ts.Predict(Colour),
        metric=right,
        trainset=TRAIN,
        valset=VAL,
        testset=TEST,
        compiler=ts.RandomSearch(metric=right, num_candidates=4),
        lm=FunctionLM(world()),
        run=folder,
        mirror=False,
        budget=ts.Budget(calls=5000),
    )
    return folder


def test_a_run_is_parameters_steps_and_the_numbers_of_its_result(run: Path) -> None:
    found, result = TrackedRun.of(RunInfo.of(run)), json.loads((run / "result.json").read_text())
    assert found.params["compiler"] == "RandomSearch"
    assert (found.params["compiler.num_candidates"], found.params["budget.calls"]) == ("4", "5000")
    assert found.summary["test.gain.mean"] == result["gain"]["mean"]
    assert found.summary["charged.calls"] == result["calls"]["charged"]
    assert found.tags["tunesmith.verdict"] == result["verdict"]
    record = RunRecord.of(RunInfo.of(run))
    assert [step["validation.score"] for step in found.steps] == [one.validation.mean for one in record.by_time]
    bests = [step["validation.best"] for step in found.steps if "validation.best" in step]
    assert bests == sorted(bests)
    assert bests[-1] == max(one.validation.mean or 0.0 for one in record.tried if one.validation.n == len(VAL))


def test_what_cannot_be_exported_is_refused(run: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Given: 'excel'"):
        export_run(run, "excel")
    with pytest.raises(UsageError, match="needs a name"):
        export_run(run, "wandb", experiment=" ")
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(UsageError, match="has no result: it is stopped"):
        export_run(tmp_path, "mlflow")


@pytest.mark.whole
@pytest.mark.slow
def test_mlflow_has_all_of_it(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow = pytest.importorskip("mlflow")
    place = f"file://{tmp_path}"
    monkeypatch.delenv("MLFLOW_ALLOW_FILE_STORE", raising=False)
    with pytest.raises(UsageError, match="only with MLFLOW_ALLOW_FILE_STORE=true"):
        export_run(run, "mlflow", at=place)
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    found, wanted = export_run(run, "mlflow", at=place, experiment="colours"), TrackedRun.of(RunInfo.of(run))
    client = mlflow.MlflowClient(tracking_uri=place)
    kept = client.get_run(found.id)
    assert kept.data.params == wanted.params
    assert (kept.info.run_name, kept.info.status) == ("first", "FINISHED")
    assert kept.data.tags["tunesmith.verdict"] == wanted.tags["tunesmith.verdict"]
    assert wanted.summary.items() <= kept.data.metrics.items()
    history = client.get_metric_history(found.id, "validation.score")
    assert [(one.step, one.value) for one in sorted(history, key=lambda one: one.step)] == [
        (number, step["validation.score"]) for number, step in enumerate(wanted.steps, start=1)
    ]
    assert {file.path for file in client.list_artifacts(found.id)} == {"artifact", "report.html", "result.json"}
    assert client.get_experiment_by_name("colours").experiment_id == kept.info.experiment_id
    again = export_run(run, "mlflow", at=place, experiment="colours", files=False)
    assert client.list_artifacts(again.id) == []


@pytest.mark.whole
def test_a_server_of_mlflow_that_is_away_is_told_in_two_lines(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(UsageError) as found:
        export_run(run, "mlflow", at="http://me:pass-1@127.0.0.1:9")
    assert str(found.value) == (
        "The MLflow server at http://***@127.0.0.1:9 does not answer: connection refused.\n"
        "Start it, or name another one with --at."
    )


@pytest.mark.whole
@pytest.mark.slow
def test_the_password_of_an_address_of_mlflow_is_not_told(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    found = export_run(run, "mlflow", at=f"file://me:pass-1@{tmp_path}", files=False)
    assert (found.place, found.next) == (f"file://***@{tmp_path}", f"mlflow ui --backend-store-uri {found.place}")
    with pytest.raises(UsageError, match=r"unsupported URI 'nothing://\*\*\*@host'"):
        export_run(run, "mlflow", at="nothing://me:pass-1@host", files=False)


@pytest.mark.whole
@pytest.mark.slow
def test_weights_and_biases_has_all_of_it_without_a_network(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("wandb")
    for name in ("WANDB_MODE", "WANDB_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    for name in ("WANDB_CACHE_DIR", "WANDB_DATA_DIR", "WANDB_CONFIG_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "own"))
    with pytest.raises(UsageError, match="folder that is there"):
        export_run(run, "wandb", at=str(tmp_path / "missing"))
    found, wanted = export_run(run, "wandb", at=str(tmp_path)), TrackedRun.of(RunInfo.of(run))
    folder = Path(found.place)
    assert found.next == f"wandb sync {folder}"
    names = {str(file.relative_to(folder / "files")) for file in (folder / "files").rglob("*") if file.is_file()}
    assert {"report.html", "result.json", "artifact/manifest.json", "artifact/state.json"} <= names
    records = list(wandb_records(folder / f"run-{found.id}.wandb"))
    config = {item.key: json.loads(item.value_json) for one in records for item in one.run.config.update}
    assert wanted.params.items() <= config.items()
    steps = [
        {item.key or item.nested_key[0]: json.loads(item.value_json) for item in one.history.item}
        for one in records
        if one.HasField("history")
    ]
    assert [step["validation.score"] for step in steps] == [step["validation.score"] for step in wanted.steps]
    last = {item.key or item.nested_key[0]: item.value_json for one in records for item in one.summary.update}
    assert json.loads(last["tunesmith.verdict"]) == wanted.tags["tunesmith.verdict"]


def wandb_records(path: Path) -> Iterator[Any]:
    """Yield what an offline run holds: a log of blocks as LevelDB has it, with one protocol buffer per record."""
    from wandb.proto import wandb_internal_pb2

    data, at, parts = path.read_bytes(), 7, b""
    block = 2**15
    while at + 7 <= len(data):
        if block - at % block < 7:
            at += block - at % block
            continue
        _, size, kind = struct.unpack_from("<IHB", data, at)
        parts += data[at + 7 : at + 7 + size]
        at += 7 + size
        if kind in (1, 4):  # a whole record, or the last part of one
            found = wandb_internal_pb2.Record()
            found.ParseFromString(parts)
            parts = b""
            yield found


def test_each_tracker_names_its_extra() -> None:
    text = (Path(__file__).parents[3] / "pyproject.toml").read_text(encoding="utf-8")
    assert re.search(r"^mlflow = .*mlflow-skinny", text, re.MULTILINE)
    assert re.search(r"^wandb = .*wandb", text, re.MULTILINE)
