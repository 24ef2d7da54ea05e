"""`tunesmith models`: the weight files on this machine."""

import sys
from pathlib import Path
from typing import Any

import click

from tunesmith.cli.failures import DONE
from tunesmith.cli.options import json_option, quiet_option, unneeded_quiet_option
from tunesmith.cli.output import bytes_text, emit, say, table
from tunesmith.lm import ModelInfo, list_models, models_dir, pull, show

__all__ = ["command", "pull_shown"]


@click.group(name="models")
def command() -> None:
    """List, pull and show weight files.

    They are in TUNESMITH_HOME/models. `embedded` is SmolLM2-135M-Instruct (Apache-2.0, 93 MB), for the demo, tests and
    a first look. A file of your own needs no pulling: use `gguf:PATH`.
    """


@command.command("ls")
@json_option
@unneeded_quiet_option
def list_files(as_json: bool) -> int:  # noqa: FBT001 - click passes flags so
    """List the weight files that are here."""
    found = list_models()
    if as_json:
        emit({"folder": str(models_dir()), "models": [_json(info) for info in found]})
    elif found:
        say(table([("name", "size", "licence"), *((i.name, bytes_text(i.size), i.licence or "-") for i in found)]))
    else:
        say(f"No weight files in {models_dir()}. Get the small one with `tunesmith models pull embedded`.")
    return DONE


@command.command("pull")
@click.argument("name")
@json_option
@quiet_option
def pull_file(name: str, as_json: bool, quiet: bool) -> int:  # noqa: FBT001
    """Download a weight file, unless it is here and right. `embedded` is the only one."""
    path = pull_shown(name, quiet=quiet)
    if as_json:
        emit({"name": name, "path": str(path)})
    else:
        say(str(path))
    return DONE


@command.command("show")
@click.argument("name")
@json_option
@unneeded_quiet_option
def show_file(name: str, as_json: bool) -> int:  # noqa: FBT001
    """Show where a weight file is, its size, sha256 and licence."""
    info = show(name)
    if as_json:
        emit(_json(info))
        return DONE
    for label, value in _json(info).items():
        say(f"{label}: {value if value is not None else 'unknown'}")
    return DONE


def pull_shown(name: str, *, quiet: bool) -> Path:
    """Pull a weight file with a progress bar on stderr.

    Raises:
        UsageError: there is no such model.
        ModelMissing: it could not be had.
    """
    if quiet:
        return pull(name)
    with click.progressbar(length=0, label=f"pulling {name}", file=sys.stderr, show_pos=False) as bar:

        def tell(done: int, total: int | None) -> None:
            bar.length = total
            bar.update(done - bar.pos)

        return pull(name, progress=tell)


def _json(info: ModelInfo) -> dict[str, Any]:
    return {
        "name": info.name,
        "path": str(info.path),
        "bytes": info.size,
        "sha256": info.sha256,
        "licence": info.licence,
    }
