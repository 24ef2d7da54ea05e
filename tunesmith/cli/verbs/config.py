"""The arguments and options of `tunesmith config`."""

from typing import Any

import click

from tunesmith.cli.options import json_option, lm_option, settings_options, slots_option, unneeded_quiet_option

__all__ = ["command"]


@click.command(name="config")
@settings_options
@lm_option
@slots_option
@json_option
@unneeded_quiet_option
def command(**given: Any) -> int:
    """Print the settings of the project, and where each comes from.

    An option comes before an environment variable, and that before tunesmith.toml. The variable of a setting is
    TUNESMITH_, the table and the key, as in TUNESMITH_COMPILE_BUDGET_CALLS; of a model it is TUNESMITH_LM. Passwords
    and keys are not printed.

    \b
    tunesmith config
    tunesmith config --compiler gepa --budget-calls 400 --json
    """  # noqa: D301 - click's mark for text that keeps its lines
    from tunesmith.cli.config import run

    return run(**given)
