"""The arguments and options of `tunesmith init`."""

from pathlib import Path
from typing import Any

import click

from tunesmith.cli.options import json_option, quiet_option

__all__ = ["command"]


@click.command(name="init")
@click.argument("folder", type=click.Path(path_type=Path), default=Path(), metavar="[DIR]")
@click.option("--force", is_flag=True, help="Overwrite existing files.")
@json_option
@quiet_option
def command(**given: Any) -> int:
    """Write a new project into DIR, by default this folder.

    The project works unchanged: a signature, a program and a metric in program.py, 40 examples in data/, and a
    tunesmith.toml that names them. Replace them one by one with yours.
    """
    from tunesmith.cli.init import run

    return run(**given)
