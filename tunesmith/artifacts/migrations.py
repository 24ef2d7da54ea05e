"""Manifests of older versions, as those of this one: one function for each step.

A change of the model adds 1 to `SCHEMA_VERSION`, a step here, and a folder of artifacts of the version before to
`tests/artifacts/versions/`.
"""

from collections.abc import Callable, Mapping
from typing import Any

from tunesmith.artifacts.schema import SCHEMA_VERSION
from tunesmith.errors import ArtifactError, shown

__all__ = ["check_version", "migrated"]

_Manifest = dict[str, Any]
_STEPS: dict[int, Callable[[_Manifest], _Manifest]] = {}


def _step(version: int) -> Callable[[Callable[[_Manifest], _Manifest]], Callable[[_Manifest], _Manifest]]:
    """Register a function that returns a manifest of `version` as one of the next version."""

    def register(step: Callable[[_Manifest], _Manifest]) -> Callable[[_Manifest], _Manifest]:
        _STEPS[version] = step
        return step

    return register


def check_version(manifest: Mapping[str, Any], where: str) -> None:
    """Check that this tunesmith reads the version of `manifest`.

    Raises:
        ArtifactError: it is newer, or no version at all.
    """
    version = manifest.get("schema_version")
    if type(version) is not int or version < 1:
        raise ArtifactError(
            f"{where} has no schema version of tunesmith. Given: {shown(version)}; this tunesmith reads the versions 1 "
            f"to {SCHEMA_VERSION}. Restore the file, or compile again."
        )
    if version > SCHEMA_VERSION:
        raise ArtifactError(
            f"{where} has schema version {version}, of a newer tunesmith; this one reads the versions 1 to "
            f"{SCHEMA_VERSION}. Update it (pip install --upgrade tunesmith), or compile again."
        )


def migrated(manifest: _Manifest, where: str) -> _Manifest:
    """Return `manifest` as one of this version. Its hashes stay those of its file, so its identity does too.

    Raises:
        ArtifactError: it is not what its version says.
    """
    version = manifest["schema_version"]
    try:
        for before in range(version, SCHEMA_VERSION):
            manifest = {**_STEPS[before](manifest), "schema_version": before + 1}
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ArtifactError(
            f"{where} is not a manifest of version {version}: {error!r}. Restore the file, or compile again."
        ) from error
    return manifest


@_step(1)
def _frozen_parts_and_tools(manifest: _Manifest) -> _Manifest:
    """Version 1 held neither frozen parts nor tools nor decisions, and `spec` only for registered modules."""
    program: Mapping[str, Any] = manifest["program"]
    predictors = {path: {**one, "decisions": None} for path, one in program["predictors"].items()}
    return {**manifest, "program": {"spec": None, **program, "predictors": predictors, "frozen": {}, "tools": {}}}


@_step(2)
def _order_of_keys(manifest: _Manifest) -> _Manifest:
    """Version 2 sorted all keys, also those whose order means something. Which order they had is not known."""
    return manifest
