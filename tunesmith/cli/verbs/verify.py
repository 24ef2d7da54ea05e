"""The arguments and options of `tunesmith verify`."""

from pathlib import Path
from typing import Any

import click

from tunesmith.cli.options import artifact_argument, artifact_model_options, metric_option, trusted_option

__all__ = ["command"]


@click.command(name="verify")
@artifact_argument
@trusted_option
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    help="Examples to measure the score on again: CSV, JSON, JSONL or Parquet.",
)
@metric_option
@artifact_model_options
def command(**given: Any) -> int:
    """Verify ARTIFACT: its files, signature, program, model, and score.

    Each check passes, fails, or is not made, with the reason. The exit code is 0 if none fails, 4 if one fails, 1 or 2
    if there is no artifact or an option is wrong, and 3 if a server is down in the evaluation of --data.

    \b
    files      the files can be read and are not links
    manifest   its hashes and its schema
    state      state.json has the prompts of the manifest
    signature  one of the keys of --trusted signed it
    program    it can be loaded; a class, tools or types of your own need --allow
    model      the model is there and has the artifact's weights; with --lm or --data
    score      --data gives a mean in the interval that the artifact states, on other examples than its test split an
               interval that overlaps with it

    \b
    tunesmith verify runs/first/artifact
    tunesmith verify runs/first/artifact --trusted release.pem.pub --lm ollama/qwen3:0.6b
    tunesmith verify runs/first/artifact --data test.jsonl --metric exact_match:topic
    """  # noqa: D301 - click's mark for text that keeps its lines
    from tunesmith.cli.verify import run

    return run(**given)
