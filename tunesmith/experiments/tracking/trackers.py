"""The trackers by name, and the way of a run to one of them."""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tunesmith.errors import UsageError, shown
from tunesmith.evaluation import RunInfo
from tunesmith.experiments.tracking import to_mlflow, to_wandb
from tunesmith.experiments.tracking.record import Tracked, TrackedRun, files_of

__all__ = ["TRACKERS", "export_run"]

Tracker = Callable[[TrackedRun, Sequence[tuple[Path, str]], str, str | None], Tracked]
"""Writes a run with its files into an experiment, at a place or at the tracker's own default."""

TRACKERS: Mapping[str, Tracker] = {"mlflow": to_mlflow.write, "wandb": to_wandb.write}


def export_run(
    run: str | Path | RunInfo,
    to: str,
    *,
    experiment: str = "tunesmith",
    at: str | None = None,
    files: bool = True,
) -> Tracked:
    """Write a finished run to a tracker as a new run: its parameters, its candidates as steps, its result, its files.

    Args:
        run: its folder.
        to: `mlflow` or `wandb`.
        experiment: MLflow's experiment, the project of Weights & Biases.
        at: MLflow's tracking URI, by default what MLflow is set to; the folder for an offline run of Weights & Biases,
            by default this one.
        files: whether the artifact, `result.json` and the report go there. They hold texts of the data.

    Raises:
        UsageError: there is no such tracker or run, the experiment has no name, the run has not ended, the tracker's
            package is missing, or it refuses.
    """
    if to not in TRACKERS:
        raise UsageError(f"A run is exported to {' or '.join(map(repr, TRACKERS))}. Given: {shown(to)}.")
    if not experiment.strip():
        raise UsageError("The experiment, or the project of Weights & Biases, needs a name.")
    info = run if isinstance(run, RunInfo) else RunInfo.of(Path(run))
    tracked = TrackedRun.of(info)
    with tempfile.TemporaryDirectory() as folder:
        return TRACKERS[to](tracked, files_of(info, Path(folder)) if files else [], experiment, at)
