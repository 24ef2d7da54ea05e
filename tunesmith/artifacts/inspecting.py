"""Whether the files of an artifact are whole, as a list of checks in place of the first error."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tunesmith.artifacts.artifact import Artifact, verified
from tunesmith.artifacts.folder import MANIFEST, SIGNATURE, locate, read_files
from tunesmith.artifacts.manifest import parse_manifest
from tunesmith.artifacts.signing import Keys, check_signature
from tunesmith.errors import ArtifactError

__all__ = ["Check", "inspect_files"]

_UNREADABLE = "The files cannot be used."


@dataclass(frozen=True, slots=True)
class Check:
    """One question about an artifact, and the answer.

    Attributes:
        name: `files`, `manifest`, `state`, `signature`, `program`, `model` or `score`.
        status: `pass`, `fail`, or `not checked`.
        text: what was found, or why it was not checked.
    """

    name: str
    status: Literal["pass", "fail", "not checked"]
    text: str

    def __str__(self) -> str:
        return f"{self.name}: {self.status}. {self.text}"

    def to_json(self) -> dict[str, Any]:
        """Return the check as JSON values."""
        return {"name": self.name, "status": self.status, "text": self.text}


def inspect_files(
    path: str | os.PathLike[str], trusted: Keys | None = None
) -> tuple[tuple[Check, ...], Artifact | None]:
    """Check the files, the manifest, the state and the signature of an artifact; also return it if it is whole.

    Args:
        path: the artifact's folder.
        trusted: files with public keys, one of which must have signed it; `None` leaves the signature unchecked.

    Raises:
        ArtifactError: there is no artifact at `path`.
        UsageError: a key cannot be used.
    """
    folder = locate(path)
    try:
        files = read_files(folder)
    except ArtifactError as error:
        if not os.path.lexists(folder / MANIFEST):  # it is no artifact, rather than a damaged one
            raise
        rest = (Check(name, "not checked", _UNREADABLE) for name in ("manifest", "state", "signature"))
        return (Check("files", "fail", str(error)), *rest), None
    checks = [Check("files", "pass", f"{', '.join(sorted(files))} can be read.")]
    manifest, artifact = None, None
    try:
        manifest = parse_manifest(files[MANIFEST], str(folder / MANIFEST))
        checks.append(Check("manifest", "pass", "Its hashes fit, and it has the schema of its version."))
        artifact = Artifact(folder, verified(folder, files))
        checks.append(Check("state", "pass", "Its hash and its content are those of the manifest."))
    except ArtifactError as error:
        checks.append(Check("manifest" if manifest is None else "state", "fail", str(error)))
        if manifest is None:
            checks.append(Check("state", "not checked", "The manifest cannot be used."))
    return (*checks, _signature(files, trusted, folder)), artifact


def _signature(files: Mapping[str, bytes], trusted: Keys | None, folder: Path) -> Check:
    if trusted is None:
        state = "It is signed" if SIGNATURE in files else "It is not signed"
        return Check("signature", "not checked", f"{state}; no key was given.")
    try:
        return Check("signature", "pass", f"Signed by {check_signature(files, trusted, folder)}.")
    except ArtifactError as error:
        return Check("signature", "fail", str(error))
