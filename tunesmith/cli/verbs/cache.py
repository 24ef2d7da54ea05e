"""The arguments and options of `tunesmith cache`."""

from typing import Any

import click

from tunesmith.cli.options import json_option, unneeded_quiet_option

__all__ = ["command"]


@click.group(name="cache")
def command() -> None:
    """Look after the cached replies.

    They are in TUNESMITH_HOME/cache. Only `prune` and `clear` remove any.
    """


@command.command()
@json_option
@unneeded_quiet_option
def stats(**given: Any) -> int:
    """Count what is there."""
    from tunesmith.cli import cache

    return cache.stats(**given)


@command.command()
@json_option
@unneeded_quiet_option
def verify(**given: Any) -> int:
    """Read and check every reply; change nothing. Exits with 1 if something is damaged."""
    from tunesmith.cli import cache

    return cache.verify(**given)


@command.command()
@click.option("--older-than", metavar="AGE", help="Replies stored longer ago than this: 30d, 12h, 90m.")
@click.option("--max-size", metavar="SIZE", help="The oldest replies, until the rest takes this: 500MB, 2GB.")
@click.option("--corrupt", is_flag=True, help="Damaged replies, and damaged database files with all in them.")
@json_option
@unneeded_quiet_option
def prune(**given: Any) -> int:
    """Remove some replies. Each option removes on its own."""
    from tunesmith.cli import cache

    return cache.prune(**given)


@command.command()
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
@unneeded_quiet_option
def clear(**given: Any) -> int:
    """Remove every reply. A program that asks for it again pays again."""
    from tunesmith.cli import cache

    return cache.clear(**given)
