"""The arguments and options of `tunesmith doctor`."""

from typing import Any

import click

from tunesmith.cli.options import json_option, lm_option, quiet_option

__all__ = ["command"]


@click.command(name="doctor")
@click.option("--probe", "wants_probe", is_flag=True, help="Load the model and measure it with some 30 calls.")
@lm_option
@json_option
@quiet_option
def command(**given: Any) -> int:
    """Say what is installed, where things are, and what is wrong.

    --probe loads the model (the embedded one if none is named and it is here) and measures how long loading takes, how
    fast it reads and writes, whether two requests at once are faster than one after the other, how far it gives the
    same reply to the same request, and whether a server holds a reply to the schema that was sent with it.

    An Ollama server is looked for at OLLAMA_HOST, else on this machine: its version, its models, and the context that
    is really allocated.

    Exits with 1 if something is wrong.
    """
    from tunesmith.cli.doctor import run

    return run(**given)
