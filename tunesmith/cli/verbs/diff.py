"""The arguments and options of `tunesmith diff`."""

from pathlib import Path
from typing import Any

import click

from tunesmith.cli.options import json_option, unneeded_quiet_option

__all__ = ["command"]

_folder = click.Path(path_type=Path)


@click.command(name="diff")
@click.argument("before", type=_folder, metavar="BEFORE")
@click.argument("after", type=_folder, metavar="AFTER")
@click.option("--exit-code", is_flag=True, help="Exit with 4 if the artifacts differ.")
@json_option
@unneeded_quiet_option
def command(**given: Any) -> int:
    """Compare two artifacts, each given as its folder or the folder of its run.

    Shows instructions word by word, demos that were added, removed, moved or changed, formats, options, settings, the
    model, everything else in the manifest, and scores with their 95 % intervals. If both artifacts are in the folders
    of their runs, the answers that became right or wrong are shown with their inputs; an answer is right if it scores
    at least 0.5. No model is asked.

    \b
    tunesmith diff runs/first runs/second
    tunesmith diff ../main/artifacts/triage artifacts/triage --exit-code
    """  # noqa: D301 - click's mark for text that keeps its lines
    from tunesmith.cli.diff import run

    return run(**given)
