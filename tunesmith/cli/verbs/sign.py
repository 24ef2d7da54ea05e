"""The arguments and options of `tunesmith sign`."""

from pathlib import Path
from typing import Any

import click

from tunesmith.cli.options import json_option, unneeded_quiet_option

__all__ = ["command"]

_FILE = click.Path(path_type=Path)


@click.command(name="sign")
@click.argument("artifact", type=_FILE, metavar="[ARTIFACT]", required=False)
@click.option("--key", type=_FILE, metavar="FILE", help="Private ed25519 key in PEM, of OpenSSL or OpenSSH.")
@click.option("--new-key", type=_FILE, metavar="FILE", help="Write a new private key, and FILE.pub; sign with it.")
@json_option
@unneeded_quiet_option
def command(**given: Any) -> int:
    """Sign ARTIFACT, so that others can check who wrote it.

    The folder gets a signature.json that covers every byte of the other files. Whoever has the public key loads only
    what you signed with `ts.load(..., trusted=FILE)`. Needs the extra `sign`.

    \b
    tunesmith sign --new-key release.pem
    tunesmith sign runs/demo/artifact --key release.pem
    """  # noqa: D301 - click's mark for text that keeps its lines
    from tunesmith.cli.sign import run

    return run(**given)
