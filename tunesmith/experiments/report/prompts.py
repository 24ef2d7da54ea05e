"""The prompts that a page shows: what the compiled program and the program as given send."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tunesmith.artifacts import export_program, load
from tunesmith.errors import TunesmithError
from tunesmith.modules import Candidate, Module, render

__all__ = ["shown_prompts"]


def shown_prompts(folder: Path, inputs: Mapping[str, Any] | None, allow: Sequence[str]) -> dict[str, Any]:
    """Return the prompts of an artifact.

    Args:
        folder: of the artifact.
        inputs: of an example, `None` without one.
        allow: classes that the artifact may import.

    Returns:
        `messages` that are sent first for the example, `given` with those of the program as given if it differs, and
        `steps` with the messages of each predictor if there are several, an input as `{{name}}`; or only `why` they
        cannot be shown.
    """
    if not folder.is_dir():
        return {"why": "the run has no artifact"}
    if inputs is None:
        return {"why": "the run keeps no examples"}
    try:
        program: Module = load(folder, allow=allow)
        found: dict[str, Any] = {"messages": render(program, **inputs).messages}
    except TunesmithError as error:
        return {"why": str(error)}
    before = _as_given(program)
    try:
        found["given"] = [] if before is None else render(before, **inputs).messages
        several = len(program.named_predictors()) > 1
        found["steps"] = json.loads(export_program(program, to="messages").text)["predictors"] if several else {}
    except TunesmithError:  # what the compiled program sends is shown all the same
        found |= {"given": found.get("given", []), "steps": {}}
    return found


def _as_given(program: Any) -> Module | None:
    """Return the program before the compile, `None` if it is not known or nothing was changed."""
    artifact = program.artifact
    before = artifact.baseline_json
    if before is None or before == artifact.candidate_json:
        return None
    signatures = {path: one.signature for path, one in program.named_predictors()}
    try:
        given: Module = Candidate.from_json(before, signatures).apply(program)
    except TunesmithError:  # the search may have added a field
        return None
    return given
