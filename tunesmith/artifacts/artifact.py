"""A compiled program on disk, and its verification."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tunesmith.artifacts.folder import MANIFEST, SIGNATURE, STATE, locate, read_files
from tunesmith.artifacts.frozen import frozen_predictors, with_frozen
from tunesmith.artifacts.manifest import parse_json, parse_manifest, sha256_of
from tunesmith.artifacts.state import check_state
from tunesmith.errors import ArtifactError, brief
from tunesmith.signatures import Example

__all__ = ["UNKNOWN_MODEL", "Artifact", "verified", "verify"]

UNKNOWN_MODEL: dict[str, Any] = {
    "backend": "unknown",
    "model": "unknown",
    "digest": None,
    "details": {},
    "verified": False,
}
"""The model identity of a program that was saved without one."""


class Artifact:
    """A verified artifact. Two artifacts are the same if their `sha256` is the same.

    Example:
        >>> import tunesmith as ts
        >>> artifact = ts.save("triage", ts.Predict("text -> label"))
        >>> artifact.path.name, artifact.manifest["verdict"], len(artifact.sha256)
        ('triage', 'unknown', 64)
    """

    # No dataclass: making one takes a hundred times as long, in every load.
    __slots__ = ("_manifest", "_path")

    def __init__(self, path: Path, manifest: dict[str, Any]) -> None:
        self._path, self._manifest = path, manifest

    @property
    def path(self) -> Path:
        """The absolute path of its folder."""
        return self._path

    @property
    def manifest(self) -> dict[str, Any]:
        """The content of `manifest.json`. Do not change it."""
        return self._manifest

    def __repr__(self) -> str:
        verdict, sha256 = (self.manifest.get(name) for name in ("verdict", "sha256"))
        return brief(self, str(self.path), verdict=verdict, sha256=str(sha256)[:12])

    @property
    def sha256(self) -> str:
        """The artifact's identity in hex; it covers everything except times, paid usage and test openings."""
        return str(self.manifest["sha256"])

    @property
    def program_class(self) -> str:
        """`module:Class` of the program."""
        return str(self.manifest["program"]["class"])

    @property
    def prompts_json(self) -> dict[str, Any]:
        """The chosen candidate as JSON, with the prompts and settings of frozen parts at their paths."""
        return with_frozen(self.candidate_json, self.manifest["program"])

    @property
    def signatures(self) -> dict[str, list[dict[str, Any]]]:
        """The fields of each predictor path, frozen ones too, in order: each has `name`, `role`, `type` and `desc`."""
        program = self.manifest["program"]
        predictors = {**program["predictors"], **dict(frozen_predictors(program))}
        return {path: one["signature"]["fields"] for path, one in predictors.items()}

    @property
    def candidate_json(self) -> dict[str, Any]:
        """The chosen candidate, as `Candidate.to_json` returns it."""
        return dict(self.manifest["candidate"])

    @property
    def baseline_json(self) -> dict[str, Any] | None:
        """The candidate of the program before the compile, as `Candidate.to_json` returns it; `None` if unknown."""
        found = self.manifest["baseline"]
        return None if found is None else dict(found)

    @property
    def scores(self) -> dict[str, Any]:
        """The scores of the compile, with their intervals."""
        return dict(self.manifest["scores"])

    @property
    def verdict(self) -> str:
        """The verdict: `ship`, `no evidence`, `regression` or `untested`; `unknown` without a compile."""
        return str(self.manifest["verdict"])

    @property
    def lm(self) -> dict[str, Any]:
        """The identity of the compile's model, as `Identity.to_json` returns it, or `UNKNOWN_MODEL`."""
        return dict(self.manifest["lm"])

    @property
    def signed(self) -> bool:
        """Whether its folder has a signature, which says nothing before `verify_signature` has checked it."""
        return (self.path / SIGNATURE).is_file()

    def known(self, examples: Sequence[Example]) -> dict[str, int]:
        """Return how many of `examples` (with marked inputs) were used for selection, for each split with any.

        Only inputs count, whatever the label. Empty for an artifact without keys.
        """
        from tunesmith.artifacts.selected import count_known  # here, because a loaded program asks for none

        return count_known(examples, self.manifest.get("selected_on", {}))

    def diff(self) -> str:
        """Return the changes of the compile as text; empty without changes or with an unknown baseline."""
        before = self.baseline_json
        if before is None:
            return ""
        from tunesmith.modules import Changes  # here, because a loaded program asks for none

        return str(Changes.of(before, self.candidate_json))

    def __copy__(self) -> "Artifact":
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> "Artifact":
        # A loaded program refers to its artifact, and every candidate copies the program.
        return self


def verify(path: str | os.PathLike[str]) -> Artifact:
    """Return the artifact at `path` after all checks. A single changed byte in a file is an error.

    The hashes detect damage and careless edits. They are not a cryptographic signature: a person who can write the
    folder can also write matching hashes.

    Raises:
        ArtifactError: the artifact is missing, damaged, inconsistent, or of another version.

    Example:
        >>> import tunesmith as ts
        >>> saved = ts.save("triage", ts.Predict("text -> label"))
        >>> ts.verify("triage").sha256 == saved.sha256
        True
    """
    folder = locate(path)
    return Artifact(folder, verified(folder, read_files(folder)))


def verified(folder: Path, files: Mapping[str, bytes]) -> dict[str, Any]:
    """Return the manifest in `files` after all checks; `folder` names the artifact in messages.

    Raises:
        ArtifactError: as in `verify`.
    """
    manifest = parse_manifest(files[MANIFEST], str(folder / MANIFEST))
    where = str(folder / STATE)
    if sha256_of(files[STATE]) != manifest["state_sha256"]:
        raise ArtifactError(
            f"{where} was changed after it was written: its sha256 differs from the manifest. "
            "Restore the file, or compile again."
        )
    check_state(parse_json(files[STATE], where), manifest, where)
    return manifest
