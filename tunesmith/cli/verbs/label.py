"""The arguments and options of `tunesmith label`."""

from pathlib import Path
from typing import Any

import click

from tunesmith.cli.completing import RunName
from tunesmith.cli.options import hard_by_option, json_option, reading_options, unneeded_quiet_option

__all__ = ["command"]

_path = click.Path(path_type=Path)


@click.command(name="label")
@click.argument("file", type=_path, metavar="FILE")
@click.option(
    "--signature",
    metavar="SIGNATURE",
    help="What a row holds: 'text -> label', or MODULE:CLASS of the project. Default: that of the project's program, "
    "if FILE has its inputs.",
)
@click.option("--out", type=_path, metavar="FILE", help="The result. Default: NAME.labeled.jsonl beside FILE.")
@click.option("--decisions", type=_path, metavar="FILE", help="The journal. Default: NAME.decisions.jsonl beside FILE.")
@click.option("--hard", type=RunName(), metavar="RUN", help="Show the hard examples of this run first.")
@hard_by_option
@click.option(
    "--changed", is_flag=True, help="Go on though FILE was changed since; decisions of rows still there stay."
)
@click.option("--write", "write_only", is_flag=True, help="Only write the result of the decisions so far; no page.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, show_default=True, help="0 for any free one.")
@reading_options
@click.option("--force", is_flag=True, help="Replace a result that was not written from these decisions.")
@json_option
@unneeded_quiet_option
def command(**given: Any) -> int:
    """Accept, fix or reject the rows of FILE on a page in the browser, with the keyboard.

    The page is for this machine alone, at an address with a token. Every decision is in a journal on the disk at once;
    the same command goes on where it ended. Ctrl-C ends it and writes the accepted and fixed rows, typed by the
    signature. FILE itself is never changed. Needs the extra `serve`.

    \b
    Keys: a accept, r reject, e edit, 1 to 9 a label, u undo, j and k the next and the last row, ? help.
    tunesmith label reviews.csv --signature 'text -> label: Literal["good", "bad"]'
    tunesmith label data/train.jsonl --hard first --out data/train-2.jsonl
    """  # noqa: D301 - click's mark for text that keeps its lines
    from tunesmith.cli.label import run

    return run(**given)
