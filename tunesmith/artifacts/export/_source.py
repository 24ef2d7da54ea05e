"""What is exported: an artifact, a program, or a folder."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from tunesmith.artifacts.artifact import Artifact, verify
from tunesmith.artifacts.export._prompt import Prompt, prompt_of
from tunesmith.artifacts.frozen import frozen_modules
from tunesmith.artifacts.loading import load
from tunesmith.errors import UsageError, shown
from tunesmith.modules import (
    DspyPredict,
    Module,
    Retriever,
    bound_offsets,
    class_name,
    lone_predictor,
    nearest_of,
    tree,
    with_default_formats,
)

__all__ = ["Source"]


@dataclass(frozen=True)
class Source:
    """What is exported. Nothing is loaded before it is used.

    Attributes:
        given: a program, an artifact, or the path of a folder: of an artifact, or for some targets of a run.
        made: for an artifact, the program as in `ts.load(..., program=...)`.
        allow: for an artifact, the classes that may be imported.
    """

    given: Module | Artifact | str | os.PathLike[str]
    made: Module | Callable[[], Module] | None = None
    allow: Sequence[str] = field(default=())

    def __post_init__(self) -> None:
        if not isinstance(self.given, Module | Artifact | str | os.PathLike):
            raise UsageError(
                "An export takes a program, an artifact, or the path of an artifact's folder. "
                f"Given: {shown(self.given)}."
            )

    @property
    def path(self) -> Path | None:
        """The folder, `None` for a program without one."""
        if isinstance(self.given, Artifact):
            return self.given.path
        return None if isinstance(self.given, Module) else Path(self.given)

    @cached_property
    def program(self) -> Module:
        """A copy of the program, with a format for every predictor.

        Raises:
            ArtifactError: as `ts.load`.
        """
        if isinstance(self.given, Module):
            return with_default_formats(self.given)
        path = self.given.path if isinstance(self.given, Artifact) else self.given
        return with_default_formats(load(path, program=self.made, allow=self.allow))

    @cached_property
    def predictors(self) -> dict[str, DspyPredict]:
        """The predictors by path, those of parts that were compiled before too, which DSPy does not list."""
        found: dict[str, DspyPredict] = dict(self.program.named_predictors())
        for place, part in frozen_modules(self.program).items():
            inside = with_default_formats(part).named_predictors()
            found |= {f"{place}.{path}": predictor for path, predictor in inside}
        return found

    @property
    def artifact(self) -> Artifact | None:
        """The artifact, also that of a program which was loaded from one; `None` without one."""
        if isinstance(self.given, Artifact):
            return self.given
        found = getattr(self.given if isinstance(self.given, Module) else self.program, "artifact", None)
        return found if isinstance(found, Artifact) else None

    def saved(self, target: str) -> Artifact:
        """Return the artifact, verified.

        Raises:
            UsageError: it is a program without one.
            ArtifactError: as `verify`.
        """
        path = self.path if self.artifact is None else self.artifact.path
        if path is None:
            raise UsageError(
                f"The target {target!r} takes an artifact. Save the program with `ts.save(folder, program)`, and give "
                "the folder."
            )
        return verify(path)

    @property
    def title(self) -> str:
        """What the program is called: the name of its run or folder, else that of its class."""
        path = self.artifact.path if self.artifact is not None else self.path
        if path is None:
            return type(self.program).__name__
        path = path.absolute()
        return path.parent.name if path.name == "artifact" else path.name

    @cached_property
    def prompts(self) -> tuple[Prompt, ...]:
        """The messages of each predictor.

        Raises:
            UsageError: they are no fixed messages: demos are chosen for each call, or tools or a search fill them.
        """
        self.check_fixed()
        return tuple(prompt_of(path, predictor) for path, predictor in self.predictors.items())

    def only_prompt(self, target: str) -> Prompt:
        """Return the messages of the only predictor.

        Raises:
            UsageError: there are several, or as `prompts`.
        """
        if len(self.prompts) != 1:
            paths = ", ".join(prompt.path for prompt in self.prompts)
            raise UsageError(
                f"The target {target!r} carries one predictor; this program has {len(self.prompts)}: {paths}. "
                "Use the target 'messages', which has the messages of each, or export a program of one of them."
            )
        return self.prompts[0]

    @property
    def notes(self) -> tuple[str, ...]:
        """What fixed messages do not carry of this program."""
        found = []
        if lone_predictor(self.program) is None:
            found.append(
                f"What `{type(self.program).__name__}` does around its predictors is not carried: in which order it "
                "calls them, how often, and what it makes of the replies."
            )
        if any(bound_offsets(predictor) for predictor in self.predictors.values()):
            found.append("The calibration is not carried: replies are taken as they come, without offsets of labels.")
        return tuple(found)

    def check_fixed(self) -> None:
        """Check that the program sends fixed messages.

        Raises:
            UsageError: it chooses demos for each call, or has tools or a search.
        """
        program = self.program
        for path, predictor in self.predictors.items():
            if nearest_of(predictor) is not None:
                raise UsageError(
                    f"The demos of `{path}` are chosen for each call, so there are no fixed messages to export. Serve "
                    "the artifact, or compile with a compiler that chooses fixed demos."
                )
        parts: Any = program.named_sub_modules(Module)
        for path, part in parts:
            if isinstance(part, Retriever) or class_name(part).startswith("dspy.retrievers"):
                raise UsageError(
                    f"The program searches texts (`{type(part).__name__}` at `{path}`), and an export carries no "
                    "search. Serve the artifact instead."
                )
        tools = _tools(tree(program))
        if tools:
            raise UsageError(
                f"The program calls tools ({', '.join(tools)}), and an export carries none. Serve the artifact instead."
            )


def _tools(found: Any) -> tuple[str, ...]:
    return (*found.tools, *(tool for part in found.parts for tool in _tools(part)))
