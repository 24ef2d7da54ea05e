"""The modules that a composition holds under names, and the fields that they pass on."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from pydantic_core import PydanticUndefined

from tunesmith.errors import UsageError, shown
from tunesmith.modules.flow import Call
from tunesmith.modules.inputs import ProgramInputs, program_inputs
from tunesmith.modules.module import Module, Prediction
from tunesmith.signatures import InputField, OutputField, Signature, input_types, output_types

__all__ = ["Parts", "joined_signature", "prediction_fields"]


@dataclass(frozen=True, slots=True)
class _Known:
    """What is known of a part: its inputs, `None` if any is, and the types of its outputs, `None` if unknown."""

    inputs: ProgramInputs | None
    outputs: Mapping[str, Any] | None


class Parts:
    """The named modules of one composition, which are its attributes.

    Args:
        owner: the composition.
        noun: what a part is called in errors, such as `step`.
        given: the modules by name.
        order: the names in order; default that of `given`. An artifact holds it, because JSON does not.
        least: how many there must be.
        unnamed: parts that were given without a name, which none may be.

    Raises:
        UsageError: one has no name or is not a module, a name is taken, there are too few, or `order` has other names.
    """

    def __init__(
        self,
        owner: Any,
        noun: str,
        given: Mapping[str, Any],
        order: Sequence[str] | None = None,
        least: int = 1,
        unnamed: Sequence[Any] = (),
    ) -> None:
        kind = type(owner).__name__
        if unnamed or (order is not None and (isinstance(order, str) or not isinstance(order, Sequence))):
            raise UsageError(
                f"`{kind}` takes its parts by name, as in `ts.{kind}(first=..., second=...)`. "
                f"Given: {shown(unnamed[0] if unnamed else order)}."
            )
        self.noun, self.names = noun, list(given if order is None else order)
        if sorted(map(str, self.names)) != sorted(given):
            raise UsageError(f"`order` has the names of all parts: {', '.join(given)}. Given: {shown(order)}.")
        if len(self.names) < least:
            raise UsageError(f"`{kind}` needs {least} or more parts, as in `ts.{kind}(first=..., second=...)`.")
        for name in self.names:
            if not isinstance(given[name], Module):
                raise UsageError(
                    f"The {noun} `{name}` must be a module, such as `ts.Predict(...)`. Given: {shown(given[name])}."
                )
            # On the type and in the values: DSPy logs a warning if `forward` is looked up on an instance.
            if name.startswith("_") or hasattr(type(owner), name) or name in vars(owner):
                raise UsageError(f"A {noun} cannot be called `{name}`, which `{kind}` uses itself. Rename it.")
        for name in self.names:
            setattr(owner, name, given[name])
        self._known = {name: _known(given[name]) for name in self.names}

    def inputs(self, name: str) -> tuple[str, ...] | None:
        """Return the names of a part's inputs, `None` if it takes any."""
        known = self._known[name].inputs
        return None if known is None else known.names

    def input_types(self, name: str) -> dict[str, Any]:
        """Return the types of a part's inputs; those of a module of the caller's own count as text."""
        known = self._known[name].inputs
        if known is None or known.signature is None:
            return dict.fromkeys(self.inputs(name) or (), str)
        return input_types(known.signature)

    def output_types(self, name: str) -> Mapping[str, Any] | None:
        """Return the types of a part's outputs, `None` if only its code knows them."""
        return self._known[name].outputs

    def defaults(self) -> dict[str, Any]:
        """Return the default of each input for which all parts that take it have the same one."""
        takers = [one.inputs for one in self._known.values() if one.inputs is not None]
        found: dict[str, Any] = {}
        for name in dict.fromkeys(name for one in takers for name in one.names):
            given = [_default(one, name) for one in takers if name in one.names]
            if PydanticUndefined not in given and all(one == given[0] for one in given):
                found[name] = given[0]
        return found

    def call(self, owner: Any, name: str, fields: Mapping[str, Any]) -> Call:
        """Return the call of a part with those of `fields` that it takes.

        Raises:
            UsageError: one that it needs is not there. One with a default, and one that may be `None`, is not needed.
        """
        known = self._known[name].inputs
        if known is None:
            return Call(getattr(owner, name), dict(fields))
        given = {one: fields[one] for one in known.names if one in fields}
        absent = [one for one in known.names if one not in given and _is_needed(known, one)]
        if absent and (known.forward is None or known.misfit(given) is not None):
            raise UsageError(
                f"The {self.noun} `{name}` needs `{absent[0]}`. There are: {', '.join(fields) or 'no fields'}."
            )
        return Call(getattr(owner, name), given)


def _known(part: Module) -> _Known:
    try:
        inputs = program_inputs(part)
    except UsageError:
        return _Known(None, None)
    declared = getattr(part, "signature", None) if inputs.signature is None else inputs.signature
    typed = isinstance(declared, type) and issubclass(declared, Signature)
    return _Known(inputs, output_types(declared) if typed else None)  # type: ignore[arg-type]


def _default(inputs: ProgramInputs, name: str) -> Any:
    info: Any = None if inputs.signature is None else inputs.signature.input_fields[name]
    return PydanticUndefined if info is None else info.default


def _is_needed(known: ProgramInputs, name: str) -> bool:
    return known.signature is None or known.parameters[name][1]


def prediction_fields(found: Any, what: str) -> dict[str, Any]:
    """Return the fields of what a part returned.

    Raises:
        UsageError: it is no prediction.
    """
    if not isinstance(found, Prediction):
        raise UsageError(f"{what} must return a prediction, `dspy.Prediction(name=value)`. It returned {shown(found)}.")
    return dict(found.items())


def joined_signature(
    inputs: Mapping[str, Any], outputs: Mapping[str, Any], defaults: Mapping[str, Any] = MappingProxyType({})
) -> type[Signature] | None:
    """Return the signature of a composition, `None` if it has no output. An input is not an output, too.

    Args:
        inputs: their types.
        outputs: theirs.
        defaults: of inputs that have one.
    """
    made_as = {name: {"default": defaults[name]} if name in defaults else {} for name in inputs}
    fields: dict[str, Any] = {name: (kind, InputField(**made_as[name])) for name, kind in inputs.items()}
    fields |= {name: (kind, OutputField()) for name, kind in outputs.items() if name not in inputs}
    if len(fields) == len(inputs):
        return None
    build: Any = Signature  # called, it gives a class
    made: type[Signature] = build(fields, f"Given {_listed(inputs)}, give {_listed(outputs)}.")
    return made


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)
