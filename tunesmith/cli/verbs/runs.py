"""The arguments and options of `tunesmith runs`."""

from typing import Any

import click

from tunesmith.cli.completing import RunName
from tunesmith.cli.options import json_option, quiet_option, unneeded_quiet_option

__all__ = ["command"]

_name = click.argument("name", type=RunName(), metavar="RUN")


@click.group(name="runs")
def command() -> None:
    """List, show, resume and remove runs.

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
