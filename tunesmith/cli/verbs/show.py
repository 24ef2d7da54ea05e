"""The arguments and options of `tunesmith show`."""

from typing import Any

import click

from tunesmith.cli.options import allow_option, artifact_argument, json_option, lm_option, quiet_option

__all__ = ["command"]


@click.command(name="show")
@artifact_argument
@click.argument("fields", nargs=-1, metavar="[FIELD=VALUE...]")
@click.option("--messages", is_flag=True, help="Show exactly what would be sent for these inputs, at no LM call.")
@click.option("--schema", is_flag=True, help="Show the JSON Schema of the outputs, and what of them is checked here.")
@click.option("--diff", "wants_diff", is_flag=True, help="Show what compiling changed.")
@lm_option
@allow_option
@json_option
@quiet_option
def command(**given: Any) -> int:
    """Verify ARTIFACT and show what it holds.

    What is sent depends on what the model's engine can do. If no model is named, --messages shows what an engine that
    takes every constraint would get. A model on an Ollama server may have texts of its own, which the server puts
    before what is sent: they are shown too.

    \b
    tunesmith show runs/demo/artifact --diff
    tunesmith show runs/demo/artifact --messages comment="The bed was hard."
    """  # noqa: D301 - click's mark for text that keeps its lines
    from tunesmith.cli.show import run

    return run(**given)
