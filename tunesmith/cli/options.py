"""Options that several verbs share."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from tunesmith.cli.completing import ArtifactPath, CompilerName

__all__ = [
    "allow_option",
    "artifact_lm_option",
    "artifact_argument",
    "artifact_model_options",
    "dask_option",
    "executor_option",
    "fork_option",
    "group_by_option",
    "hard_by_option",
    "json_option",
    "lm_option",
    "metric_option",
    "model_options",
    "new_option",
    "no_store_option",
    "quiet_option",
    "reading_options",
    "settings_options",
    "slots_option",
    "trusted_option",
    "unneeded_quiet_option",
]

_Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

group_by_option: _Decorator = click.option(
    "--by",
    multiple=True,
    type=click.Choice(["program", "compiler", "model", "seed"]),
    help="Compare groups of runs that have this in common, and more if it is given again.",
)
hard_by_option: _Decorator = click.option(
    "--by",
    type=click.Choice(["wrong", "disagreement"]),
    default="wrong",
    show_default=True,
    help="What is hard: most often wrong, or most different answers.",
)
json_option: _Decorator = click.option(
    "--json", "as_json", is_flag=True, help="Write only one JSON document to stdout."
)
_QUIET = "Show only warnings and errors on stderr, no progress."
quiet_option: _Decorator = click.option("--quiet", "-q", is_flag=True, help=_QUIET)
unneeded_quiet_option: _Decorator = click.option("--quiet", "-q", is_flag=True, expose_value=False, help=_QUIET)
"""For verbs without progress."""


def _lm_option(last: str) -> _Decorator:
    text = "The model: embedded, gguf:PATH or PROVIDER/MODEL. Default: TUNESMITH_LM, else [lm] spec in tunesmith.toml"
    return click.option("--lm", "spec", metavar="SPEC", help=f"{text}{last}.")


lm_option: _Decorator = _lm_option("")
artifact_lm_option: _Decorator = _lm_option(", else the artifact's, if it is in this process or on Ollama")
slots_option: _Decorator = click.option(
    "--slots",
    type=click.IntRange(min=1),
    help="Concurrent requests. Default: TUNESMITH_SLOTS, else what suits the model.",
)
executor_option: _Decorator = click.option(
    "--executor",
    metavar="NAME",
    help="Where examples run: threads, processes or dask (docs/executors.md). Default: threads, or tunesmith.toml's.",
)
dask_option: _Decorator = click.option(
    "--dask", metavar="ADDRESS", help="Run examples on the Dask cluster of this scheduler, as tcp://HOST:8786."
)
no_store_option: _Decorator = click.option(
    "--no-store", is_flag=True, help="Neither store nor use cached replies, for private data."
)
metric_option: _Decorator = click.option(
    "--metric",
    metavar="NAME",
    help="MODULE:ATTR, or a built-in one as exact_match:FIELD or numeric_close:FIELD,rel=0.01.",
)
new_option: _Decorator = click.option("--new", is_flag=True, help="Move an existing run aside and start a new one.")
fork_option: _Decorator = click.option(
    "--fork", metavar="NAME", help="Start the run NAME from the evaluations of this one."
)
allow_option: _Decorator = click.option(
    "--allow",
    multiple=True,
    metavar="MODULE:NAME",
    help="Import this class for the artifact, or this program. May be repeated.",
)
trusted_option: _Decorator = click.option(
    "--trusted",
    type=click.Path(dir_okay=False, path_type=Path),
    multiple=True,
    metavar="FILE",
    help="A public key that must have signed it; of several, one is enough.",
)


_ABOUT_A_MODEL = (slots_option, no_store_option, allow_option, json_option, quiet_option)


def model_options(verb: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of every verb that runs a program: the model, its use, and the output."""
    return _with((lm_option, *_ABOUT_A_MODEL), verb)


def artifact_model_options(verb: Callable[..., Any]) -> Callable[..., Any]:
    """Add the same to a verb that runs an artifact, which names a model itself."""
    return _with((artifact_lm_option, *_ABOUT_A_MODEL), verb)


def _with(options: tuple[_Decorator, ...], verb: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(options):
        verb = option(verb)
    return verb


def reading_options(verb: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say how a data file is read, to verbs that do not read it as [data] says."""
    return _with(_READING, verb)


_READING: tuple[_Decorator, ...] = (
    click.option(
        "--columns",
        multiple=True,
        metavar="FIELD=PATH",
        help="Take a field from elsewhere: answer=answers.text.0 or 'text=Review text'. Repeatable.",
    ),
    click.option("--delimiter", metavar="CHARACTER", help="The separator of a table. Default: detected."),
    click.option("--encoding", metavar="NAME", help="The encoding of a text file, such as cp1252."),
)

_SETTINGS: tuple[_Decorator, ...] = (
    click.option(
        "--program",
        metavar="MODULE:ATTR",
        help="The program, a signature such as 'question -> answer', or the folder of an artifact to start from.",
    ),
    metric_option,
    click.option(
        "--compiler",
        type=CompilerName(),
        metavar="NAME",
        help="The compiler: a name of docs/compilers.md, or MODULE:CLASS. Default: portfolio.",
    ),
    click.option(
        "--set", "sets", multiple=True, metavar="OPTION=VALUE", help="Set an option of the compiler. May be repeated."
    ),
    click.option(
        "--budget-calls", type=click.IntRange(min=1), help="The maximal number of LM calls, including the test."
    ),
    click.option("--run", metavar="NAME", help="The run's folder: ./runs/NAME, or a path. An existing run is resumed."),
    click.option("--seed", type=int, help="Seed of all random choices. Default: 0."),
    click.option(
        "--prompt-lm", metavar="SPEC", help="The model that writes proposals. Default: [prompt_lm], else --lm."
    ),
    click.option("--judge-lm", metavar="SPEC", help="The model of judges. Default: [judge_lm], else --lm."),
    click.option(
        "--freeze",
        multiple=True,
        metavar="PATH",
        help="Leave a predictor or module as it is, or only PATH.instruction, PATH.demos or PATH.format. May be "
        "repeated.",
    ),
    click.option(
        "--protect",
        multiple=True,
        metavar="TEXT",
        help="Keep this text in each instruction that contains it. May be repeated.",
    ),
    executor_option,
    dask_option,
)


def settings_options(verb: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that come before what the project file says of a compile."""
    for option in reversed(_SETTINGS):
        verb = option(verb)
    return verb


artifact_argument: _Decorator = click.argument("artifact", type=ArtifactPath(), metavar="ARTIFACT")
