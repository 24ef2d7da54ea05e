"""Artifacts: a compiled program as a folder of JSON that can be reviewed, verified and loaded."""

from tunesmith.artifacts.artifact import Artifact, read_manifest, verify
from tunesmith.artifacts.loading import load
from tunesmith.artifacts.rebuild import note_on_loading
from tunesmith.artifacts.saving import save

__all__ = ["Artifact", "load", "note_on_loading", "read_manifest", "save", "verify"]
