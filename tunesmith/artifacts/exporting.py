"""Export a program for another tool."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tunesmith.artifacts.artifact import Artifact
from tunesmith.artifacts.export._source import Source
from tunesmith.artifacts.export._target import Exported, export_kind
from tunesmith.modules import Module
from tunesmith.options import check_values

__all__ = ["export_program"]


def export_program(
    given: Module | Artifact | str | os.PathLike[str],
    *,
    to: str,
    out: str | os.PathLike[str] | None = None,
    program: Module | Callable[[], Module] | None = None,
    allow: Sequence[str] = (),
    **options: Any,
) -> Exported:
    r"""Return a program as files for another tool.

    Args:
        given: a program, an artifact, or the path of an artifact's folder; for data for fine-tuning a run, by its
            folder or name.
        to: the target's name, such as `messages`; `docs/export.md` has them all.
        out: where to write: a file, or a folder for several files. By default nothing is written.
        program: for an artifact, as in `ts.load`.
        allow: for an artifact, as in `ts.load`.
        **options: of the target.

    Raises:
        UsageError: there is no such target or option, or the target cannot carry the program.
        ArtifactError: the artifact cannot be loaded, or the disk cannot be written.

    Example:
        >>> import json
        >>> import tunesmith as ts
        >>> found = ts.export(ts.Predict("question -> answer"), to="messages")
        >>> json.loads(found.text)["predictors"]["self"]["messages"][-1]["content"]
        'Question: {{question}}\nAnswer:'
    """
    kind = export_kind(to)
    found = kind(**check_values(kind, options)).files(Source(given, program, allow))
    if out is not None:
        found.write(Path(out))
    return found
