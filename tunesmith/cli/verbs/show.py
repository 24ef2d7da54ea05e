"""The arguments and options of `tunesmith show`."""

from typing import Any

import click

from tunesmith.cli.options import allow_option, artifact_argument, json_option, lm_option, quiet_option

__all__ = ["command"]


@click.command(name="show")
@artifact_argument
@click.argument("fields", nargs=-1, metavar="[FIELD=VALUE...]")
@click.option("--messages", is_flag=True, help="Show the exact messages for these inputs, without a call.")
@click.option(
    "--schema", is_flag=True, help="Show the JSON Schema of the outputs, and the constraints that are checked locally."
)
@click.option(
    "--tree", "wants_tree", is_flag=True, help="Show the program's modules with their signatures, settings and tools."
)
@click.option("--diff", "wants_diff", is_flag=True, help="Show the changes of the compile.")
@lm_option
@allow_option
@json_option
@quiet_option
def command(**given: Any) -> int:
    """Verify ARTIFACT and show its content.

    Without options: where it comes from, its scores, and for each predictor its fields, instruction, demos and the
    prompt as sent, with {{name}} in place of an input. Characters that cannot be seen are shown as escapes.

    The messages depend on the model's engine. Without a model, --messages assumes an engine that accepts every
    constraint. A model on an Ollama server may have its own texts, which the server puts before the messages; they are
    shown too.

    \b
    tunesmith show runs/demo/artifact
    tunesmith show runs/demo/artifact --diff
    tunesmith show runs/demo/artifact --messages comment="The bed was hard."
    """  # noqa: D301 - click's mark for text that keeps its lines
    from tunesmith.cli.show import run

    return run(**given)
