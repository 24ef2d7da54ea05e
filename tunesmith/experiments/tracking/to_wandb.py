"""The door to Weights & Biases."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tunesmith.errors import UsageError, masked
from tunesmith.experiments.tracking.record import Tracked, TrackedRun

__all__ = ["write"]


def write(run: TrackedRun, files: Sequence[tuple[Path, str]], experiment: str, at: str | None) -> Tracked:
    """Write the run as a new run of the project `experiment`: into the folder `at` unless WANDB_MODE says otherwise.

    Raises:
        UsageError: the package is not installed, or refuses.
    """
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # nothing but the run leaves this machine
    os.environ.setdefault("WANDB_DISABLE_WEAVE", "true")  # else it advises to install another package
    try:
        import wandb
    except ImportError as error:
        raise UsageError(
            "Exporting to Weights & Biases needs the `wandb` extra. Install it: pip install 'tunesmith[wandb]'."
        ) from error
    folder = Path(at or ".")
    mode: Any = os.environ.get("WANDB_MODE", "offline")
    if not folder.is_dir():
        raise UsageError(f"An offline run needs a folder that is there. Given: --at {masked(str(at))}.")
    quiet = wandb.Settings(
        console="off",
        silent=True,
        disable_git=True,
        disable_code=True,
        x_disable_machine_info=True,
        x_disable_meta=True,
        x_disable_stats=True,
        x_save_requirements=False,
    )
    params, place = dict(run.params), str(folder)
    try:
        with wandb.init(
            project=experiment, name=run.name, dir=place, mode=mode, config=params, settings=quiet, reinit="create_new"
        ) as made:
            for step, values in enumerate(run.steps, start=1):
                made.log(dict(values), step=step)
            made.summary.update({**run.summary, **run.tags})
            for path, inside in files:
                copy = Path(made.dir, inside, path.name)  # into the run's own folder, so that it can be moved
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, copy)
                made.save(str(copy), base_path=made.dir, policy="end")
            identity, written = made.id, Path(made.dir).parent
    except (wandb.Error, OSError) as error:
        raise UsageError(f"Weights & Biases refused the run: {' '.join(str(error).split())[:600]}") from error
    if mode == "offline":
        return Tracked(identity, str(written), f"wandb sync {written}")
    return Tracked(identity, str(made.url or written), f"open {made.url}")
