"""The shape of `manifest.json`, version 1."""

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from tunesmith.artifacts.selected import KEY_DIGITS
from tunesmith.errors import ArtifactError
from tunesmith.lm import PORTABLE, is_portable

__all__ = ["ADAPTER", "CLASS_NAME", "check_shape"]

# Prefix for the name of a user's adapter, to distinguish it from tunesmith's formats.
ADAPTER = "adapter:"

_NAME = r"[^\W\d]\w*"
_LOCAL = rf"(?:{_NAME}|<locals>)"

# `module:Class`. A class defined inside a function has `<locals>` in its name and cannot be imported.
CLASS_NAME = re.compile(rf"{_NAME}(?:\.{_NAME})*:{_LOCAL}(?:\.{_LOCAL})*")


def _options(options: dict[str, Any]) -> dict[str, Any]:
    for name, value in options.items():
        if name not in PORTABLE:
            raise ValueError(f"{name!r} is not a portable request option; allowed are {', '.join(sorted(PORTABLE))}")
        if not is_portable(name, value):
            raise ValueError(f"the request option {name!r} must be a scalar or a list of texts")
    return options


def _class(name: str) -> str:
    if CLASS_NAME.fullmatch(name) is None:
        raise ValueError("this is not a `module:Class`")
    return name


def _adapter(name: str) -> str:
    _class(name.removeprefix(ADAPTER))
    if not name.startswith(ADAPTER):
        raise ValueError("this is not an `adapter:module:Class`")
    return name


def _field_name(name: str) -> str:
    if not name.isidentifier() or name.startswith("_"):
        raise ValueError("this is not a field name")
    return name


_ClassName = Annotated[str, AfterValidator(_class)]
_FieldName = Annotated[str, AfterValidator(_field_name)]
_Options = Annotated[dict[str, Any], AfterValidator(_options)]
_Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
_ShortKey = Annotated[str, Field(pattern=rf"^[0-9a-f]{{{KEY_DIGITS}}}$")]


class _Shape(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, defer_build=True)


class _FieldShape(_Shape):
    name: _FieldName
    role: Literal["input", "output"]
    type: str
    desc: str | None


class _SignatureShape(_Shape):
    name: str
    fields: Annotated[list[_FieldShape], Field(min_length=1)]

    @model_validator(mode="after")
    def _distinct(self) -> "_SignatureShape":
        names = [field.name for field in self.fields]
        if len(set(names)) != len(names):
            raise ValueError("two fields have one name")
        return self

    def names(self, role: str) -> set[str]:
        return {field.name for field in self.fields if field.role == role}


class _PredictorShape(_Shape):
    class_: _ClassName = Field(alias="class")
    fingerprint: _Sha256
    signature: _SignatureShape
    config: _Options | None


class _ArgumentShape(_Shape):
    """One constructor argument: a JSON value, a predictor at a path, or a module with its own arguments."""

    value: Any = None
    class_: _ClassName | None = Field(default=None, alias="class")
    path: str | None = None
    spec: "dict[_FieldName, _ArgumentShape] | None" = None


class _ProgramShape(_Shape):
    class_: _ClassName = Field(alias="class")
    spec: dict[_FieldName, _ArgumentShape] | None = None  # only for a registered module
    predictors: Annotated[dict[str, _PredictorShape], Field(min_length=1)]
    rebuildable: bool


class _DemoShape(_Shape):
    inputs: dict[str, Any]
    outputs: Annotated[dict[str, Any], Field(min_length=1)]
    augmented: bool


class _PartShape(_Shape):
    instruction: str
    demos: list[_DemoShape]
    format: str | None
    settings: Annotated[dict[str, Any], Field(max_length=0)]  # always empty; older versions wrote it


class _CandidateShape(_Shape):
    parts: dict[str, _PartShape]
    sampling: _Options
    settings: dict[str, dict[str, bool | int | float | str]] = Field(default_factory=dict)


class _UnhashedShape(_Shape):
    created: str | None
    paid: dict[str, Any]
    test_opened: int | None


class _ManifestShape(_Shape):
    schema_version: Literal[1]
    program: _ProgramShape
    candidate: _CandidateShape
    baseline: _CandidateShape | None  # `None` means unknown
    sampling: dict[str, Any]
    lm: dict[str, Any]
    metric: str | None
    datasets: dict[str, str]
    selected_on: dict[str, list[_ShortKey]] = Field(default_factory=dict)  # older versions did not write it
    scores: dict[str, Any]
    verdict: str
    charged: dict[str, Any]
    seed: int | None
    versions: dict[str, str | None]
    adapter: Annotated[str, AfterValidator(_adapter)] | None
    state_sha256: _Sha256
    extra: dict[str, Any]
    notes: list[str]
    sha256: _Sha256
    unhashed: _UnhashedShape
    unhashed_sha256: _Sha256

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> "_ManifestShape":
        if self.sampling != self.candidate.sampling:
            raise ValueError("`sampling` differs from the candidate's")
        predictors = self.program.predictors
        for title, candidate in (("candidate", self.candidate), ("baseline", self.baseline)):
            if candidate is None:
                continue
            if set(candidate.parts) != set(predictors):
                raise ValueError(f"the predictors of the {title} differ from the program's")
            for path, part in candidate.parts.items():
                _check_demos(f"{title} {path}", part.demos, predictors[path].signature)
        return self


def _check_demos(where: str, demos: list[_DemoShape], signature: _SignatureShape) -> None:
    inputs, outputs = signature.names("input"), signature.names("output")
    for demo in demos:
        if not set(demo.inputs) <= inputs or not set(demo.outputs) <= outputs:
            raise ValueError(f"{where}: a demo has fields that its signature lacks")


def check_shape(manifest: dict[str, Any], where: str) -> None:
    """Check that `manifest` has exactly the entries of version 1, with their types.

    Raises:
        ArtifactError: an entry is wrong; the message names the first one.
    """
    try:
        _ManifestShape.model_validate(manifest)
    except (ValidationError, RecursionError) as error:
        raise ArtifactError(
            f"{where}: {_first(error)}. Save the artifact again with this version of tunesmith."
        ) from error


def _first(error: ValidationError | RecursionError) -> str:
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    found = error.errors(include_url=False, include_context=False, include_input=False)[0]
    place = ".".join(str(step) for step in found["loc"])
    problem = found["msg"].removeprefix("Value error, ")
    return f"`{place}`: {problem}" if place else problem
