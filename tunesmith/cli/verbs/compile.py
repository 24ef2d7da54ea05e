"""The arguments and options of `tunesmith compile`."""

from pathlib import Path
from typing import Any

import click

from tunesmith.cli.options import (
    allow_option,
    executor_option,
    fork_option,
    json_option,
    lm_option,
    new_option,
    no_store_option,
    quiet_option,
    slots_option,
)

__all__ = ["command"]

_file = click.Path(path_type=Path)


@click.command(name="compile")
@click.option("--program", metavar="MODULE:ATTR", help="The program, or the folder of an artifact to start from.")
@click.option("--metric", metavar="NAME", help="MODULE:ATTR, or a built-in one as exact_match:FIELD.")
@click.option("--train", type=_file, help="Examples that demos come from.")
@click.option("--val", type=_file, help="Examples that select. Default: 40 % of the training examples.")
@click.option("--test", type=_file, help="Examples that only label the result.")
@click.option("--compiler", metavar="NAME", help="How to search: a name, or MODULE:CLASS. Default: random-search.")
@click.option("--set", "sets", multiple=True, metavar="OPTION=VALUE", help="Of the compiler. May be repeated.")
@click.option("--budget-calls", type=click.IntRange(min=1), help="The most LM calls, test included.")
@click.option("--run", metavar="NAME", help="The run's folder: ./runs/NAME, or a path. The same run goes on.")
@new_option
@fork_option
@click.option("--rescore", is_flag=True, help="Score the run's outputs with a changed metric; call no LM but a judge.")
@click.option(
    "--study-url",
    metavar="URL",
    envvar="TUNESMITH_STUDY_URL",
    help="Optuna database to show the search in. Default: TUNESMITH_STUDY_URL, else study.db in the run's folder.",
)
@click.option("--seed", type=int, help="Of every draw. Default: 0.")
@click.option("--dry-run", is_flag=True, help="Print the plan: candidates, calls, tokens, time; compile nothing.")
@click.option("--gate", is_flag=True, help="Exit with 4 unless the verdict is `ship`.")
@lm_option
@click.option("--prompt-lm", metavar="SPEC", help="The model that writes proposals. Default: [prompt_lm], else --lm.")
@slots_option
@executor_option
@no_store_option
@allow_option
@json_option
@quiet_option
def command(**given: Any) -> int:
    """Compile the project's program, test it, and save an artifact.

    Options come before tunesmith.toml. Repeating the command after an interruption goes on where it stopped: finished
    evaluations are in the run's ledger, replies in the cache. With --no-store replies, outputs and traces are kept
    nowhere, and what was not finished is paid again; the artifact holds demos either way.

    \b
    tunesmith compile --dry-run
    tunesmith compile --budget-calls 400 --run first
    tunesmith compile --compiler random-search --set num_candidates=8 --set sampler=tpe
    """  # noqa: D301 - click's mark for text that keeps its lines
    from tunesmith.cli.compile import run

    return run(**given)
