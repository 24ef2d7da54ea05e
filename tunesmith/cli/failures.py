"""Turn every failure of a verb into one message and one exit code."""

import errno
import os
import traceback
from collections.abc import Iterable
from pathlib import Path

import click

from tunesmith.cli.output import emit
from tunesmith.errors import (
    BudgetExceeded,
    Interrupted,
    LedgerError,
    ModelUnavailable,
    TunesmithError,
    UsageError,
    kind_of,
)

__all__ = [
    "DONE",
    "ERROR",
    "GATE",
    "STOPPED",
    "USAGE",
    "RunStopped",
    "described",
    "exit_code",
    "exit_code_of_parts",
    "report_failure",
]

DONE, ERROR, USAGE, STOPPED, GATE = range(5)

_STOPS = (Interrupted, LedgerError, ModelUnavailable, BudgetExceeded)
_STOPPED_TEXT = "stopped. What was finished is in the reply cache; the same command goes on."


class RunStopped(Exception):
    """A started run cannot continue now, but can be resumed.

    Attributes:
        error: the cause.
        run: the run's folder.
    """

    def __init__(self, error: TunesmithError, run: Path, way: str) -> None:
        self.error, self.run = error, run
        super().__init__(f"{error} The run {str(run)!r} is kept: once that is put right, {way}.")


def exit_code(error: Exception) -> int:
    """Return the exit code for `error`."""
    if isinstance(error, (click.Abort, RunStopped, *_STOPS)):
        return STOPPED
    if isinstance(error, click.UsageError | UsageError):
        return USAGE
    return ERROR


def exit_code_of_parts(errors: Iterable[Exception]) -> int:
    """Return the exit code of a verb whose other parts are done: `STOPPED` if the same command goes on with all."""
    codes = {STOPPED if exit_code(error) == STOPPED else ERROR for error in errors}
    return max(codes - {STOPPED} or codes, default=DONE)


def report_failure(error: Exception, *, as_json: bool, as_event: bool = False) -> int:
    """Write one message to stderr, and return the exit code.

    With `as_json` a document goes to stdout as well, with `as_event` the last one of many, on a line.
    """
    if _is_plain_help(error):
        click.echo(str(error), err=True)
        return USAGE
    kind, message = described(error)
    unexpected = not isinstance(error, TunesmithError | RunStopped | click.ClickException | click.Abort)
    if unexpected and os.environ.get("TUNESMITH_DEBUG"):
        click.echo("".join(traceback.format_exception(error)), err=True, nl=False)
    click.echo(f"error: {message}", err=True)
    document = {"error": {"type": kind, "message": message}}
    if as_event:
        emit({"event": "error", **document}, indent=None)
    elif as_json:
        emit(document)
    return exit_code(error)


def _is_plain_help(error: Exception) -> bool:
    """Whether a group was called without a verb; since 8.2, click raises an exception with its help."""
    return type(error).__name__ == "NoArgsIsHelpError"


def described(error: Exception) -> tuple[str, str]:
    """Return the kind of `error` and its message in words."""
    if isinstance(error, TunesmithError):
        return kind_of(error), " ".join([str(error), *getattr(error, "__notes__", ())])
    if isinstance(error, RunStopped):
        return described(error.error)[0], str(error)
    if isinstance(error, click.Abort):
        return "Interrupted", _STOPPED_TEXT
    if isinstance(error, click.ClickException):
        context = getattr(error, "ctx", None)
        hint = "" if context is None else f" See `{context.command_path} --help`."
        kind = "UsageError" if isinstance(error, click.UsageError) else "Error"
        text = " ".join(error.format_message().split())  # click writes choices on lines of their own
        return kind, (text if text.endswith((".", "?")) else f"{text}.") + hint
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "Error", f"There is no room to write: {error.strerror}. Make room, and run the same command again."
    text = f"unexpected {type(error).__name__}: {error}. Set TUNESMITH_DEBUG=1 to see where it came from."
    return type(error).__name__, text
