"""The door to MLflow."""

import os
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from tunesmith.errors import UsageError, masked
from tunesmith.experiments.tracking.record import Tracked, TrackedRun

__all__ = ["write"]

_BATCH = 100  # parameters, tags and metrics that MLflow takes at once
_LONGEST = {"param": 6000, "tag": 5000}  # characters; it cuts longer parameters with a warning and refuses longer tags


def write(run: TrackedRun, files: Sequence[tuple[Path, str]], experiment: str, at: str | None) -> Tracked:
    """Write the run as a new run of `experiment` at the tracking URI `at`.

    Raises:
        UsageError: MLflow is not installed, or refuses.
    """
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # nothing but the run leaves this machine
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")  # its 7 take four minutes if the server is away
    try:
        import mlflow
    except ImportError as error:
        raise UsageError(
            "Exporting to MLflow needs the `mlflow` extra. Install it: pip install 'tunesmith[mlflow]'."
        ) from error
    place = masked(at or mlflow.get_tracking_uri())
    try:
        client = mlflow.MlflowClient(tracking_uri=at)
        known = client.get_experiment_by_name(experiment)
        home = client.create_experiment(experiment) if known is None else known.experiment_id
        made = client.create_run(home, int(1000 * run.started), dict(run.tags), run.name)
        _fill(client, made.info.run_id, run, files)
    except Exception as error:  # its stores raise what their databases raise
        raise UsageError(_refused(error, place)) from error
    way = f"open {place}" if place.startswith(("http://", "https://")) else f"mlflow ui --backend-store-uri {place}"
    return Tracked(made.info.run_id, place, way)


def _fill(client: Any, identity: str, run: TrackedRun, files: Sequence[tuple[Path, str]]) -> None:
    from mlflow.entities import Metric, Param

    moment = int(1000 * run.ended)
    params = [Param(name, _cut(text, _LONGEST["param"])) for name, text in run.params.items()]
    metrics = [
        Metric(name, value, moment, step)
        for step, values in enumerate(run.steps, start=1)
        for name, value in values.items()
    ]
    metrics += [Metric(name, value, moment, len(run.steps)) for name, value in run.summary.items()]
    try:
        for some in _batches(params):
            client.log_batch(identity, params=some)
        for some in _batches(metrics):
            client.log_batch(identity, metrics=some)
        for path, folder in files:
            client.log_artifact(identity, str(path), folder or None)
    except BaseException:
        client.set_terminated(identity, "FAILED")
        raise
    client.set_terminated(identity, "FINISHED", moment)


def _batches(values: list[Any]) -> Iterator[list[Any]]:
    left = iter(values)
    while some := list(islice(left, _BATCH)):
        yield some


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _refused(error: Exception, place: str) -> str:
    causes: list[BaseException] = [error]
    while (cause := causes[-1].__cause__ or causes[-1].__context__) is not None and cause not in causes:
        causes.append(cause)
    away = [one for one in causes if isinstance(one, OSError)]  # as are the errors of `requests`
    if away and place.startswith(("http://", "https://")):
        why = (away[-1].strerror or type(away[-1]).__name__).lower()
        return f"The MLflow server at {place} does not answer: {why}.\nStart it, or name another one with --at."
    text = masked(" ".join(str(error).split()))  # some of its errors name the address
    if "MLFLOW_ALLOW_FILE_STORE" in text:
        return (
            "MLflow 3 writes into a folder only with MLFLOW_ALLOW_FILE_STORE=true in the environment. Set that, or "
            "name a server with --at."
        )
    return f"MLflow refused the run: {text[:600]}"
