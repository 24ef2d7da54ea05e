"""The arguments and options of `tunesmith export`."""

from pathlib import Path
from typing import Any

import click

from tunesmith.cli.completing import ExportName
from tunesmith.cli.options import allow_option, json_option, quiet_option

__all__ = ["command"]


@click.command(name="export")
@click.argument("artifact", type=click.Path(path_type=Path), metavar="[ARTIFACT]", required=False)
@click.option(
    "--to",
    "target",
    type=ExportName(),
    metavar="NAME",
    help="The target. Without it, the targets and their options are listed.",
)
@click.option("--out", type=click.Path(path_type=Path), help="The file, or the folder for several. Default: stdout.")
@click.option(
    "--set", "sets", multiple=True, metavar="OPTION=VALUE", help="Set an option of the target. May be repeated."
)
@allow_option
@json_option
@quiet_option
def command(**given: Any) -> int:
    """Write ARTIFACT as files for another tool, or what a run has evaluated as data for fine-tuning.

    What the files do not carry is said on stderr.

    \b
    tunesmith export
    tunesmith export runs/demo/artifact --to messages
    tunesmith export runs/demo --to alpaca --out tuning
    tunesmith export runs/demo/artifact --to messages --set indent=0 --out prompt.json
    """  # noqa: D301 - click's mark for text that keeps its lines
    from tunesmith.cli.export import run

    return run(**given)
