"""The arguments and options of `tunesmith eval`."""

from pathlib import Path
from typing import Any

import click

from tunesmith.cli.options import (
    allow_option,
    executor_option,
    json_option,
    lm_option,
    no_store_option,
    quiet_option,
    slots_option,
)

__all__ = ["command"]


@click.command(name="eval")
@click.argument("target", required=False, metavar="[ARTIFACT | MODULE:ATTR]")
@click.option(
    "--data", type=click.Path(path_type=Path), help="The examples: CSV, JSON, JSONL or Parquet. Default: the project's."
)
@click.option(
    "--split",
    type=click.Choice(["train", "val", "test"]),
    help="The split of the project. Default: val, else test.",
)
@click.option("--metric", metavar="NAME", help="MODULE:ATTR, or a built-in one as exact_match:FIELD.")
@click.option("--at-least", type=float, metavar="MEAN", help="Exit with 4 if the mean is below this.")
@lm_option
@slots_option
@executor_option
@no_store_option
@allow_option
@json_option
@quiet_option
def command(**given: Any) -> int:
    """Score a program on a dataset.

    The defaults come from tunesmith.toml. Wrong answers and errors are counted separately. Macro F1 is shown if one
    output is a class (a Literal, an Enum or a bool).

    \b
    tunesmith eval
    tunesmith eval runs/demo/artifact --data more.jsonl --metric exact_match:topic
    """  # noqa: D301 - click's mark for text that keeps its lines
    from tunesmith.cli.eval import run

    return run(**given)
