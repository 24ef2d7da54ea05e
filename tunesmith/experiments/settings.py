"""What a project file may hold: the tables of `tunesmith.toml` and their keys."""

import os
import re
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, create_model, field_validator, model_validator
from pydantic_core import PydanticCustomError

from tunesmith.errors import UsageError, shown
from tunesmith.lm import engine_kind, file_options

__all__ = [
    "AXES",
    "ExperimentSettings",
    "CONTRADICTION",
    "CompileSettings",
    "DataSettings",
    "LmSettings",
    "ProgramSettings",
    "ProjectSettings",
    "SplitSettings",
]

CONTRADICTION = "contradiction"
"""Type of an error about several keys; its context has their names as `keys`."""

Count = Field(default=None, ge=0)
Positive = Field(default=None, ge=1)
Amount = Field(default=None, ge=0, allow_inf_nan=False)
Seed = Field(default=0, ge=0, lt=2**32)
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class _Table(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


def _contradiction(one: str, other: str, problem: str) -> PydanticCustomError:
    return PydanticCustomError(CONTRADICTION, f"`{one}` and `{other}` {problem}", {"keys": (one, other)})


class SplitSettings(_Table):
    """`split = {...}`: rows (whole numbers) or shares of all rows (fractions) for each part of `[data] file`.

    The other options are those of `Dataset.split`.
    """

    train: int | float
    val: int | float | None = None
    test: int | float | None = None
    seed: int = Seed
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
            raise _contradiction("file", parts[0], "contradict each other: give one file to split, or one per split")
        if (self.file is None) != (self.split is None):
            raise _contradiction("file", "split", "belong together")
        if self.inputs is not None and self.signature is not None:
            raise _contradiction("inputs", "signature", "contradict each other: a signature names its inputs")
        if self.group is not None and self.split is not None and self.split.group not in (None, self.group):
            raise _contradiction("group", "split.group", "contradict each other: give one")
        return self

    @property
    def related(self) -> str | None:
        """The field whose value related examples share, wherever it is named."""
        return self.group if self.group is not None or self.split is None else self.split.group


class _LmSettings(_Table):
    """`[lm]`: the model and the options of `ts.lm`; of a key the name of the environment variable that holds it."""

    spec: str | None = None
    slots: int | None = Positive
    temperature: float | None = Amount
    max_tokens: int | None = Positive
    patience: float | None = Amount
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

    `executor` says where examples run, of `tunesmith eval` as well, and `dask` names the scheduler of a cluster.
    `teacher` (`module:attr`), `freeze` and `protect` are those of `ts.compile`.
    """

    model_config = ConfigDict(strict=True, extra="allow", frozen=True)

    compiler: str = "portfolio"
    run: str = "compile"
    seed: int = Seed
    budget_calls: int | None = Positive
    budget_tokens: int | None = Count
    budget_seconds: float | None = Amount
    slots: int | None = Positive
    executor: str | None = None
    dask: str | None = None
    teacher: str | None = None
    freeze: list[str] = []
    protect: list[str] = []

    @property
    def options(self) -> dict[str, Any]:
        """The options of the compiler."""
        return dict(self.model_extra or {})


class ProgramSettings(_Table):
    """`[program]`: a program of one step without Python: its signature, as in `question -> answer`, and what it is for.

    `descriptions` has the meaning of fields by name; `module` is what makes a program of a signature.
    """

    signature: str
    instructions: str | None = None
    descriptions: dict[str, str] = {}
    module: Literal["Predict", "ChainOfThought", "Classify", "ProgramOfThought", "ZeroShotCoT"] = "Predict"


class ProgramChoice(ProgramSettings):
    """One of `programs` of an experiment; `name` stands in the names of its runs."""

    name: str | None = None


class CompilerChoice(_Table):
    """One of `compilers` of an experiment: its name, its options, and what its runs are called."""

    model_config = ConfigDict(strict=True, extra="allow", frozen=True)

    compiler: str
    name: str | None = None


class ModelChoice(LmSettings):
    """One of `models` of an experiment: the keys of `[lm]`, and what its runs are called."""

    spec: str
    name: str | None = None


Several = Field(default=None, min_length=1)
_EXPERIMENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


class ExperimentSettings(_Table):
    """`[experiments.NAME]`: lists of what is combined, and any other setting in place of the file's.

    Every program is compiled with every compiler, model and seed. A list that is not given is the setting of the file
    alone. The tables hold keys of the file's tables of these names.
    """

    programs: list[str | ProgramChoice] | None = Several
    compilers: list[str | CompilerChoice] | None = Several
    models: list[str | ModelChoice] | None = Several
    seeds: list[int] | None = Several
    program: str | ProgramSettings | None = None
    metric: str | None = None
    data: dict[str, Any] = {}
    lm: dict[str, Any] = {}
    prompt_lm: dict[str, Any] = {}
    teacher_lm: dict[str, Any] = {}
    judge_lm: dict[str, Any] = {}
    compile: dict[str, Any] = {}

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        own = {"programs": self.program, "compilers": self.compile.get("compiler"), "models": self.lm.get("spec")}
        own["seeds"] = self.compile.get("seed")
        for axis, path in zip(AXES, ("program", "compile.compiler", "lm.spec", "compile.seed"), strict=True):
            if getattr(self, axis) is not None and own[axis] is not None:
                raise _contradiction(axis, path, "contradict each other: give one")
        if "run" in self.compile:
            raise _contradiction("compile.run", "compile", "contradict each other: a run is named after its experiment")
        return self


AXES = ("programs", "compilers", "models", "seeds")
"""The lists that an experiment combines, in the order of their parts in the name of a run."""


class ProjectSettings(_Table):
    """The whole file."""

    program: str | ProgramSettings | None = None
    metric: str | None = None
    data: DataSettings = DataSettings()
    lm: LmSettings = LmSettings()
    prompt_lm: LmSettings = LmSettings()
    teacher_lm: LmSettings = LmSettings()
    judge_lm: LmSettings = LmSettings()
    compile: CompileSettings = CompileSettings()
    experiments: dict[str, ExperimentSettings] = {}

    @field_validator("experiments")
    @classmethod
    def _named(cls, given: dict[str, ExperimentSettings]) -> dict[str, ExperimentSettings]:
        for name in given:
            if not _EXPERIMENT.fullmatch(name):
                raise PydanticCustomError(
                    CONTRADICTION,
                    f"{shown(name)} cannot be an experiment: a name has letters, digits, `.`, `_` and `-`",
                    {"keys": (name,)},
                )
        return given
