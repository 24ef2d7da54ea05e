"""The arguments and options of `tunesmith compare`."""

from typing import Any

import click

from tunesmith.cli.completing import RunName
from tunesmith.cli.options import group_by_option, json_option, unneeded_quiet_option

__all__ = ["command"]


@click.command(name="compare")
@click.argument("names", nargs=-1, type=RunName(), metavar="[RUN... | FILE.json]")
@click.option(
    "--on", "split", type=click.Choice(["test", "validation"]), help="The split; default test if all have it."
)
@click.option(
    "--against",
    type=RunName(),
    metavar="NAME",
    help="The run, group or arm that the others are compared with; default the best run.",
)
@group_by_option
@click.option("--csv", "as_csv", is_flag=True, help="Write CSV.")
@click.option("--markdown", is_flag=True, help="Write a table of Markdown.")
@json_option
@unneeded_quiet_option
def command(**given: Any) -> int:
    """Compare what runs returned, on the examples that all were scored on. Default are all finished runs.

    The best stands first. Each of the others has its paired difference with a 95 % interval, the examples won and
    lost, and the chance of such a difference if both were equal, corrected for the number of comparisons (Holm).
    In place of runs, a file of results of a benchmark: each task has a table of its arms.

    \b
    tunesmith compare first second
    tunesmith compare --by compiler
    tunesmith compare benchmarks/compilers.json --against as-given
    tunesmith compare --against first --csv > runs.csv
    """  # noqa: D301 - click's mark for text that keeps its lines
    from tunesmith.cli.compare import run

    return run(**given)
