"""The arguments and options of `tunesmith init`."""

from pathlib import Path
from typing import Any

import click

from tunesmith.cli.options import json_option, quiet_option

__all__ = ["command"]


@click.command(name="init")
@click.argument("folder", type=click.Path(path_type=Path), default=Path(), metavar="[DIR]")
@click.option("--force", is_flag=True, help="Overwrite files of the same names.")
@json_option
@quiet_option
def command(**given: Any) -> int:
    """Write a new project into DIR, by default this folder.

    It works as it is: a signature with its program and metric in program.py, 40 examples in data/, and a tunesmith.toml
    that names them. Change them one by one into yours.
    """
    from tunesmith.cli.init import run

    return run(**given)
