"""A signature from a typed Python function."""

import dataclasses
import inspect
import typing
from collections.abc import Callable
from typing import Any

from pydantic import BaseModel

from tunesmith.errors import SignatureError, shown
from tunesmith.signatures.signature import InputField, OutputField, Signature

__all__ = ["signature_from_function"]

_RESULT = "result"
_FIXES = {
    inspect.Parameter.VAR_POSITIONAL: "takes any number of arguments; name each of them",
    inspect.Parameter.VAR_KEYWORD: "takes any keyword; name each argument",
    inspect.Parameter.POSITIONAL_ONLY: "is positional-only; predictions take keywords, so remove the `/`",
}


def signature_from_function(fn: Callable[..., Any]) -> type[Signature]:
    """Return the signature that a typed function declares.

    Parameters are the inputs. The fields of the return model (a pydantic model, dataclass or TypedDict) are the outputs; any
    other return type is one output called `result`. The docstring is the instruction. The function is never called.

    Raises:
        SignatureError: something is not annotated, cannot be given by keyword, or has the name of another field.
    """
    if not callable(fn) or isinstance(fn, type):
        raise SignatureError(f"A signature is derived from a function. Given: {shown(fn)}.")
    name = getattr(fn, "__name__", "function")
    try:
        parameters = inspect.signature(fn).parameters
        hints = typing.get_type_hints(fn, include_extras=True)
    except (TypeError, ValueError, NameError) as error:
        raise SignatureError(
            f"The annotations of `{name}` cannot be read: {error}. Use types that can be imported."
        ) from error
    fields: dict[str, tuple[Any, Any]] = {}
    for parameter in parameters.values():
        if parameter.kind in _FIXES:
            raise SignatureError(f"Parameter `{parameter.name}` of `{name}` {_FIXES[parameter.kind]}.")
        if parameter.name not in hints:
            raise SignatureError(f"Parameter `{parameter.name}` of `{name}` has no type. Annotate it.")
        default = {} if parameter.default is inspect.Parameter.empty else {"default": parameter.default}
        fields[parameter.name] = (hints[parameter.name], InputField(**default))
    if "return" not in hints or hints["return"] is type(None):
        raise SignatureError(f"`{name}` has no return type, so there is nothing to predict. Annotate it.")
    for output, (annotation, field) in _outputs(hints["return"], name).items():
        if output in fields:
            raise SignatureError(f"`{output}` is an input and an output of `{name}`. Rename one of them.")
        fields[output] = (annotation, field)
    title = "".join(part.capitalize() for part in name.split("_")) or "Derived"
    try:
        return Signature(fields, inspect.getdoc(fn) or "", signature_name=title)
    except (TypeError, ValueError) as error:
        raise SignatureError(f"`{name}` makes no signature: {error}. Rename or retype its fields.") from error


def _outputs(kind: Any, name: str) -> dict[str, tuple[Any, Any]]:
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        found = {
            field: (_annotated(info), OutputField(**({"desc": info.description} if info.description else {})))
            for field, info in kind.model_fields.items()
        }
    elif dataclasses.is_dataclass(kind) or typing.is_typeddict(kind):
        hints = typing.get_type_hints(kind, include_extras=True)
        found = {field: (annotation, OutputField()) for field, annotation in hints.items()}
    else:
        return {_RESULT: (kind, OutputField())}
    if not found:
        raise SignatureError(f"The return type of `{name}` has no fields. Give it at least one.")
    return found


def _annotated(info: Any) -> Any:
    return typing.Annotated[info.annotation, *info.metadata] if info.metadata else info.annotation
