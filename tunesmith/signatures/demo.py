"""Worked examples inside a prompt."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic.errors import PydanticSchemaGenerationError

from tunesmith.errors import DataError, FormatError, ParseError, shown
from tunesmith.signatures.jsonable import canonical_text, to_json_value
from tunesmith.signatures.render import render_json
from tunesmith.signatures.reply import validate_output
from tunesmith.signatures.signature import Example, Signature, checked, input_types

__all__ = ["Demo"]


@dataclass(frozen=True, slots=True, eq=False)
class Demo:
    """One worked example of a predictor, its values checked against the signature's types.

    Demos with the same content are equal. A demo may lack inputs and outputs (a labelled one has no reasoning), but has at
    least one output.

    Attributes:
        inputs: input values by field name, in the signature's order.
        outputs: output values by field name, in the signature's order.
        augmented: whether a program made it, rather than a person.
    """

    inputs: Mapping[str, Any]
    outputs: Mapping[str, Any]
    augmented: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "inputs", MappingProxyType(dict(self.inputs)))
        object.__setattr__(self, "outputs", MappingProxyType(dict(self.outputs)))

    @classmethod
    def of(cls, signature: type[Signature], example: "Example | Mapping[str, Any] | Demo") -> "Demo":
        """Return the demo that `example` holds for `signature`; fields of other names are left out.

        Raises:
            DataError: a value does not fit its field, or there is no output.
        """
        checked(signature)
        if isinstance(example, Demo):
            values = {**example.inputs, **example.outputs, "augmented": example.augmented}
        else:
            values = dict(example.items())
        kinds = input_types(signature)
        inputs = {name: _input(name, kinds[name], values[name]) for name in signature.input_fields if name in values}
        outputs = {name: _output(signature, name, values[name]) for name in signature.output_fields if name in values}
        if not outputs:
            raise DataError(
                f"A demo needs at least one of the outputs {', '.join(signature.output_fields)}. "
                f"Given: {shown(dict(values))}."
            )
        return cls(inputs, outputs, augmented=values.get("augmented") is True)

    @classmethod
    def from_json(cls, signature: type[Signature], data: Mapping[str, Any]) -> "Demo":
        """Return the demo that `to_json` wrote.

        Raises:
            DataError: the data is of another shape, or does not fit the signature.
        """
        try:
            values = {**data["inputs"], **data["outputs"], "augmented": data["augmented"]}
        except (KeyError, TypeError) as error:
            raise DataError(f"This is no demo: {shown(data)}. Give what `Demo.to_json` returned.") from error
        return cls.of(signature, values)

    def to_json(self) -> dict[str, Any]:
        """Return the demo as JSON values."""
        return {
            "inputs": {name: to_json_value(value) for name, value in self.inputs.items()},
            "outputs": {name: to_json_value(value) for name, value in self.outputs.items()},
            "augmented": self.augmented,
        }

    @property
    def key(self) -> str:
        """The sha256 of the canonical JSON, in hex."""
        return hashlib.sha256(canonical_text(self.to_json()).encode()).hexdigest()

    def as_example(self) -> Example:
        """Return a DSPy example with its inputs marked; `augmented` is set where it holds."""
        extra = {"augmented": True} if self.augmented else {}
        return Example(**extra, **self.inputs, **self.outputs).with_inputs(*self.inputs)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Demo) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)

    def __deepcopy__(self, memo: dict[int, Any]) -> "Demo":
        return self


def _input(name: str, annotation: Any, value: Any) -> Any:
    if annotation is str and isinstance(value, str):
        return value
    try:
        adapter = TypeAdapter(annotation)
    except (PydanticSchemaGenerationError, TypeError):
        return value  # an input of any class; formats decide whether they can show it
    try:
        back = adapter.validate_python(value)
        to_json_value(back)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False)[0]["msg"]
        raise DataError(
            f"The demo's input `{name}` does not fit its type: {found}. Given: {shown(value)}. Correct the value."
        ) from error
    except (ValueError, TypeError, RecursionError) as error:
        raise DataError(
            f"The demo's input `{name}` has no JSON form ({error}). Given: {shown(value)}. Leave it out."
        ) from error
    return back


def _output(signature: type[Signature], name: str, value: Any) -> Any:
    try:
        plain = render_json(signature, name, value)
        return validate_output(signature, name, plain, raw="")
    except (FormatError, ParseError) as error:
        raise DataError(f"The demo's output `{name}` does not fit its type: {error}") from error
