"""The arguments and options of `tunesmith models`."""

from typing import Any

import click

from tunesmith.cli.options import json_option, quiet_option, unneeded_quiet_option

__all__ = ["command"]

_host_option = click.option(
    "--host", metavar="ADDRESS", help="The Ollama server. Default: OLLAMA_HOST, else this machine."
)


@click.group(name="models")
def command() -> None:
    """List, pull and show models.

    Weight files are in TUNESMITH_HOME/models. `embedded` is SmolLM2-135M-Instruct (Apache-2.0, 98 MB; the download is
    93 MB), for the demo, tests and a first look. Use your own file as `gguf:PATH`, without pulling it. A model on an
    Ollama server is `ollama/NAME`.
    """


@command.command("ls")
@_host_option
@json_option
@quiet_option
def list_all(**given: Any) -> int:
    """List the downloaded weight files, and the models of the Ollama server if it is running."""
    from tunesmith.cli import models

    return models.list_all(**given)


@command.command("pull")
@click.argument("name")
@_host_option
@json_option
@quiet_option
def pull_model(**given: Any) -> int:
    """Download a model if it is missing or damaged: `embedded`, or `ollama/NAME` on the server.

    A model that is on the server is not updated; use `ollama pull NAME` for that.
    """
    from tunesmith.cli import models

    return models.pull_model(**given)


@command.command("show")
@click.argument("name")
@_host_option
@json_option
@unneeded_quiet_option
def show_model(**given: Any) -> int:
    """Show a model's place, size, digest and licence, and its details on the server."""
    from tunesmith.cli import models

    return models.show_model(**given)
