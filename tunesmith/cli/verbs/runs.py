"""The arguments and options of `tunesmith runs`."""

from typing import Any

import click

from tunesmith.cli.completing import RunName
from tunesmith.cli.options import json_option, quiet_option, unneeded_quiet_option

__all__ = ["command"]

_name = click.argument("name", type=RunName(), metavar="RUN")


@click.group(name="runs")
def command() -> None:
    """List, show, resume, export, remove and clean up runs.

    A run is a folder, ./runs/NAME, with its description, its finished evaluations, its result and its artifact.
    """


@command.command()
@json_option
@unneeded_quiet_option
def ls(**given: Any) -> int:
    """List the runs of this project."""
    from tunesmith.cli import runs

    return runs.ls(**given)


@command.command()
@_name
@json_option
@unneeded_quiet_option
def show(**given: Any) -> int:
    """Show one run: its description, its evaluations, and how to resume it."""
    from tunesmith.cli import runs

    return runs.show(**given)


@command.command()
@_name
@json_option
@quiet_option
def resume(**given: Any) -> int:
    """Resume a run with the command that started it. Finished evaluations are not paid again."""
    from tunesmith.cli import runs

    return runs.resume(**given)


@command.command()
@_name
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@json_option
@unneeded_quiet_option
def rm(**given: Any) -> int:
    """Remove a run's folder with its artifact. Its replies stay in the cache."""
    from tunesmith.cli import runs

    return runs.rm(**given)


@command.command()
@_name
@click.option("--to", required=True, metavar="TRACKER", help="mlflow or wandb (Weights & Biases).")
@click.option("--experiment", default="tunesmith", show_default=True, help="MLflow's experiment, or W&B's project.")
@click.option(
    "--at", metavar="URI", help="MLflow's tracking URI, default its own; or the folder of an offline W&B run."
)
@click.option(
    "--files/--no-files", default=True, help="Whether artifact, result and report go there, with their texts."
)
@json_option
@unneeded_quiet_option
def export(**given: Any) -> int:
    """Write a finished run to a tracker of experiments: parameters, candidates as steps, result, and its files.

    Each export makes a new run there. W&B is written offline unless WANDB_MODE says otherwise. Both need their extra:
    pip install 'tunesmith[mlflow]' or 'tunesmith[wandb]'.
    """
    from tunesmith.cli.runs_export import run

    return run(**given)


@command.command()
@click.option("--older-than", metavar="AGE", help="Also finished runs that were last written before this: 30d, 12h.")
@click.option("--keep", type=click.IntRange(min=0), metavar="K", help="Also all finished runs but the newest K.")
@click.option("--dry-run", is_flag=True, help="Show what would be removed, with sizes. Remove nothing.")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@json_option
@unneeded_quiet_option
def gc(**given: Any) -> int:
    """Remove what no longer serves: runs that --new has set aside, temporary files of processes that were killed.

    Finished runs only with --older-than or --keep; with both, those that are old and not among the newest. Never a run
    that a process holds, that has not ended, or that is damaged.
    """
    from tunesmith.cli.runs_gc import run

    return run(**given)
