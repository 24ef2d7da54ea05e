"""The arguments and options of `tunesmith predict`."""

from typing import Any

import click

from tunesmith.cli.options import artifact_argument, artifact_model_options, trusted_option

__all__ = ["command"]


@click.command(name="predict")
@artifact_argument
@click.argument("fields", nargs=-1, metavar="[FIELD=VALUE... | -]")
@trusted_option
@artifact_model_options
def command(**given: Any) -> int:
    """Run the compiled program in ARTIFACT.

    Give its inputs as FIELD=VALUE, or pipe JSONL to stdin: one object per line. The output has one line per input
    line, in order. A line that fails gives {"error": ...} and the exit code 1; the other lines are not affected.

    \b
    tunesmith predict runs/demo/artifact comment="The bed was hard."
    tunesmith predict runs/demo/artifact - < comments.jsonl > topics.jsonl
    """  # noqa: D301 - click's mark for text that keeps its lines
    from tunesmith.cli.predict import run

    return run(**given)
