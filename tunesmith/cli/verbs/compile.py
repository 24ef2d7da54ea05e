"""The arguments and options of `tunesmith compile`."""

from pathlib import Path
from typing import Any

import click

from tunesmith.cli.options import executor_option, fork_option, metric_option, model_options, new_option

__all__ = ["command"]

_file = click.Path(path_type=Path)


@click.command(name="compile")
@click.option("--program", metavar="MODULE:ATTR", help="The program, or the folder of an artifact to start from.")
@metric_option
@click.option("--train", type=_file, help="Examples for demos.")
@click.option("--val", type=_file, help="Examples for selection. Default: 40 % of the training examples.")
@click.option("--test", type=_file, help="Examples for the final test only.")
@click.option(
    "--bad-cases", type=_file, help="Examples that a deployed program got wrong; may have `answered` and `remark`."
)
@click.option(
    "--compiler",
    metavar="NAME",
    help="The compiler: a name of docs/compilers.md, or MODULE:CLASS. Default: portfolio.",
)
@click.option(
    "--set", "sets", multiple=True, metavar="OPTION=VALUE", help="Set an option of the compiler. May be repeated."
)
@click.option("--budget-calls", type=click.IntRange(min=1), help="The maximal number of LM calls, including the test.")
@click.option("--run", metavar="NAME", help="The run's folder: ./runs/NAME, or a path. An existing run is resumed.")
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
@click.option("--seed", type=int, help="Seed of all random choices. Default: 0.")
@click.option("--dry-run", is_flag=True, help="Only print the plan: candidates, calls, tokens, time.")
@click.option("--gate", is_flag=True, help="Exit with 4 unless the verdict is `ship`.")
@click.option("--prompt-lm", metavar="SPEC", help="The model that writes proposals. Default: [prompt_lm], else --lm.")
@click.option("--judge-lm", metavar="SPEC", help="The model of judges. Default: [judge_lm], else --lm.")
@click.option("--teacher", metavar="MODULE:ATTR", help="The program that makes demos. Default: the program.")
@click.option("--teacher-lm", metavar="SPEC", help="The model that makes demos. Default: [teacher_lm], else --lm.")
@click.option(
    "--freeze",
    multiple=True,
    metavar="PATH",
    help="Leave a predictor or module as it is, or only PATH.instruction, PATH.demos or PATH.format. May be repeated.",
)
@click.option(
    "--protect",
    multiple=True,
    metavar="TEXT",
    help="Keep this text in each instruction that contains it. May be repeated.",
)
@executor_option
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
