"""Choose the model and the program from an option, the environment or the project file."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tunesmith.artifacts import load, verify
from tunesmith.errors import UsageError, shown
from tunesmith.experiments import Project, find_object, find_program
from tunesmith.lm import LM
from tunesmith.modules import Module

__all__ = [
    "allow_imports",
    "artifact_spec",
    "chosen_artifact",
    "chosen_lm",
    "chosen_model",
    "chosen_program",
    "chosen_role",
    "chosen_spec",
    "chosen_teacher",
    "changed_project",
    "current_project",
]


def current_project() -> Project:
    """Return the project of the current folder, or an empty one.

    Raises:
        UsageError: the project file is invalid.
    """
    found = Project.find()
    return Project.without_file() if found is None else found


def changed_project(
    *, metric: str | None, sets: Sequence[str], freeze: Sequence[str], protect: Sequence[str], **options: Any
) -> Project:
    """Return the project with the options of `settings_options` before what it says; `options` are of [compile]."""
    table = {**options, "freeze": list(freeze) or None, "protect": list(protect) or None}
    return current_project().changed(metric=metric, compile=table).with_options(sets)


def chosen_spec(given: str | None, project: Project | None = None) -> str | None:
    """Return the spec of the model: the option, else TUNESMITH_LM, else the project file, else `None`."""
    return given if given is not None else (current_project() if project is None else project).settings.lm.spec


def chosen_model(given: str | None, project: Project) -> tuple[str | None, dict[str, Any]]:
    """Return the spec of the model (or `None`) and its options.

    The options under [lm] apply only to the model named there. They apply also if another place names that model, so
    that its texts go to the same server.

    Raises:
        UsageError: the project file is invalid.
    """
    settings = project.changed(lm={"spec": given}).settings.lm
    return settings.spec, {} if settings.spec is None else settings.options()


def artifact_spec(folder: Path, *, providers: bool) -> str | None:
    """Return the spec of the model that an artifact names, `None` if it names none that can be had by name alone.

    Args:
        folder: of the artifact.
        providers: whether it may name a provider, which is asked with the user's key.

    Raises:
        ArtifactError: there is no artifact, or it is damaged.
    """
    identity = verify(folder).lm
    engine, _, _ = str(identity["backend"]).partition(" ")
    name = str(identity["model"])
    known = {"ollama": f"ollama/{name}", "llamacpp": name} | ({"dspy": name} if providers else {})
    return known.get(engine)


def chosen_lm(
    given: str | None,
    project: Project | None = None,
    *,
    slots: int | None = None,
    store: bool = True,
    artifact: Path | None = None,
) -> LM:
    """Return the model: the option, else TUNESMITH_LM, else the project file, else that of `artifact`, if one is given.

    Without `store`, the cache is neither read nor written. An artifact may name a model in this process or on the
    user's Ollama server, not a provider.

    Raises:
        UsageError: no model is configured, or its spec is invalid.
        ModelMissing: the weight file is missing.
        ArtifactError: there is no artifact, or it is damaged.
    """
    project = current_project() if project is None else project
    if artifact is not None and chosen_spec(given, project) is None:
        given = artifact_spec(artifact, providers=False)
    return project.changed(lm={"spec": given, "slots": slots}).model(store=store)


def chosen_role(name: str, given: str | None, project: Project, *, store: bool = True) -> LM | None:
    """Return the model of a role: the option, else the table of the role in the project file, else `None`.

    Args:
        name: of the table: `prompt_lm`, `teacher_lm` or `judge_lm`.
        given: the option.
        project: has the tables.
        store: whether the cache is read and written.

    Raises: the errors of `chosen_lm`.
    """
    return project.changed(**{name: {"spec": given}}).role(name, store=store)


def chosen_teacher(
    given: str | None, spec: str | None, project: Project, model: LM, allow: Sequence[str], *, store: bool = True
) -> Module | LM | None:
    """Return what makes demos: a program (`module:attr` or an artifact's folder), a model, or `None` for neither.

    Raises:
        UsageError: both are given; else as `chosen_program` and `chosen_lm`.
    """
    named = project.settings.compile.teacher if given is None and spec is None else given
    found = chosen_role("teacher_lm", spec, project, store=store) if given is None or spec is not None else None
    if named is None:
        return found
    if found is not None:
        raise UsageError("A teacher is a program or a model. Give `teacher` or `teacher_lm`, not both.")
    return chosen_program(named, project, model, allow)


def chosen_program(target: str | None, project: Project, model: LM | None, allow: Sequence[str]) -> Module:
    """Return the program of the target (an artifact's folder, `module:attr` or a signature), or the project's program.

    Raises:
        UsageError: the target is neither, or cannot be imported.
        ArtifactError: the artifact is damaged, or needs code that was not allowed.
    """
    if target is None:
        return project.program()
    if Path(target).is_dir():
        return chosen_artifact(Path(target), allow, model)
    if ":" in target or "->" in target:
        return find_program(target, project.root)
    raise UsageError(
        f"{shown(target)} is neither the folder of an artifact nor a program's `module:attr`. Give the path from "
        "`tunesmith compile`, a name such as `program:program`, or a signature such as `question -> answer`."
    )


def chosen_artifact(
    path: Path, allow: Sequence[str], model: LM | None = None, *, trusted: Sequence[Path] = ()
) -> Module:
    """Load the artifact's program, with the classes of `--allow` from the project's folder first, then the current one.

    With `trusted`, one of these keys must have signed it.

    Raises:
        UsageError: a class cannot be imported.
        ArtifactError: the artifact is damaged, or needs code that was not allowed.
    """
    allow_imports(allow)
    return load(path, lm=model, allow=tuple(allow), trusted=trusted or None)


def allow_imports(allow: Sequence[str]) -> None:
    """Import the classes of `--allow`, from the project's folder first, then the current one.

    Raises:
        UsageError: a class cannot be imported.
    """
    if allow:
        here = str(Path.cwd())
        if here not in sys.path:
            sys.path.append(here)
        root = current_project().root
        for name in allow:
            find_object(name, root)
