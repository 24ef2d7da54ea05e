"""The arguments and options of `tunesmith compile`."""

from pathlib import Path
from typing import Any

import click

from tunesmith.cli.options import fork_option, model_options, new_option, settings_options

__all__ = ["command"]

_file = click.Path(path_type=Path)


@click.command(name="compile")
@settings_options
@click.option("--train", type=_file, help="Examples for demos.")
@click.option("--val", type=_file, help="Examples for selection. Default: 40 % of the training examples.")
@click.option("--test", type=_file, help="Examples for the final test only.")
@click.option(
    "--bad-cases", type=_file, help="Examples that a deployed program got wrong; may have `answered` and `remark`."
)
@new_option
@fork_option
@click.option(
    "--rescore", is_flag=True, help="Score the run's outputs with a changed metric, without LM calls except a judge's."
)
@click.option(
    "--study-url",
    metavar="URL",
    envvar="TUNESMITH_STUDY_URL",
    help="Optuna database that mirrors the search. Default: TUNESMITH_STUDY_URL, else study.db in the run's folder.",
)
@click.option("--dry-run", is_flag=True, help="Only print the plan: candidates, calls, tokens, time.")
@click.option("--gate", is_flag=True, help="Exit with 4 unless the verdict is `ship`.")
@click.option("--teacher", metavar="MODULE:ATTR", help="The program that makes demos. Default: the program.")
@click.option("--teacher-lm", metavar="SPEC", help="The model that makes demos. Default: [teacher_lm], else --lm.")
@click.option(
    "--events", is_flag=True, help="Write what happens to stdout, one JSON document per line, the result last."
)
@model_options
def command(**given: Any) -> int:
    """Compile the project's program, test it, and save an artifact.

    Options override tunesmith.toml. After an interruption, the same command resumes the run: finished evaluations are
    in its ledger, replies in the cache. With --no-store, replies, outputs and traces are not stored, so an unfinished
    evaluation is paid again. The artifact contains demos in both cases.

    \b
    tunesmith compile --dry-run
    tunesmith compile --budget-calls 400 --run first
    tunesmith compile --compiler random-search --set num_candidates=8 --set sampler=tpe
    """  # noqa: D301 - click's mark for text that keeps its lines
    from tunesmith.cli.compile import run

    return run(**given)
