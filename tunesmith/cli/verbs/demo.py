"""The arguments and options of `tunesmith demo`."""

from typing import Any

import click

from tunesmith.cli.options import fork_option, json_option, new_option, no_store_option, quiet_option

__all__ = ["command"]


@click.command(name="demo")
@click.option("--lm", "spec", metavar="SPEC", help="The model. Default: TUNESMITH_LM, else embedded.")
@click.option(
    "--run", metavar="NAME", default="demo", show_default=True, help="The run's folder: ./runs/NAME, or a path."
)
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of the splits and all random choices.")
@click.option(
    "--limit", type=click.IntRange(min=5), metavar="N", help="Use at most N examples per split, for a quick look."
)
@new_option
@fork_option
@no_store_option
@json_option
@quiet_option
def command(**given: Any) -> int:
    """Compile a small program and report its gain.

    The program sorts hotel guests' comments by topic. It is scored as declared, compiled within a budget of LM calls,
    and scored again on 200 test comments. For comparison, the demo also scores one demo per topic without a search, and
    a vote of similar comments without a model. The default model is the embedded one (98 MB, downloaded if missing).
    Repeating the command repeats no answered call, unless --no-store is given.
    """
    from tunesmith.cli.demo import run

    return run(**given)
