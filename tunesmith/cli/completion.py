"""`tunesmith completion`: the code that a shell evaluates."""

import click
from click.shell_completion import get_completion_class

from tunesmith.cli.failures import DONE
from tunesmith.cli.output import emit, say
from tunesmith.errors import UsageError

__all__ = ["run"]


def run(*, shell: str, as_json: bool) -> int:
    """Write the code for SHELL."""
    kind = get_completion_class(shell)
    group = click.get_current_context().find_root().command
    if kind is None:
        raise UsageError(f"There is no completion for {shell!r}. Use bash, zsh or fish.")
    try:
        code = kind(group, {}, "tunesmith", "_TUNESMITH_COMPLETE").source()
    except RuntimeError as error:  # of a bash before 4.4, as on macOS
        raise UsageError(f"This shell cannot be completed: {error} Use a newer bash, zsh or fish.") from error
    if as_json:
        emit({"shell": shell, "code": code})
    else:
        say(code)
    return DONE
