"""Artifacts: a compiled program as a folder of JSON, to review, verify and load."""

from typing import TYPE_CHECKING

from tunesmith.lazy import lazy_package

if TYPE_CHECKING:
    from tunesmith.artifacts.artifact import Artifact, verify
    from tunesmith.artifacts.comparing import ArtifactDiff, diff
    from tunesmith.artifacts.export._target import Export, Exported, export_kind, export_kinds, export_summary
    from tunesmith.artifacts.exporting import export_program
    from tunesmith.artifacts.inspecting import Check, inspect_files
    from tunesmith.artifacts.keys import new_key
    from tunesmith.artifacts.loading import load
    from tunesmith.artifacts.rebuild import note_on_loading
    from tunesmith.artifacts.saving import save
    from tunesmith.artifacts.signing import sign, verify_signature
else:
    __getattr__ = lazy_package(__name__)

__all__ = [
    "Artifact",
    "ArtifactDiff",
    "Check",
    "diff",
    "Export",
    "export_kind",
    "export_kinds",
    "export_program",
    "export_summary",
    "Exported",
    "inspect_files",
    "load",
    "new_key",
    "note_on_loading",
    "save",
    "sign",
    "verify",
    "verify_signature",
]
