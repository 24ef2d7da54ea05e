"""The arguments and options of `tunesmith check`."""

from pathlib import Path
from typing import Any

import click

from tunesmith.cli.options import artifact_argument, artifact_model_options, metric_option

__all__ = ["command"]

_file = click.Path(path_type=Path)


@click.command(name="check")
@artifact_argument
@click.option("--data", type=_file, help="CSV, JSON, JSONL or Parquet. Default: the project's test split.")
@click.option(
    "--against",
    type=_file,
    metavar="OLDER",
    help="An older artifact: a gain is measured over it, in place of the program as given.",
)
@click.option(
    "--min-gain", type=float, metavar="GAIN", help="Pass if the lower end of the gain's 95 % interval is above this."
)
@click.option("--min-score", type=float, metavar="MEAN", help="Pass if the mean score is at least this.")
@click.option(
    "--max-latency", type=float, metavar="SECONDS", help="Pass if 95 % of the examples take the model at most this."
)
@click.option("--max-errors", type=int, metavar="N", help="Pass if the program fails on at most N examples.")
@metric_option
@click.option("--junit", type=_file, metavar="FILE", help="Write the result as JUnit XML, one test case per gate.")
@artifact_model_options
def command(**given: Any) -> int:
    """Check ARTIFACT against gates on examples that were not used for selection.

    --min-gain compares the lower end of the 95 % interval of the paired gain over the program as given, or over the
    artifact of --against, which is scored too with the same model. With 0, the gate is the verdict `ship`; a negative
    value allows a small loss. The other gates compare the value itself. The exit code is 0 if every gate passes, 4 if
    one fails, and 1 or 2 if the check could not run.

    \b
    tunesmith check runs/first/artifact --min-gain 0 --junit check.xml
    tunesmith check runs/second/artifact --against runs/first/artifact --min-gain -0.02
    tunesmith check runs/first/artifact --data test.jsonl --min-score 0.8 --max-latency 0.5 --max-errors 0
    """  # noqa: D301 - click's mark for text that keeps its lines
    from tunesmith.cli.check import run

    return run(**given)
