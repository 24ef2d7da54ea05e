"""The arguments and options of `tunesmith report`."""

from pathlib import Path
from typing import Any

import click

from tunesmith.cli.completing import RunName
from tunesmith.cli.options import allow_option, json_option, unneeded_quiet_option

__all__ = ["command"]


@click.command(name="report")
@click.argument("name", type=RunName(), metavar="[RUN]", required=False)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="The file to write, `-` for the standard output; default `report.html` in the run's folder.",
)
@allow_option
@json_option
@unneeded_quiet_option
def command(**given: Any) -> int:
    """Write one HTML page of a run. It opens in a browser without a network.

    Default is the run that was written last. The page has the verdict, the scores with their intervals, the score
    against calls, every candidate with its change, the examples that flipped with both answers, errors, and the prompt.
    A run that has not ended has a page, too. A program of your own class shows its prompt with --allow.

    \b
    tunesmith report
    tunesmith report first --out first.html
    """  # noqa: D301 - click's mark for text that keeps its lines
    from tunesmith.cli.report import run

    return run(**given)
