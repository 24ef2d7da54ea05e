"""The arguments and options of `tunesmith completion`."""

from typing import Any

import click

from tunesmith.cli.options import json_option, unneeded_quiet_option

__all__ = ["command"]


@click.command(name="completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@json_option
@unneeded_quiet_option
def command(**given: Any) -> int:
    """Write the code that completes verbs, options, runs and artifacts in SHELL.

    \b
    eval "$(tunesmith completion bash)"          # in ~/.bashrc
    eval "$(tunesmith completion zsh)"           # in ~/.zshrc
    tunesmith completion fish > ~/.config/fish/completions/tunesmith.fish
    """  # noqa: D301 - click's mark for text that keeps its lines
    from tunesmith.cli.completion import run

    return run(**given)
