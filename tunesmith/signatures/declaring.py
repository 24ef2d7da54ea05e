"""`ts.Signature`: a `dspy.Signature` that refuses field names which DSPy takes for itself, if they are declared."""

from collections.abc import Mapping
from typing import Any

from tunesmith.errors import SignatureError
from tunesmith.signatures import signature as door
from tunesmith.signatures.inline import declared, made_by_dspy
from tunesmith.signatures.signature import FieldInfo, check_names, field_role

__all__ = ["Signature"]

_Meta: Any = type(door.Signature)
_REMEDY = "Every field is an `InputField` or `OutputField`, of a type that pydantic knows"


def _check_declared(title: str, namespace: Mapping[str, Any], fields: Mapping[str, FieldInfo]) -> None:
    """Check that every attribute is an input or an output; DSPy's own error does not say so."""
    annotated = {key: kind for key, kind in namespace.get("__annotations__", {}).items() if "ClassVar" not in str(kind)}
    for key in {**annotated, **fields}:
        extra = fields[key].json_schema_extra if key in fields else None
        if not key.startswith("_") and not (isinstance(extra, dict) and "__dspy_field_type" in extra):
            raise SignatureError(
                f"`{title}`: `{key}` is neither an input nor an output. Write `{key}: ... = ts.InputField()` or "
                f"`{key}: ... = ts.OutputField()`."
            )


class _DeclaredMeta(_Meta):  # type: ignore[misc]  # DSPy's metaclass has no types
    def __new__(mcs, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **kwargs: Any) -> Any:
        fields = {key: value for key, value in namespace.items() if isinstance(value, FieldInfo)}
        check_names(name, {key: field_role(info) for key, info in fields.items()})
        _check_declared(name, namespace, fields)
        make = super().__new__
        return made_by_dspy(f"`{name}`", lambda: make(mcs, name, bases, namespace, **kwargs), _REMEDY)

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        if cls is not Signature:
            return super().__call__(*args, **kwargs)
        return declared(*args, **kwargs)

    def __subclasscheck__(cls, subclass: type) -> bool:
        # Classes that DSPy derives, as in `with_instructions`, are plain `dspy.Signature`s.
        return issubclass(subclass, door.Signature) if cls is Signature else bool(super().__subclasscheck__(subclass))


class Signature(door.Signature, metaclass=_DeclaredMeta):
    """"""  # noqa: D419 - DSPy would use a docstring here as the instructions of every signature without its own
