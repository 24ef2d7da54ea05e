"""The arguments and options of `tunesmith experiment`."""

from typing import Any

import click

from tunesmith.cli.completing import ExperimentName, RunName
from tunesmith.cli.options import (
    dask_option,
    executor_option,
    group_by_option,
    json_option,
    metric_option,
    new_option,
    no_store_option,
    quiet_option,
    slots_option,
)

__all__ = ["command"]


@click.command(name="experiment")
@click.argument("name", required=False, type=ExperimentName(), metavar="[NAME]")
@click.option("--only", multiple=True, type=RunName(), metavar="RUN", help="Only this run. May be repeated.")
@click.option("--dry-run", is_flag=True, help="Only print the plan: runs, candidates, calls.")
@group_by_option
@metric_option
@click.option(
    "--budget-calls", type=click.IntRange(min=1), help="The maximal number of LM calls of each run, its test included."
)
@new_option
@executor_option
@dask_option
@slots_option
@no_store_option
@json_option
@quiet_option
def command(**given: Any) -> int:
    """Run every combination of an experiment, one after the other, and compare the runs.

    [experiments.NAME] in tunesmith.toml lists programs, compilers, models and seeds. Each combination is a run of its
    own, such as grid_gepa_embedded_seed0. A run that is finished is not run again, one that was interrupted goes on,
    and one that fails does not stop the others; then the exit code is 1, or 3 if the same command can go on. Without
    NAME, the experiments are listed.

    \b
    tunesmith experiment grid --dry-run
    tunesmith experiment grid
    tunesmith experiment grid --by compiler
    """  # noqa: D301 - click's mark for text that keeps its lines
    from tunesmith.cli.experiment import run

    return run(**given)
