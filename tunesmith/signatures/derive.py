"""A signature from a typed Python function."""

import dataclasses
import inspect
import typing
import warnings
from collections.abc import Callable, Mapping
from typing import Any, get_args, get_origin

from pydantic import BaseModel, RootModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from tunesmith.errors import SignatureError, shown
from tunesmith.signatures.atoms import reason
from tunesmith.signatures.choices import unwrapped
from tunesmith.signatures.signature import (
    DSPY_TYPES,
    Example,
    InputField,
    OutputField,
    Signature,
    field_type,
    new_signature,
)

__all__ = ["signature_from_function"]

_RESULT = "result"
_REFUSED = {
    inspect.Parameter.VAR_POSITIONAL: "takes any number of arguments; name each of them",
    inspect.Parameter.VAR_KEYWORD: "takes any keyword; name each argument",
    inspect.Parameter.POSITIONAL_ONLY: "is positional-only, and predictions take keywords; remove the `/`",
}

_Fields = dict[str, tuple[Any, FieldInfo]]


def signature_from_function(fn: Callable[..., Any]) -> type[Signature]:
    """Return the signature that a typed function declares. The function is never called.

    Parameters are the inputs, with their defaults. The fields of the return type (a pydantic model, dataclass or
    TypedDict) are the outputs, with descriptions and constraints; validators of a whole model are not kept. Any
    other return type is one output called `result`. The docstring is the instruction; without one dspy writes its
    own. `Annotated[type, "words"]` and pydantic's `Field(description=...)` describe a field. An async function
    gives the same signature.

    Raises:
        SignatureError: something is not annotated, cannot be given by keyword, has the name of another field or a
            name that fields may not have, or a type that pydantic does not know.

    Example:
        >>> import tunesmith as ts
        >>> def summarize(text: str, words: int = 20) -> str:
        ...     "Summarize the text."
        >>> list(ts.signature_from_function(summarize).output_fields)
        ['result']
    """
    if not callable(fn) or isinstance(fn, type):
        raise SignatureError(f"A signature is derived from a function. Given: {shown(fn)}.")
    name = getattr(fn, "__name__", type(fn).__name__)
    parameters, hints = _read(fn, name)
    fields = _inputs(parameters, hints, name)
    if hints.get("return", type(None)) in (type(None), typing.NoReturn, typing.Never):
        raise SignatureError(f"`{name}` has no return type, so there is nothing to predict. Annotate it.")
    for output, declared in _outputs(hints["return"], name).items():
        if output in fields:
            raise SignatureError(f"`{output}` is an input and an output of `{name}`. Rename one of them.")
        fields[output] = declared
    for field in fields:
        # dspy's signature classes have properties such as `fields` and `instructions`.
        if field.startswith(("_", "model_")) or isinstance(getattr(type(Signature), field, None), property):
            raise SignatureError(f"Field `{field}` of `{name}` has a name that dspy or pydantic keeps. Rename it.")
    return _made(name, fields, fn)


def _read(fn: Any, name: str) -> tuple[Mapping[str, inspect.Parameter], dict[str, Any]]:
    target = fn if inspect.isroutine(fn) else fn.__call__
    try:
        return inspect.signature(fn).parameters, typing.get_type_hints(target, include_extras=True)
    # An annotation is code: a forward reference may fail in any way.
    except Exception as error:
        raise SignatureError(
            f"The annotations of `{name}` cannot be read: {reason(error)}. Use types that are defined where it is."
        ) from error


def _inputs(parameters: Mapping[str, inspect.Parameter], hints: Mapping[str, Any], name: str) -> _Fields:
    fields: _Fields = {}
    for parameter in parameters.values():
        if parameter.kind in _REFUSED:
            raise SignatureError(f"Parameter `{parameter.name}` of `{name}` {_REFUSED[parameter.kind]}.")
        if parameter.name not in hints:
            raise SignatureError(f"Parameter `{parameter.name}` of `{name}` has no type. Annotate it.")
        options = _description(hints[parameter.name])
        if parameter.default is not inspect.Parameter.empty:
            options["default"] = parameter.default
        fields[parameter.name] = (_bare(hints[parameter.name]), InputField(**options))
    if not fields:
        raise SignatureError(f"`{name}` has no parameters, so there is nothing to predict from. Add one.")
    return fields


def _outputs(kind: Any, name: str) -> _Fields:
    base = unwrapped(kind)[0]
    if isinstance(base, type) and issubclass(base, BaseModel) and not issubclass(base, (RootModel, *DSPY_TYPES)):
        if issubclass(base, Signature):
            raise SignatureError(f"`{name}` returns a signature. Return a model of its outputs instead.")
        found = {field: _of_model(info) for field, info in base.model_fields.items()}
    elif isinstance(base, type) and issubclass(base, Example):
        raise SignatureError(f"`{name}` returns `{base.__name__}`, which names no outputs. Return a typed model.")
    elif dataclasses.is_dataclass(base) or typing.is_typeddict(base):
        found = _of_hints(base, name)
    else:
        return {_RESULT: (_bare(kind), OutputField(**_description(kind)))}
    if not found:
        raise SignatureError(f"The return type of `{name}` has no fields. Give it at least one.")
    return found


def _of_model(info: FieldInfo) -> tuple[Any, FieldInfo]:
    options: dict[str, Any] = {"desc": info.description} if info.description else {}
    if info.default_factory is not None:
        options["default_factory"] = info.default_factory
    elif info.default is not PydanticUndefined:
        options["default"] = info.default
    return field_type(info), OutputField(**options)


def _of_hints(kind: Any, name: str) -> _Fields:
    try:
        hints = typing.get_type_hints(kind, include_extras=True)
    except Exception as error:
        raise SignatureError(
            f"The return type of `{name}` cannot be read: {reason(error)}. Use types that are defined where it is."
        ) from error
    defaults: dict[str, dict[str, Any]] = {}
    if dataclasses.is_dataclass(kind):
        declared = [field for field in dataclasses.fields(kind) if field.init]
        defaults = {field.name: _default(field) for field in declared}
        hints = {field.name: hints[field.name] for field in declared}
    fields: _Fields = {}
    for field, hint in hints.items():
        inner = get_args(hint)[0] if get_origin(hint) in (typing.Required, typing.NotRequired) else hint
        options = {**_description(inner), **defaults.get(field, {})}
        fields[field] = (_bare(inner), OutputField(**options))
    return fields


def _default(field: "dataclasses.Field[Any]") -> dict[str, Any]:
    if field.default_factory is not dataclasses.MISSING:
        return {"default_factory": field.default_factory}
    return {} if field.default is dataclasses.MISSING else {"default": field.default}


def _description(hint: Any) -> dict[str, Any]:
    """Return `desc` from `Annotated[type, "words"]` or `Annotated[type, Field(description=...)]`."""
    if get_origin(hint) is not typing.Annotated:
        return {}
    for item in get_args(hint)[1:]:
        if isinstance(item, str):
            return {"desc": item}
        if isinstance(item, FieldInfo) and item.description:
            return {"desc": item.description}
    return {}


def _bare(hint: Any) -> Any:
    """Return a type that dspy takes: `NewType` and aliases give what they stand for."""
    if get_origin(hint) is typing.Annotated:
        return hint
    return unwrapped(hint)[0]


def _made(name: str, fields: _Fields, fn: Any) -> type[Signature]:
    title = "".join(part[:1].upper() + part[1:] for part in name.split("_") if part.isidentifier()) or "Derived"
    try:
        with warnings.catch_warnings():
            # pydantic warns of fields named like its methods (`schema`, `copy`); signatures have no instances.
            warnings.simplefilter("ignore", UserWarning)
            return new_signature(title, fields, inspect.getdoc(fn) if inspect.isroutine(fn) else None)
    # Besides dspy's own errors, pydantic has several kinds, and a type may bring code of its own.
    except Exception as error:
        raise SignatureError(
            f"`{name}` makes no signature: {reason(error)}. Rename or retype the field at fault."
        ) from error
