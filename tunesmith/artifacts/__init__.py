"""Artifacts: a compiled program as a folder of JSON, to review, verify and load."""

from typing import TYPE_CHECKING

from tunesmith.lazy import lazy_package

if TYPE_CHECKING:
    from tunesmith.artifacts.artifact import Artifact, verify
    from tunesmith.artifacts.loading import load
    from tunesmith.artifacts.rebuild import note_on_loading
    from tunesmith.artifacts.saving import save
else:
    __getattr__ = lazy_package(__name__)

__all__ = ["Artifact", "load", "note_on_loading", "save", "verify"]
