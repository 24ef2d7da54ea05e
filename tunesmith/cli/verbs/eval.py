"""The arguments and options of `tunesmith eval`."""

from pathlib import Path
from typing import Any

import click

from tunesmith.cli.options import artifact_model_options, dask_option, executor_option, metric_option

__all__ = ["command"]


@click.command(name="eval")
@click.argument("target", required=False, metavar="[ARTIFACT | MODULE:ATTR | SIGNATURE]")
@click.option(
    "--data", type=click.Path(path_type=Path), help="The examples: CSV, JSON, JSONL or Parquet. Default: the project's."
)
@click.option(
    "--split",
    type=click.Choice(["train", "val", "test"]),
    help="The split of the project. Default: val, else test.",
)
@metric_option
@click.option("--at-least", type=float, metavar="MEAN", help="Exit with 4 if the mean is below this.")
@click.option(
    "--models",
    multiple=True,
    metavar="SPEC,SPEC,...",
    help="Compare these models, on the same examples. May be repeated.",
)
@executor_option
@dask_option
@artifact_model_options
def command(**given: Any) -> int:
    """Score a program on a dataset, or compare models on it.

    The defaults come from tunesmith.toml. Wrong answers and errors are counted separately. Macro F1 is shown if one
    output is a class (a Literal, an Enum or a bool).

    With --models, the best model stands first. Each of the others has its paired difference with a 95 % interval, the
    examples won and lost, and the chance of such a difference if both were equal, corrected for their number (Holm).
    What is no spec, and a missing weight file, are refused before any model is asked. A model that fails later stops no
    other; then the exit code is 1, or 3 if the same command can go on.

    \b
    tunesmith eval
    tunesmith eval --split test --models embedded,ollama/qwen3:4b
    tunesmith eval runs/demo/artifact --data more.jsonl --metric exact_match:topic
    tunesmith eval "question -> answer: float" --data sums.csv --metric numeric_close:answer,rel=0.01
    """  # noqa: D301 - click's mark for text that keeps its lines
    from tunesmith.cli.eval import run

    return run(**given)
