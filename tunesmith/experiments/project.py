"""The project file: names program, metric, data, model and compiler, so that verbs need no arguments."""

import difflib
import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model, model_validator

from tunesmith.compilers import Compiler, check_values, compiler_named, compilers, option_names, read_option
from tunesmith.data import Dataset, Splits
from tunesmith.errors import DataError, UsageError, shown
from tunesmith.experiments.named import find_metric, find_object, find_program, find_signature
from tunesmith.lm import Budget, engine_kind, file_options
from tunesmith.metrics import Metric
from tunesmith.modules import Module, ProgramInputs, program_inputs

__all__ = ["PROJECT_FILE", "Project", "ProjectSettings"]

PROJECT_FILE = "tunesmith.toml"
Count = Field(default=None, ge=0)
Positive = Field(default=None, ge=1)
_DATA_OPTIONS = {
    "columns": "columns = { answer = 'Reply' }",
    "delimiter": "delimiter = ';'",
    "encoding": "encoding = 'cp1252'",
}
"""Of each option that an error of a file may name, how it is written in the project's file."""

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class _Table(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class SplitSettings(_Table):
    """`split = {...}`: rows (whole numbers) or shares of all rows (fractions) for each part of `[data] file`.

    The other options are those of `Dataset.split`.
    """

    train: int | float
    val: int | float | None = None
    test: int | float | None = None
    seed: int = 0
    stratify: str | None = None
    group: str | None = None
    near: float | None = Field(default=None, gt=0, le=1)


class DataSettings(_Table):
    """`[data]`: a file for each split, or one file with `split`; paths start at the project file.

    `group` names the field whose value related examples share; it is that of `split` as well. `columns`, `delimiter`
    and `encoding` say how the files are read, as in `Dataset.load`. `bad_cases` is a file for `ts.compile`.
    """

    train: str | None = None
    val: str | None = None
    test: str | None = None
    file: str | None = None
    split: SplitSettings | None = None
    bad_cases: str | None = None
    inputs: list[str] | None = None
    signature: str | None = None
    group: str | None = None
    columns: dict[str, str] | None = None
    delimiter: str | None = None
    encoding: str | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        parts = [name for name in ("train", "val", "test") if getattr(self, name) is not None]
        if self.file is not None and parts:
            raise ValueError(f"`file` and `{parts[0]}` contradict each other: give one file to split, or one per split")
        if (self.file is None) != (self.split is None):
            raise ValueError("`file` and `split` belong together")
        if self.inputs is not None and self.signature is not None:
            raise ValueError("`inputs` and `signature` contradict each other: a signature names its inputs")
        if self.group is not None and self.split is not None and self.split.group not in (None, self.group):
            raise ValueError("`group` and `split.group` contradict each other: give one")
        return self

    @property
    def related(self) -> str | None:
        """The field whose value related examples share, wherever it is named."""
        return self.group if self.group is not None or self.split is None else self.split.group


class _LmSettings(_Table):
    """`[lm]`: the model and the options of `ts.lm`; of a key the name of the environment variable that holds it."""

    spec: str | None = None
    slots: int | None = Positive
    temperature: float | None = Field(default=None, ge=0)
    max_tokens: int | None = Positive
    patience: float | None = Field(default=None, ge=0)
    api_key_env: str | None = None

    def options(self) -> dict[str, Any]:
        """Return the options of `ts.lm`, the key from the environment among them: it stands in no file.

        Raises:
            UsageError: `api_key_env` is not the name of a variable, or that is not set, or the model takes no key.
        """
        found = self.model_dump(exclude={"spec", "api_key_env"}, exclude_none=True)
        return found if self.api_key_env is None else {**found, "api_key": self._key(self.api_key_env, found)}

    def _key(self, name: str, options: dict[str, Any]) -> str:
        if not _VARIABLE.fullmatch(name):
            raise UsageError(
                "`api_key_env` under [lm] is the name of an environment variable, such as MY_SERVER_KEY. What stands "
                "there is not one, and is not shown, as it may be the key itself: a key belongs into no file."
            )
        spec = self.spec or ""
        kind = engine_kind(spec, options)
        if "api_key" not in kind.options.declared():
            raise UsageError(
                f"`api_key_env` under [lm]: {shown(spec)} takes no key. {kind.instead.get('api_key', kind.otherwise)}."
            )
        if not os.environ.get(name):
            raise UsageError(
                f"The variable {name}, which `api_key_env` under [lm] names, is not set. Set it to the server's key: "
                f"`export {name}=...`."
            )
        return os.environ[name]


if TYPE_CHECKING:
    LmSettings = _LmSettings
else:  # with the options of every engine that a file may hold
    LmSettings = create_model(
        "LmSettings",
        __base__=_LmSettings,
        **{name: (kind | None, None) for name, kind in file_options().items()},
    )


class CompileSettings(_Table):
    """`[compile]`: compiler, budget and run; every other key is an option of the compiler, see `docs/compilers.md`.

    `executor` says where examples run, of `tunesmith eval` as well. `teacher` (`module:attr`), `freeze` and
    `protect` are those of `ts.compile`.
    """

    model_config = ConfigDict(strict=True, extra="allow", frozen=True)

    compiler: str = "portfolio"
    run: str = "compile"
    seed: int = 0
    budget_calls: int | None = Positive
    budget_tokens: int | None = Count
    budget_seconds: float | None = Count
    slots: int | None = Positive
    executor: str | None = None
    teacher: str | None = None
    freeze: list[str] = []
    protect: list[str] = []

    @property
    def options(self) -> dict[str, Any]:
        """The options of the compiler."""
        return dict(self.model_extra or {})


class ProjectSettings(_Table):
    """The whole file."""

    program: str | None = None
    metric: str | None = None
    data: DataSettings = DataSettings()
    lm: LmSettings = LmSettings()
    prompt_lm: LmSettings = LmSettings()
    teacher_lm: LmSettings = LmSettings()
    judge_lm: LmSettings = LmSettings()
    compile: CompileSettings = CompileSettings()


@dataclass(frozen=True, slots=True)
class Project:
    """A project file with the folder it is in. Nothing is imported or read before it is asked for.

    Attributes:
        root: the folder that paths and modules start from.
        settings: what the file says.
        path: the file, `None` if there is none and options said everything.
    """

    root: Path
    settings: ProjectSettings
    path: Path | None = None

    @classmethod
    def load(cls, path: str | Path | None = None) -> "Project":
        """Read a project file.

        Args:
            path: the file or its folder; by default the first `tunesmith.toml` in this folder and those above.

        Raises:
            UsageError: there is no such file, or something in it is wrong; names file and key.
        """
        if path is None:
            found = cls.find()
            if found is None:
                raise UsageError(
                    f"There is no {PROJECT_FILE} in {Path.cwd()} or above. Write a project with `tunesmith init`."
                )
            return found
        file = Path(path) / PROJECT_FILE if Path(path).is_dir() else Path(path)
        return cls(file.parent, _settings(file), file)

    @classmethod
    def find(cls) -> "Project | None":
        """Return the project of this folder or of one above, `None` if there is none.

        Raises:
            UsageError: the file that was found is wrong.
        """
        here = Path.cwd()
        for folder in (here, *here.parents):
            file = folder / PROJECT_FILE
            if file.is_file():
                root = Path() if folder == here else folder
                return cls(root, _settings(file), file)
        return None

    def changed(self, *, compile: Mapping[str, Any] | None = None, **settings: Any) -> "Project":  # noqa: A002
        """Return the project with settings replaced; a value of `None` leaves the setting as it is.

        Raises:
            UsageError: a setting that cannot be.
        """
        given = {name: value for name, value in settings.items() if value is not None}
        table = {name: value for name, value in (compile or {}).items() if value is not None}
        own = self.settings.compile
        kept = own.model_dump()
        if table.get("compiler", own.compiler) != own.compiler:  # the options in the file are of the compiler there
            kept = {name: value for name, value in kept.items() if name not in own.options}
        merged = {**self.settings.model_dump(), **given, "compile": {**kept, **table}}
        return replace(self, settings=_checked(merged, "the options"))

    def with_options(self, given: Sequence[str]) -> "Project":
        """Return the project with options of its compiler replaced, each written `name=value`.

        Raises:
            UsageError: one is not written so, or is not an option of the compiler, or cannot have this value.
        """
        kind, found = self._compiler_kind(), dict[str, Any]()
        for text in given:
            name, equals, value = text.partition("=")
            if not equals:
                raise UsageError(f"`--set` takes `option=value`, as in `--set num_candidates=8`. Given: {shown(text)}.")
            found[name.strip()] = read_option(kind, name.strip(), value.strip())
        return self.changed(compile=found) if found else self

    def program(self) -> Module:
        """Import and return the program.

        Raises:
            UsageError: none is named, or it cannot be had.
        """
        if self.settings.program is None:
            raise UsageError(self._missing("program", "program = 'module:attr'", "name one as `module:attr`"))
        return find_program(self.settings.program, self.root)

    def metric(self) -> Metric:
        """Import and return the metric.

        Raises:
            UsageError: none is named, or it cannot be had.
        """
        if self.settings.metric is None:
            raise UsageError(
                self._missing("metric", "metric = 'module:attr'", "pass --metric, for instance exact_match:field")
            )
        return find_metric(self.settings.metric, self.root)

    def inputs(self, program: Module) -> ProgramInputs:
        """Return what the data must hold: as `[data]` says, else as the program asks for.

        Raises:
            UsageError: neither says it.
        """
        data = self.settings.data
        if data.signature is not None:
            return ProgramInputs.of(find_signature(data.signature, self.root))
        if data.inputs is not None:
            return ProgramInputs(tuple(data.inputs))
        return program_inputs(program)

    def read(self, path: str | Path, program: Module) -> Dataset:
        """Read one data file for `program`.

        Raises:
            UsageError, DataError: it cannot be read, or a row does not fit.
        """
        needed, data = self.inputs(program), self.settings.data
        try:
            return Dataset.load(
                path,
                signature=needed.signature,
                inputs=needed.names if needed.signature is None else None,
                columns=data.columns,
                delimiter=data.delimiter,
                encoding=data.encoding,
                group=data.related,
            )
        except (DataError, UsageError) as error:
            written = [f"`{line}`" for option, line in _DATA_OPTIONS.items() if f"`{option}=" in str(error)]
            if written:
                error.add_note(f"In {PROJECT_FILE} such an option stands under [data], as in {' or '.join(written)}.")
            raise

    def data(self, program: Module) -> Splits:
        """Read the data; a split that is not named is `None`.

        Raises:
            UsageError, DataError: it cannot be read, or a row does not fit.
        """
        data = self.settings.data
        if data.file is not None and data.split is not None:
            return self.read(self.root / data.file, program).split(**data.split.model_dump())
        parts = {
            name: None if given is None else self.read(self.root / given, program)
            for name, given in (("train", data.train), ("val", data.val), ("test", data.test))
        }
        return Splits(**parts)

    def bad_cases(self, program: Module) -> Dataset | None:
        """Read the bad cases, `None` if no file is named.

        Raises:
            UsageError, DataError: it cannot be read, or a row does not fit.
        """
        given = self.settings.data.bad_cases
        return None if given is None else self.read(self.root / given, program)

    def compiler(self, metric: Metric) -> Compiler:
        """Return the compiler with its options and the budget.

        Raises:
            UsageError: an option that this compiler does not take.
        """
        table, kind = self.settings.compile, self._compiler_kind()
        options = check_values(kind, table.options)
        return kind(metric=metric, budget=self.budget(), slots=table.slots, seed=table.seed, **options)

    def _compiler_kind(self) -> type[Compiler]:
        return compiler_named(self.settings.compile.compiler, lambda name: find_object(name, self.root))

    def budget(self) -> Budget:
        """Return what a compile may be charged."""
        table = self.settings.compile
        return Budget(calls=table.budget_calls, tokens=table.budget_tokens, seconds=table.budget_seconds)

    def _missing(self, what: str, line: str, option: str) -> str:
        if self.path is None:
            place = f"no {PROJECT_FILE} is in this folder or above it; `tunesmith init` writes one"
        else:
            place = f"{self.path} names none"
        return f"There is no {what}: {place}. Write `{line}` into {PROJECT_FILE}, or {option}."


def _settings(file: Path) -> ProjectSettings:
    try:
        return _checked(tomllib.loads(file.read_text(encoding="utf-8-sig")), str(file))
    except OSError as error:
        raise UsageError(f"The project file {shown(str(file))} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{file} is not UTF-8 text: {error.reason} at byte {error.start}.") from error
    except tomllib.TOMLDecodeError as error:
        quotes = " A text stands in quotes." if "Invalid value" in str(error) else ""
        raise UsageError(f"{file} is not TOML: {error}.{quotes}") from error


def _checked(given: Mapping[str, Any], where: str) -> ProjectSettings:
    """Return the settings that `given` holds, the options of a compiler of ours checked.

    Those of the user's own compiler are checked when it is imported.
    """
    try:
        found = ProjectSettings.model_validate(given)
    except ValidationError as error:
        raise UsageError(_problem(error, where)) from error
    table = found.compile
    if ":" in table.compiler or (not table.options and table.compiler == CompileSettings().compiler):
        return found
    try:
        kind = compiler_named(table.compiler, lambda name: None)
    except UsageError as error:
        raise UsageError(f"{where}: `compile.compiler`: {error}") from None
    for name, value in table.options.items():
        if name not in _option_names():
            raise UsageError(_unknown_key(["compile", name], where))
        check_values(kind, {name: value}, f"{where}: [compile] ")
    return found


def _option_names() -> set[str]:
    return {name for kind in compilers().values() for name in option_names(kind)}


def _problem(error: ValidationError, where: str) -> str:
    """Return the first problem in words: file, key, what was given, what is known."""
    problems = error.errors(include_url=False)
    first = problems[0]
    keys = [str(part) for part in first["loc"] if not _is_union_branch(part)]
    more = f" ({len(problems) - 1} more)" if len(problems) > 1 else ""
    if first["type"] == "extra_forbidden":
        return f"{_unknown_key(keys, where)}{more}"
    message = first["msg"].removeprefix("Value error, ")
    return f"{where}: `{'.'.join(keys)}`: {message}. Given: {shown(first['input'])}.{more}"


def _unknown_key(keys: list[str], where: str) -> str:
    known, name = _known_keys(keys[:-1]), keys[-1]
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    advice = f"Did you mean `{near[0]}`?" if near else f"Known are: {', '.join(known)}."
    homes = [home for home, table in ProjectSettings() if name in getattr(type(table), "model_fields", ())]
    if name in _option_names():
        homes.append("compile")
    if homes:
        advice = f"It stands under [{homes[0]}]."
    return f"{where}: there is no key `{'.'.join(keys)}`. {advice}"


def _is_union_branch(part: Any) -> bool:
    return part in ("int", "float", "str")


def _known_keys(path: list[str]) -> list[str]:
    table: type[BaseModel] = ProjectSettings
    for name in path:
        annotation = table.model_fields[name].annotation
        kinds = [annotation, *get_args(annotation)]
        table = next(kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel))
    return [*table.model_fields, *(sorted(_option_names()) if table is CompileSettings else ())]
