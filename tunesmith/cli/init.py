"""`tunesmith init`: a new project that works."""

from pathlib import Path

import click

from tunesmith.cli.failures import DONE
from tunesmith.cli.options import json_option, quiet_option
from tunesmith.cli.output import emit, say
from tunesmith.experiments import write_template

__all__ = ["command"]


@click.command(name="init")
@click.argument("folder", type=click.Path(path_type=Path), default=Path(), metavar="[DIR]")
@click.option("--force", is_flag=True, help="Overwrite files of the same names.")
@json_option
@quiet_option
def command(folder: Path, force: bool, as_json: bool, quiet: bool) -> int:  # noqa: FBT001 - click passes flags so
    """Write a new project into DIR, by default this folder.

    It works as it is: a signature with its program and metric in program.py, 40 examples in data/, and a tunesmith.toml
    that names them. Change them one by one into yours.
    """
    written = write_template(folder, force=force)
    if as_json:
        emit({"folder": str(folder.absolute()), "files": [str(path) for path in written]})
        return DONE
    if quiet:
        return DONE
    for path in written:
        say(f"wrote {folder / path}")
    say()
    say("Next:")
    if folder.resolve() != Path.cwd():
        say(f"  cd {folder}")
    say("  tunesmith models pull embedded   # 93 MB, once")
    say("  tunesmith eval")
    say("  tunesmith compile")
    return DONE
