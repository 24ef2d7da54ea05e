"""The arguments and options of `tunesmith doctor`."""

from typing import Any

import click

from tunesmith.cli.options import json_option, lm_option, quiet_option

__all__ = ["command"]


@click.command(name="doctor")
@click.option("--probe", "wants_probe", is_flag=True, help="Load the model and measure it with about 30 calls.")
@lm_option
@json_option
@quiet_option
def command(**given: Any) -> int:
    """Report the installation, its folders, and problems.

    --probe loads the model (default: the embedded one, if it is downloaded). It measures the time to load, the speed
    of reading and writing, and the gain from two requests at once. It checks whether the model repeats a reply to the
    same request, and whether a server enforces the schema of a request.

    An Ollama server at OLLAMA_HOST, or on this machine, is shown with its version, its models and the context that it
    really allocates.

    The exit code is 1 if there is a problem.
    """
    from tunesmith.cli.doctor import run

    return run(**given)
