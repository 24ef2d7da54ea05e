"""Options that several verbs share."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

__all__ = [
    "allow_option",
    "artifact_argument",
    "executor_option",
    "fork_option",
    "json_option",
    "lm_option",
    "new_option",
    "no_store_option",
    "quiet_option",
    "slots_option",
    "unneeded_quiet_option",
]

_Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

json_option: _Decorator = click.option(
    "--json", "as_json", is_flag=True, help="Write one JSON document to stdout, and nothing else there."
)
_QUIET = "Show no progress on stderr: warnings and errors alone."
quiet_option: _Decorator = click.option("--quiet", "-q", is_flag=True, help=_QUIET)
unneeded_quiet_option: _Decorator = click.option("--quiet", "-q", is_flag=True, expose_value=False, help=_QUIET)
"""For verbs that say nothing there anyway."""

lm_option: _Decorator = click.option(
    "--lm",
    "spec",
    metavar="SPEC",
    help="The model: embedded, gguf:PATH or PROVIDER/MODEL. Default: TUNESMITH_LM, else [lm] spec in tunesmith.toml.",
)
slots_option: _Decorator = click.option(
    "--slots",
    type=click.IntRange(min=1),
    help="Requests on the way at once. Default: TUNESMITH_SLOTS, else what suits the model.",
)
executor_option: _Decorator = click.option(
    "--executor",
    metavar="NAME",
    help="Where examples run: threads or processes (docs/executors.md). Default: threads, or tunesmith.toml's.",
)
no_store_option: _Decorator = click.option(
    "--no-store", is_flag=True, help="Keep no replies and use none that were kept: for private data."
)
new_option: _Decorator = click.option(
    "--new", is_flag=True, help="Set a run that is in the folder aside, and start afresh."
)
fork_option: _Decorator = click.option(
    "--fork", metavar="NAME", help="Start the run NAME from what this one has evaluated."
)
allow_option: _Decorator = click.option(
    "--allow",
    multiple=True,
    metavar="MODULE:CLASS",
    help="Let the artifact use this class of yours. May be repeated.",
)
artifact_argument: _Decorator = click.argument("artifact", type=click.Path(path_type=Path), metavar="ARTIFACT")
