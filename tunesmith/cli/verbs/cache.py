"""The arguments and options of `tunesmith cache`."""

from typing import Any

import click

from tunesmith.cli.options import json_option, unneeded_quiet_option

__all__ = ["command"]


@click.group(name="cache")
def command() -> None:
    """Manage the cached replies in TUNESMITH_HOME/cache.

    Only `prune` and `clear` remove replies.
    """


@command.command()
@json_option
@unneeded_quiet_option
def stats(**given: Any) -> int:
    """Count the cached replies."""
    from tunesmith.cli import cache

    return cache.stats(**given)


@command.command()
@json_option
@unneeded_quiet_option
def verify(**given: Any) -> int:
    """Check every reply without changing anything. The exit code is 1 if one is damaged."""
    from tunesmith.cli import cache

    return cache.verify(**given)


@command.command()
@click.option("--older-than", metavar="AGE", help="Remove replies older than this: 30d, 12h, 90m.")
@click.option(
    "--max-size", metavar="SIZE", help="Remove the oldest replies until the rest takes at most this: 500MB, 2GB."
)
@click.option("--corrupt", is_flag=True, help="Remove damaged replies, and damaged database files completely.")
@json_option
@unneeded_quiet_option
def prune(**given: Any) -> int:
    """Remove some replies. The options are independent."""
    from tunesmith.cli import cache

    return cache.prune(**given)


@command.command()
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@json_option
@unneeded_quiet_option
def clear(**given: Any) -> int:
    """Remove every reply. A program that asks for it again pays again."""
    from tunesmith.cli import cache

    return cache.clear(**given)
