"""The arguments and options of `tunesmith check`."""

from pathlib import Path
from typing import Any

import click

from tunesmith.cli.options import (
    allow_option,
    artifact_argument,
    json_option,
    lm_option,
    no_store_option,
    quiet_option,
    slots_option,
)

__all__ = ["command"]

_file = click.Path(path_type=Path)


@click.command(name="check")
@artifact_argument
@click.option("--data", type=_file, help="CSV, JSON, JSONL or Parquet. Default: the project's test split.")
@click.option("--min-gain", type=float, metavar="GAIN", help="The gain over the program as given is surely above this.")
@click.option("--min-score", type=float, metavar="MEAN", help="The mean score is at least this.")
@click.option("--max-latency", type=float, metavar="SECONDS", help="95 of 100 examples take the model at most this.")
@click.option("--max-errors", type=int, metavar="N", help="The program fails on at most N examples.")
@click.option("--metric", metavar="NAME", help="MODULE:ATTR, or a built-in one as exact_match:FIELD.")
@click.option("--junit", type=_file, metavar="FILE", help="Write the result as JUnit XML, one test case per gate.")
@lm_option
@slots_option
@no_store_option
@allow_option
@json_option
@quiet_option
def command(**given: Any) -> int:
    """Hold ARTIFACT against gates on examples that selected nothing.

    --min-gain compares the lower end of the 95 % interval of the paired gain: with 0 the gate is the verdict `ship`,
    below 0 it says how much worse would still do. It scores the program as given as well. The other gates compare the
    figure itself. Exits with 0 where every gate holds, with 4 where one fails, with 1 or 2 where nothing could be
    checked.

    \b
    tunesmith check runs/first/artifact --min-gain 0 --junit check.xml
    tunesmith check runs/first/artifact --data test.jsonl --min-score 0.8 --max-latency 0.5 --max-errors 0
    """  # noqa: D301 - click's mark for text that keeps its lines
    from tunesmith.cli.check import run

    return run(**given)
