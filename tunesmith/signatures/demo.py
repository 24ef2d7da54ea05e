"""Worked examples inside a prompt."""

import copy
import hashlib
import json
from collections.abc import Iterator, Mapping
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
    """Immutable values by field name: reading a mutable value returns a copy."""

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


class Demo:
    """One worked example of a predictor, with values checked against the signature's types.

    A demo may lack fields of its signature (a labelled demo has no reasoning), but has at least one output. It is
    immutable; reading a mutable value returns a copy. Demos with the same content are equal, in every process.

    Example:
        >>> import tunesmith as ts
        >>> demo = ts.Demo.of(ts.Signature("text -> stars: int"), {"text": "Great.", "stars": 5})
        >>> dict(demo.outputs)
        {'stars': 5}
    """

    # No dataclass: making one takes a hundred times as long, in every load.
    __slots__ = ("_augmented", "_inputs", "_key", "_outputs", "_text")

    def __init__(self, inputs: Mapping[str, Any], outputs: Mapping[str, Any], augmented: bool = False) -> None:  # noqa: FBT001, FBT002 - the third of `to_json`
        """Copy the values and compute the canonical form.

        Raises:
            DataError: there is no output, or a value has no JSON form.
        """
        if not outputs:
            raise DataError("A demo needs at least one output. Given: none.")
        plain = [{name: _plain(name, value) for name, value in side.items()} for side in (inputs, outputs)]
        self._inputs, self._outputs, self._augmented = _Values(inputs), _Values(outputs), augmented
        self._fix(*plain)

    @property
    def inputs(self) -> Mapping[str, Any]:
        """Input values by field name, in the signature's order."""
        return self._inputs

    @property
    def outputs(self) -> Mapping[str, Any]:
        """Output values by field name, in the signature's order."""
        return self._outputs

    @property
    def augmented(self) -> bool:
        """Whether it comes from a program instead of a person."""
        return self._augmented

    @property
    def key(self) -> str:
        """The sha256 of its canonical JSON, in hexadecimal digits."""
        return self._key

    def __repr__(self) -> str:
        sides = (self.inputs, self.outputs)
        given, wanted = (", ".join(f"{name}={shown(value, 60)}" for name, value in side.items()) for side in sides)
        return brief(self, f"{given} -> {wanted}", augmented=self.augmented or None)

    def _fix(self, inputs: Mapping[str, Any], outputs: Mapping[str, Any]) -> None:
        plain = {"inputs": dict(inputs), "outputs": dict(outputs), "augmented": self.augmented}
        self._text = json.dumps(plain)
        self._key = hashlib.sha256(canonical_text(plain).encode()).hexdigest()

    @classmethod
    def of(cls, signature: type[Signature], example: "Example | Mapping[str, Any] | Demo") -> "Demo":
        """Return `example` as a demo for `signature`, without other fields.

        Values may be typed, or anything that `given_value` converts (`"2024-05-01"` for a date). `augmented=True`, as
        dspy's bootstrapping sets it, is kept.

        Raises:
            DataError: a value does not fit its field, or there is no output.
        """
        checked(signature)
        values = _items(example)
        fields, wanted = signature.fields, signature.output_fields  # DSPy makes them anew each time
        names = [name for name in fields if name in values]
        if not any(name in wanted for name in names):
            raise DataError(
                f"A demo needs at least one of the outputs {', '.join(wanted)}. Given: {shown(values)}. Add one."
            )
        typed: tuple[dict[str, Any], dict[str, Any]] = ({}, {})
        plain: tuple[dict[str, Any], dict[str, Any]] = ({}, {})
        for name in names:
            side = int(name in wanted)
            typed[side][name], plain[side][name] = _checked(signature, name, values[name])
        augmented = "augmented" not in fields and values.get("augmented") is True
        demo = cls(*typed, augmented=augmented)
        # Some types are read back only from pydantic's own JSON, so the demo stores the value that was read back.
        demo._fix(*plain)
        return demo

    @classmethod
    def from_json(cls, signature: type[Signature], data: Mapping[str, Any]) -> "Demo":
        """Return the demo from the result of `to_json`.

        Raises:
            DataError: the data has another shape, a field that the signature lacks, or a value that does not fit.
        """
        try:
            sides = dict(data["inputs"]), dict(data["outputs"])
            augmented = data.get("augmented", False)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DataError(f"This is not a demo: {shown(data)}. Give what `Demo.to_json` returned.") from error
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
        """Return a `dspy.Example` with typed values, inputs marked, and `augmented` if it is true."""
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
    raise DataError(f"A demo must be an example or a mapping. Given: {shown(example)}.")


def _checked(signature: type[Signature], name: str, value: Any) -> tuple[Any, Any]:
    """Return the typed value and its JSON form."""
    try:
        typed = given_value(signature, name, value)
        return typed, render_json(signature, name, typed)
    except (InvalidError, FormatError, ParseError, RecursionError) as error:
        raise DataError(
            f"Demo field `{name}` does not fit its type: {error} Given: {shown(value)}. Correct the value, or "
            "remove the field."
        ) from error


def _plain(name: str, value: Any) -> Any:
    try:
        plain = to_json_value(value)
        canonical_text(plain)
    except (RecursionError, TypeError, ValueError, OverflowError) as error:
        raise DataError(
            f"Demo field `{name}` has no JSON form ({error}). Given: {shown(value)}. Remove the field."
        ) from error
    return plain
