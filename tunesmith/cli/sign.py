"""`tunesmith sign`: sign an artifact, or make a key for it."""

from pathlib import Path

from tunesmith import artifacts
from tunesmith.cli.failures import DONE
from tunesmith.cli.output import emit, say
from tunesmith.errors import UsageError

__all__ = ["run"]


def run(*, artifact: Path | None, key: Path | None, new_key: Path | None, as_json: bool) -> int:
    """Sign ARTIFACT."""
    if (key is None) == (new_key is None):
        raise UsageError("Give either `--key FILE` or `--new-key FILE`.")
    if artifact is None and new_key is None:
        raise UsageError("Which artifact? Give its folder: `tunesmith sign ARTIFACT --key FILE`.")
    if artifact is not None:
        artifacts.verify(artifact)  # before a key is made
    public = None if new_key is None else str(artifacts.new_key(new_key))
    signer = None if artifact is None else artifacts.sign(artifact, key or new_key or "")
    if as_json:
        emit({"artifact": None if artifact is None else str(artifact), "signer": signer, "public_key": public})
        return DONE
    if public is not None:
        say(f"Wrote the private key {new_key}, which only you can read, and the public key {public}.")
    if signer is not None:
        say(f"Signed {artifact} as {signer}.")
    return DONE
