"""Worked examples inside a prompt."""

import copy
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

from tunesmith.errors import DataError, FormatError, ParseError, brief, shown
from tunesmith.signatures.atoms import InvalidError
from tunesmith.signatures.given import given_value
from tunesmith.signatures.jsonable import canonical_text, to_json_value
from tunesmith.signatures.render import render_json
from tunesmith.signatures.signature import Example, Signature, checked

__all__ = ["Demo"]

_ATOMS = (str, int, float, bytes, date, time, timedelta, Decimal, UUID, Enum, type(None))


class _Values(Mapping[str, Any]):
    """Values by field name that cannot be changed: one that could be is handed out as a copy."""

    __slots__ = ("_held",)

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._held = {name: _copied(value) for name, value in values.items()}

    def __getitem__(self, name: str) -> Any:
        return _copied(self._held[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._held)

    def __len__(self) -> int:
        return len(self._held)

    def __repr__(self) -> str:
        return repr(self._held)


def _copied(value: Any) -> Any:
    return value if isinstance(value, _ATOMS) else copy.deepcopy(value)


@dataclass(frozen=True, slots=True, eq=False)
class Demo:
    """One worked example of a predictor, its values checked against the signature's types.

    A demo may lack some of its signature's fields (a labelled one has no reasoning), but has at least one output.
    It cannot be changed: what is read from it is a copy. Demos with the same content are equal, in every process.

    Attributes:
        inputs: input values by field name, in the signature's order.
        outputs: output values by field name, in the signature's order.
        augmented: whether a program made it, rather than a person.
        key: the sha256 of the canonical JSON, in hexadecimal digits.

    Example:
        >>> import tunesmith as ts
        >>> demo = ts.Demo.of(ts.Signature("text -> stars: int"), {"text": "Great.", "stars": 5})
        >>> dict(demo.outputs)
        {'stars': 5}
    """

    inputs: Mapping[str, Any]
    outputs: Mapping[str, Any]
    augmented: bool = False
    key: str = field(init=False, repr=False)
    _text: str = field(init=False, repr=False)

    def __repr__(self) -> str:
        sides = (self.inputs, self.outputs)
        given, wanted = (", ".join(f"{name}={shown(value, 60)}" for name, value in side.items()) for side in sides)
        return brief(self, f"{given} -> {wanted}", augmented=self.augmented or None)

    def __post_init__(self) -> None:
        """Copy the values and fix the canonical form.

        Raises:
            DataError: there is no output, or a value has no JSON form.
        """
        if not self.outputs:
            raise DataError("A demo needs at least one output. Given: none.")
        inputs = {name: _plain(name, value) for name, value in self.inputs.items()}
        outputs = {name: _plain(name, value) for name, value in self.outputs.items()}
        object.__setattr__(self, "inputs", _Values(self.inputs))
        object.__setattr__(self, "outputs", _Values(self.outputs))
        self._fix(inputs, outputs)

    def _fix(self, inputs: Mapping[str, Any], outputs: Mapping[str, Any]) -> None:
        plain = {"inputs": dict(inputs), "outputs": dict(outputs), "augmented": self.augmented}
        object.__setattr__(self, "_text", json.dumps(plain))
        object.__setattr__(self, "key", hashlib.sha256(canonical_text(plain).encode()).hexdigest())

    @classmethod
    def of(cls, signature: type[Signature], example: "Example | Mapping[str, Any] | Demo") -> "Demo":
        """Return the demo that `example` holds for `signature`; fields of other names are left out.

        Values may be typed, or whatever `given_value` reads (`"2024-05-01"` for a date). An `augmented` that is
        `True`, as dspy's bootstrapping sets it, is kept.

        Raises:
            DataError: a value does not fit its field, or there is no output.
        """
        checked(signature)
        values = _items(example)
        names = [name for name in signature.fields if name in values]
        if not any(name in signature.output_fields for name in names):
            raise DataError(
                f"A demo needs at least one of the outputs {', '.join(signature.output_fields)}. "
                f"Given: {shown(values)}. Add one."
            )
        typed: tuple[dict[str, Any], dict[str, Any]] = ({}, {})
        plain: tuple[dict[str, Any], dict[str, Any]] = ({}, {})
        for name in names:
            side = int(name in signature.output_fields)
            typed[side][name], plain[side][name] = _checked(signature, name, values[name])
        augmented = "augmented" not in signature.fields and values.get("augmented") is True
        demo = cls(*typed, augmented=augmented)
        # A type may be read back only from pydantic's own JSON of it, so what was read back is what is kept.
        demo._fix(*plain)
        return demo

    @classmethod
    def from_json(cls, signature: type[Signature], data: Mapping[str, Any]) -> "Demo":
        """Return the demo that `to_json` wrote.

        Raises:
            DataError: the data is of another shape, names a field that the signature lacks, or does not fit.
        """
        try:
            sides = dict(data["inputs"]), dict(data["outputs"])
            augmented = data.get("augmented", False)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DataError(f"This is no demo: {shown(data)}. Give what `Demo.to_json` returned.") from error
        for side, fields in zip(sides, (checked(signature).input_fields, signature.output_fields), strict=True):
            for name in side:
                if name not in fields:
                    raise DataError(
                        f"The demo has a field {name!r} that the signature lacks. Given: {shown(side[name])}. "
                        f"The signature has {', '.join(fields)}."
                    )
        demo = cls.of(signature, {**sides[0], **sides[1]})
        return demo if augmented is not True else demo._marked()

    def _marked(self) -> "Demo":
        plain = self.to_json()
        demo = Demo(self.inputs, self.outputs, augmented=True)
        demo._fix(plain["inputs"], plain["outputs"])
        return demo

    def to_json(self) -> dict[str, Any]:
        """Return `{"inputs": ..., "outputs": ..., "augmented": ...}` as JSON values, fields in order."""
        plain: dict[str, Any] = json.loads(self._text)
        return plain

    def as_example(self) -> Example:
        """Return a dspy example of typed values with its inputs marked; `augmented` is set where it holds."""
        values = {**self.inputs, **self.outputs}
        if self.augmented:
            values = {"augmented": True, **values}
        example: Example = Example(values).with_inputs(*self.inputs)
        return example

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Demo) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)

    def __copy__(self) -> "Demo":
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> "Demo":
        return self


def _items(example: Any) -> dict[str, Any]:
    if isinstance(example, Demo):
        return {"augmented": example.augmented, **example.inputs, **example.outputs}
    if isinstance(example, (Mapping, Example)):
        return dict(example.items())
    raise DataError(f"A demo is made of an example or a mapping. Given: {shown(example)}.")


def _checked(signature: type[Signature], name: str, value: Any) -> tuple[Any, Any]:
    """Return the typed value and its JSON form."""
    try:
        typed = given_value(signature, name, value)
        return typed, render_json(signature, name, typed)
    except (InvalidError, FormatError, ParseError, RecursionError) as error:
        raise DataError(
            f"Demo field `{name}` does not fit its type: {error} Given: {shown(value)}. Correct the value, or "
            "leave the field out."
        ) from error


def _plain(name: str, value: Any) -> Any:
    try:
        plain = to_json_value(value)
        canonical_text(plain)
    except (RecursionError, TypeError, ValueError, OverflowError) as error:
        raise DataError(
            f"Demo field `{name}` has no JSON form ({error}). Given: {shown(value)}. Leave the field out."
        ) from error
    return plain
