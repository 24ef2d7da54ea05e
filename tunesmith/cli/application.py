"""`tunesmith`: the group of all verbs. A verb is imported when it is used, and its work when it runs."""

import atexit
import importlib
import os
import signal
import sys
import warnings
from collections.abc import Sequence
from typing import Any

import click

from tunesmith.cli.failures import STOPPED, exit_code, report_failure
from tunesmith.cli.output import own_stdout
from tunesmith.errors import TunesmithError

__all__ = ["VERBS", "Application", "main"]

VERBS = {
    "init": "Write a new project that works unchanged.",
    "config": "Print the settings of the project, and where each comes from.",
    "doctor": "Report the installation and problems; measure the model.",
    "models": "List, pull and show weight files.",
    "data": "Check, split, sample, convert, make and mine examples.",
    "label": "Accept, fix or reject the rows of a data file on a page.",
    "predict": "Run an artifact on the fields given, or on JSONL from stdin.",
    "serve": "Answer over HTTP with artifacts.",
    "eval": "Score a program or an artifact on a dataset.",
    "check": "Check an artifact against gates on test examples, as a step of CI.",
    "compile": "Find what scores best within a budget, test it, save an artifact.",
    "experiment": "Run a matrix of programs, compilers, models and seeds, and compare the runs.",
    "show": "Show an artifact: its content, messages and changes.",
    "diff": "Compare two artifacts: prompts, scores, single answers.",
    "verify": "Verify an artifact: files, signature, program, model, score.",
    "sign": "Sign an artifact, so that others can check who wrote it.",
    "export": "Write an artifact as files for another tool: messages, templates, a model of Ollama.",
    "report": "Write one HTML page of a run: verdict, candidates, examples.",
    "compare": "Compare runs: a leaderboard with paired differences.",
    "runs": "List, show, resume and remove runs.",
    "cache": "Count, check, prune and clear the cached replies.",
    "demo": "Compile a small program and report its gain.",
    "completion": "Write the code that completes this command in a shell.",
}
"""Verbs with their short help, in the order of `--help`. Each is `command` in `verbs/NAME.py`."""


class _Context(click.Context):
    """Runs a verb with stdout for what the verb says alone, so that a program that prints spoils no JSON."""

    def invoke(self, callback: Any, /, *args: Any, **kwargs: Any) -> Any:
        with own_stdout():
            return super().invoke(callback, *args, **kwargs)


def _spoken_apart(command: click.Command) -> click.Command:
    command.context_class = _Context
    if isinstance(command, click.Group):
        for nested in command.commands.values():
            _spoken_apart(nested)
    return command


class Application(click.Group):
    """The group of verbs; it turns every outcome into an exit code."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the verbs in the order of `--help`."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the verb's file."""
        if cmd_name not in VERBS:
            return None
        command = importlib.import_module(f"tunesmith.cli.verbs.{cmd_name}").command
        assert isinstance(command, click.Command)
        return _spoken_apart(command)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the verbs without importing any."""
        with formatter.section("Verbs"):
            formatter.write_dl(list(VERBS.items()))

    def invoke(self, ctx: click.Context) -> Any:
        """Run the verb."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise click.Abort from None  # before click writes its own line
        except SystemExit as stop:  # verbs return their exit code, so this comes from user code
            raise TunesmithError(
                f"The program, the metric or a module they import called `sys.exit({stop.code!r})`. "
                "Let it raise an error or return instead."
            ) from stop

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,  # noqa: FBT001, FBT002 - click's signature
        **extra: Any,
    ) -> Any:
        """Run the command line and exit: 0 done, 1 error, 2 usage, 3 stopped and resumable, 4 a gate failed."""
        arguments = list(sys.argv[1:] if args is None else args)
        prog_name = "tunesmith" if prog_name is None else prog_name
        _open_closed_streams()
        if not standalone_mode:
            return super().main(arguments, prog_name, complete_var, standalone_mode=False, **extra)
        try:
            with warnings.catch_warnings():
                warnings.showwarning = _show_warning
                code = super().main(arguments, prog_name, complete_var, standalone_mode=False, **extra)
            sys.stdout.flush()
        except BrokenPipeError:  # the reader of our output closed the pipe
            _forget_stdout()
            code = 1
        except KeyboardInterrupt:
            code = STOPPED
        except Exception as error:  # noqa: BLE001 - every failure becomes one message
            if args is None and exit_code(error) == STOPPED:
                signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C must not suppress the message
            code = exit_code(error)
            try:
                report_failure(error, as_json="--json" in arguments, as_event="--events" in arguments)
                sys.stdout.flush()
            except OSError:  # the error may be that a full disk takes no output
                _forget_stdout()
        if args is None and code == STOPPED:
            _end_at_once_on_another_interrupt()
        sys.exit(code if isinstance(code, int) else 0)


def _open_closed_streams() -> None:
    """Open closed streams (`2>&-`) as empty ones, so that writing to them does not fail."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115 - stays open


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    """Write a warning as a sentence, without its place in the code."""
    click.echo(f"warning: {message}", err=True)


def _end_at_once_on_another_interrupt() -> None:
    """Let a second Ctrl-C end the process without waiting for threads that still call a model."""
    signal.signal(signal.SIGINT, lambda *_: os._exit(STOPPED))
    # At exit Python restores the system's handler for a signal with a handler, which would kill the process.
    atexit.register(signal.signal, signal.SIGINT, signal.SIG_IGN)


def _forget_stdout() -> None:
    """Discard buffered output, since Python would report an error at exit."""
    sink = os.open(os.devnull, os.O_WRONLY)
    os.dup2(sink, sys.stdout.fileno())
    os.close(sink)


@click.group("tunesmith", cls=Application, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="tunesmith", prog_name="tunesmith")
def main() -> None:
    """Compile declarative LM programs for the model you run yourself.

    \b
    Start:   tunesmith demo            a small compile on a model of 98 MB
             tunesmith init my-task    a project of your own
    Exit codes: 0 done, 1 error, 2 usage, 3 stopped (the same command resumes), 4 a gate failed.
    """  # noqa: D301 - click's mark for text that keeps its lines
