"""The cells of an experiment of a project: `[experiments.NAME]` in `tunesmith.toml`."""

import difflib
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tunesmith.data import Splits
from tunesmith.errors import UsageError, shown
from tunesmith.experiments.experiment import Cell, Experiment, cell_name
from tunesmith.experiments.named import find_program
from tunesmith.experiments.project import Project
from tunesmith.experiments.settings import AXES, ExperimentSettings, ProgramSettings
from tunesmith.experiments.toml_lines import Keys
from tunesmith.lm import LM
from tunesmith.modules import Module

__all__ = ["project_experiment"]


@dataclass(frozen=True, slots=True)
class _Choice:
    """One value of an axis.

    Attributes:
        label: in words.
        said: what it says of the settings.
        named: whether the axis is in the file, so that the label is a part of the run's name.
        number: its place on the axis.
    """

    label: str
    said: Mapping[str, Any]
    named: bool
    number: int


def project_experiment(project: Project, name: str, *, store: bool = True) -> Experiment:
    """Return the experiment `name` of a project file. Nothing is imported or read before a cell needs it.

    What a list of the experiment says comes before everything else: a cell is of that model, whatever `TUNESMITH_LM`
    says. Else options come before variables, these before the experiment, and that before the rest of the file.

    Args:
        project: has the file.
        name: of the table `[experiments.NAME]`.
        store: whether models read and write the cache.

    Raises:
        UsageError: there is no such experiment, or something in it is wrong.
    """
    known = project.settings.experiments
    if name not in known:
        raise UsageError(_unknown(project, name, list(known)))
    given, base = known[name], project.of_experiment(name)
    axes = [_axis(given, axis, base) for axis in AXES]
    # The model changes last, so that each is loaded once.
    order = sorted(itertools.product(*axes), key=lambda choices: choices[2].number)
    shared = _Shared(store)
    return Experiment(name, tuple(_cell(name, base, choices, shared) for choices in order), project.root)


def _unknown(project: Project, name: str, known: Sequence[str]) -> str:
    if not known:
        return (
            f"There is no experiment {shown(name)}: {project.path or 'no tunesmith.toml'} has none. It is a table "
            "[experiments.NAME] with `programs`, `compilers`, `models` or `seeds`: docs/experiments.md."
        )
    near = difflib.get_close_matches(name, known, n=1)
    more = f" Did you mean {near[0]!r}?" if near else ""
    return f"There is no experiment {shown(name)}. There is: {', '.join(known)}.{more}"


def _axis(given: ExperimentSettings, axis: str, base: Project) -> list[_Choice]:
    values = getattr(given, axis)
    if values is None:
        return [_Choice(_label(axis, _value_of(base, axis)), {}, named=False, number=0)]
    return [
        _Choice(getattr(one, "name", None) or _label(axis, one), _said(axis, one), named=True, number=number)
        for number, one in enumerate(values)
    ]


def _value_of(base: Project, axis: str) -> Any:
    settings = base.settings
    values = {"programs": settings.program, "compilers": settings.compile.compiler, "models": settings.lm.spec}
    return {**values, "seeds": settings.compile.seed}[axis]


def _label(axis: str, value: Any) -> str:
    if axis == "seeds":
        return f"seed{value}"
    if isinstance(value, ProgramSettings):
        value = value.signature
    return " ".join(str(getattr(value, "compiler", None) or getattr(value, "spec", None) or value or "").split())


def _said(axis: str, value: Any) -> dict[str, Any]:
    """Return what one value of an axis says, as tables of the file."""
    plain = value if isinstance(value, str | int) else value.model_dump(exclude={"name"}, exclude_none=True)
    if axis == "programs":
        return {"program": plain}
    table, key = {"compilers": ("compile", "compiler"), "models": ("lm", "spec"), "seeds": ("compile", "seed")}[axis]
    return {table: plain if isinstance(plain, dict) else {key: plain}}


def _cell(name: str, base: Project, choices: Sequence[_Choice], shared: "_Shared") -> Cell:
    program, compiler, model, _ = choices
    run = cell_name(name, (choice.label for choice in choices if choice.named))
    said: dict[str, Any] = {"compile": {"run": run}}
    places: dict[Keys, Keys] = {}
    for axis, choice in zip(AXES, choices, strict=True):
        for key, value in choice.said.items():
            tables = key in said and isinstance(value, dict)
            said[key] = {**said[key], **value} if tables else value
            inside = value if isinstance(value, dict) and axis == "seeds" else ()
            keys: list[Keys] = [(key, one) for one in inside] or [(key,)]
            places |= dict.fromkeys(keys, (axis, choice.number))
    project = base.of_cell(name, said, places)
    return Cell(
        *(run, program.label, compiler.label, model.label, project.settings.compile.seed),
        arguments=lambda: shared.arguments(project, program.number),
        models=lambda: shared.models(project, model.number),
    )


class _Shared:
    """What cells share, so that data is read once for each program and a model is loaded once."""

    def __init__(self, store: bool) -> None:  # noqa: FBT001 - of this file alone
        self._store = store
        self._program: tuple[int, Module, Splits] | None = None
        self._model: tuple[int, LM] | None = None

    def arguments(self, project: Project, program: int) -> dict[str, Any]:
        if self._program is None or self._program[0] != program:
            found = project.program()
            self._program = (program, found, project.splits(found))
        _, found, splits = self._program
        return project.compile_arguments(found, splits)

    def models(self, project: Project, model: int) -> dict[str, Any]:
        if self._model is None or self._model[0] != model:
            self._model = (model, project.model(store=self._store))
        lm = self._model[1]
        teacher = project.settings.compile.teacher
        roles: dict[str, Any] = {name: project.role(name, store=self._store) for name in ("prompt_lm", "judge_lm")}
        making = project.role("teacher_lm", store=self._store)
        return {**roles, "lm": lm, "teacher": making if teacher is None else find_program(teacher, project.root)}
