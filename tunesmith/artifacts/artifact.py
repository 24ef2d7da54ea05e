"""A compiled program as it lies on disk, verified."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tunesmith.artifacts.folder import MANIFEST, STATE, locate, read_files
from tunesmith.artifacts.manifest import parse_json, parse_manifest, sha256_of
from tunesmith.artifacts.rebuild import make_signature
from tunesmith.artifacts.selected import count_known
from tunesmith.artifacts.state import check_state
from tunesmith.errors import ArtifactError, brief
from tunesmith.modules import Candidate
from tunesmith.signatures import Example

__all__ = ["UNKNOWN_MODEL", "Artifact", "verified", "verify"]

UNKNOWN_MODEL: dict[str, Any] = {
    "backend": "unknown",
    "model": "unknown",
    "digest": None,
    "details": {},
    "verified": False,
}
"""Stands for the model of a program that was saved without saying which."""


@dataclass(frozen=True, slots=True, eq=False)
class Artifact:
    """A verified artifact. Two are the same where their `sha256` is.

    Attributes:
        path: its folder, absolute.
        manifest: what `manifest.json` holds; not to be changed.

    Example:
        >>> import tunesmith as ts
        >>> artifact = ts.save("triage", ts.Predict("text -> label"))
        >>> artifact.path.name, artifact.manifest["verdict"], len(artifact.sha256)
        ('triage', 'unknown', 64)
    """

    path: Path
    manifest: dict[str, Any] = field(repr=False)

    def __repr__(self) -> str:
        verdict, sha256 = (self.manifest.get(name) for name in ("verdict", "sha256"))
        return brief(self, str(self.path), verdict=verdict, sha256=str(sha256)[:12])

    @property
    def sha256(self) -> str:
        """The identity of what was compiled, in hex: everything but times, what was paid, and test openings."""
        return str(self.manifest["sha256"])

    @property
    def program_class(self) -> str:
        """`module:Class` of the program."""
        return str(self.manifest["program"]["class"])

    @property
    def signatures(self) -> dict[str, list[dict[str, Any]]]:
        """Per predictor path its fields in order, each with `name`, `role`, `type` and `desc`."""
        predictors = self.manifest["program"]["predictors"]
        return {path: one["signature"]["fields"] for path, one in predictors.items()}

    @property
    def candidate_json(self) -> dict[str, Any]:
        """What the compile chose, as `Candidate.to_json` gives it."""
        return dict(self.manifest["candidate"])

    @property
    def baseline_json(self) -> dict[str, Any] | None:
        """The program as it was given, as `Candidate.to_json` gives it; `None` if it is unknown."""
        found = self.manifest["baseline"]
        return None if found is None else dict(found)

    @property
    def scores(self) -> dict[str, Any]:
        """The scores with their intervals, as the compile gave them."""
        return dict(self.manifest["scores"])

    @property
    def verdict(self) -> str:
        """What the compile concluded: `ship`, `no evidence`, `regression`, `untested`; `unknown` without a compile."""
        return str(self.manifest["verdict"])

    @property
    def lm(self) -> dict[str, Any]:
        """The identity of the model it was compiled for, as `Identity.to_json` gives it, or `UNKNOWN_MODEL`."""
        return dict(self.manifest["lm"])

    def known(self, examples: Sequence[Example]) -> dict[str, int]:
        """Return how many of `examples`, inputs marked, took part in choosing it, per split that holds any.

        The inputs decide: the same ones under another label are known. Empty for an artifact that keeps no keys.
        """
        return count_known(examples, self.manifest.get("selected_on", {}))

    def diff(self) -> str:
        """Return what the compile changed, as a unified diff; empty if nothing was, or the baseline is unknown."""
        if self.baseline_json is None:
            return ""
        # Demos are shown as they are in the manifest, whatever classes their types were.
        signatures = {path: make_signature(fields, lambda _: Any) for path, fields in self.signatures.items()}
        before, after = (Candidate.from_json(data, signatures) for data in (self.baseline_json, self.candidate_json))
        return before.diff(after)

    def __copy__(self) -> "Artifact":
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> "Artifact":
        # A loaded program carries its artifact, and programs are copied for every candidate.
        return self


def verify(path: str | os.PathLike[str]) -> Artifact:
    """Return the artifact at `path` after checking everything: one changed byte in a file is an error.

    The hashes find damage and careless edits. They are no signature: whoever can write the folder can also write
    hashes that fit.

    Raises:
        ArtifactError: it is missing, damaged, inconsistent, or of another version.

    Example:
        >>> import tunesmith as ts
        >>> saved = ts.save("triage", ts.Predict("text -> label"))
        >>> ts.verify("triage").sha256 == saved.sha256
        True
    """
    folder = locate(path)
    return Artifact(folder, verified(folder, read_files(folder)))


def verified(folder: Path, files: Mapping[str, bytes]) -> dict[str, Any]:
    """Return the manifest in `files`, everything checked; `folder` is their name in messages.

    Raises:
        ArtifactError: as `verify`.
    """
    manifest = parse_manifest(files[MANIFEST], str(folder / MANIFEST))
    where = str(folder / STATE)
    if sha256_of(files[STATE]) != manifest["state_sha256"]:
        raise ArtifactError(
            f"{where} was changed after it was written: it does not have the sha256 that the manifest promises. "
            "Restore the file, or compile again."
        )
    check_state(parse_json(files[STATE], where), manifest, where)
    return manifest
