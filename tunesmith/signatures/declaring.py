"""`ts.Signature`: a `dspy.Signature` that refuses field names which DSPy takes for itself, where they are declared."""

from typing import Any

from tunesmith.signatures import signature as door
from tunesmith.signatures.signature import FieldInfo, check_names, field_role

__all__ = ["Signature"]

_Meta: Any = type(door.Signature)


class _DeclaredMeta(_Meta):  # type: ignore[misc]  # DSPy's metaclass is not typed
    def __new__(mcs, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **kwargs: Any) -> Any:
        fields = {key: value for key, value in namespace.items() if isinstance(value, FieldInfo)}
        check_names(name, {key: field_role(info) for key, info in fields.items()})
        return super().__new__(mcs, name, bases, namespace, **kwargs)

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        if cls is not Signature:
            return super().__call__(*args, **kwargs)
        return door.declared(*args, **kwargs)

    def __subclasscheck__(cls, subclass: type) -> bool:
        # What DSPy derives, as `with_instructions` does, is a `dspy.Signature` only.
        return issubclass(subclass, door.Signature) if cls is Signature else bool(super().__subclasscheck__(subclass))


class Signature(door.Signature, metaclass=_DeclaredMeta):
    """"""  # noqa: D419 - DSPy takes a text here for the instructions of every signature that has none
