"""`tunesmith init`: a new project that works."""

import shlex
from pathlib import Path

from tunesmith.cli.failures import DONE
from tunesmith.cli.output import emit, say
from tunesmith.experiments import write_template

__all__ = ["run"]


def run(*, folder: Path, force: bool, as_json: bool, quiet: bool) -> int:
    """Write a new project into DIR, by default this folder."""
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
        say(f"  cd {shlex.quote(str(folder))}")
    say("  tunesmith models pull embedded   # if it is missing: 93 MB, once")
    say("  tunesmith eval")
    say("  tunesmith compile")
    say("  tunesmith report                 # one HTML page of what it did")
    return DONE
