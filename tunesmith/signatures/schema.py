"""The JSON Schema of a signature's outputs, safe to send to an engine.

Some keywords crash a server, make it reject the request, or allow an endless reply. So the schema has
only types, properties, items, lengths up to 1,000, counts up to 500, choices up to 200, integer ranges,
dates, UUIDs, and patterns of literals, plain classes and bounded counts. Everything is inlined and
bounded. The other constraints are validated in the reply; `left_out` lists them.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from enum import Enum
from typing import Any, NamedTuple

from pydantic import EncodedBytes, EncodedStr, PydanticUserError, TypeAdapter
from pydantic.errors import PydanticSchemaGenerationError
from pydantic.json_schema import DefsRef, GenerateJsonSchema, JsonRef, JsonSchemaValue
from pydantic_core import core_schema

from tunesmith.errors import SignatureError
from tunesmith.signatures.bounds import HELD, Node, UnsupportedError, without_marks
from tunesmith.signatures.per_type import per_type
from tunesmith.signatures.reduce import ELSEWHERE, KEYS, Reducer
from tunesmith.signatures.scalars import EXACT, SCHEMES, ZONE
from tunesmith.signatures.signature import (
    DSPY_TYPES,
    TEXT_TYPES,
    Signature,
    output_types,
    type_text,
)

__all__ = [
    "NeverRightError",
    "TypeSchema",
    "check_can_be_right",
    "field_schema",
    "left_out",
    "marked_schema",
    "output_schema",
    "string_forms",
    "type_schema",
]


class NeverRightError(UnsupportedError):
    """No reply can be valid for the type of an output, in any format."""


class TypeSchema(NamedTuple):
    """The safe schema of one type.

    Attributes:
        marked: the schema, with a mark on each of our own bounds.
        notes: the dropped constraints, as (path within the type, sentence).
    """

    marked: Node
    notes: tuple[tuple[str, str], ...]


def output_schema(signature: type[Signature]) -> dict[str, Any]:
    """Return the object schema of all outputs, in order, all required.

    Raises:
        SignatureError: there is no output, or a type has no JSON form.
    """
    types = output_types(signature)
    if not types:
        raise SignatureError(f"Signature `{signature.__name__}` has no output field. Declare one.")
    properties = {name: field_schema(signature, name) for name in types}
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def field_schema(signature: type[Signature], name: str) -> dict[str, Any]:
    """Return the schema of one output.

    Raises:
        SignatureError: the signature lacks the output, or its type has no JSON form.
    """
    return without_marks(_of_field(signature, name).marked)


def marked_schema(signature: type[Signature], name: str) -> Node:
    """Return the schema of one output with the marks of `bounds`, for building a grammar."""
    return _of_field(signature, name).marked


def string_forms(signature: type[Signature], name: str) -> tuple[str, ...]:
    """Return the form of each string that one output may be: such as `uri`, or `pattern`; empty for any text."""
    schema = marked_schema(signature, name)
    strings = [node for node in (schema, *schema.get("anyOf", ())) if node.get("type") == "string"]
    return tuple(
        str(node.get(HELD, {}).get("form") or node.get("format") or ("pattern" if _has_pattern(node) else ""))
        for node in strings
    )


def _has_pattern(node: Node) -> bool:
    return "pattern" in node or "pattern" in node.get(HELD, {})


def check_can_be_right(signature: type[Signature]) -> None:
    """Check that some reply is valid for every output. Many types still need a particular format.

    Raises:
        SignatureError: no reply can be valid for an output.
    """
    for name in output_types(signature):
        try:
            _of_field(signature, name)
        except SignatureError as error:
            if isinstance(error.__cause__, NeverRightError):
                raise


def left_out(signature: type[Signature]) -> list[str]:
    """Return a line for each constraint that is checked in the reply instead of sent to engines.

    Raises:
        SignatureError: a type has no JSON form.
    """
    return [
        f"{name}{path}: {text}; checked locally"
        for name in output_types(signature)
        for path, text in _of_field(signature, name).notes
    ]


def _of_field(signature: type[Signature], name: str) -> TypeSchema:
    types = output_types(signature)
    if name not in types:
        raise SignatureError(
            f"Signature `{signature.__name__}` has no output field {name!r}. Its outputs are: {', '.join(types)}."
        )
    try:
        return type_schema(types[name])
    except UnsupportedError as error:
        raise SignatureError(
            f"Output field `{name}` of type `{type_text(types[name])}` cannot be asked for as JSON: {error}."
        ) from error


@per_type
def type_schema(annotation: Any) -> TypeSchema:
    """Return the safe schema of a type.

    Raises:
        UnsupportedError: the type has no safe schema.
    """
    try:
        full = TypeAdapter(annotation).json_schema(schema_generator=_Generator)
    except UnsupportedError:
        raise
    except (PydanticUserError, PydanticSchemaGenerationError) as error:
        raise UnsupportedError(f"{_first_line(error)} Use a pydantic model or a plain type") from error
    # A type's own schema code may raise anything.
    except Exception as error:
        raise UnsupportedError(f"its schema cannot be made ({_first_line(error)})") from error
    reducer = Reducer(full.get("$defs", {}))
    try:
        marked = reducer.reduce(full)
        json.dumps(marked, ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError, AttributeError, KeyError, RecursionError) as error:
        raise UnsupportedError(f"its schema is malformed ({_first_line(error)})") from error
    return TypeSchema(marked, tuple(reducer.notes))


_NOW = {"past": ("high", "2099-12-31"), "future": ("low", "2020-01-01")}
"""Days that no day of the past is after, and no day of the future before.

The grammar cannot say today: it is part of the key of a cached reply and of a resumed run.
"""


def _references(schema: Any) -> Iterator[str]:
    for value in schema.values() if isinstance(schema, dict) else schema:
        if isinstance(value, (dict, list)):
            yield from _references(value)
    reference = schema.get("$ref") if isinstance(schema, dict) else None
    if isinstance(reference, str):
        yield reference


def _first_line(error: Exception) -> str:
    text = str(error).strip() or type(error).__name__
    line = text.splitlines()[0]
    return line if line.endswith(".") else f"{line}."


def _moved(day: Any, by: timedelta) -> str | None:
    """Return the day at a distance from another, as text."""
    return None if day is None else (day + by).isoformat()


class _Generator(GenerateJsonSchema):
    """pydantic's generator, extended for dspy's types and some Python types."""

    ignored_warning_kinds = {"skipped-choice", "non-serializable-default"}  # noqa: RUF012
    _classes = 0

    def get_json_ref_counts(self, json_schema: JsonSchemaValue) -> dict[JsonRef, int]:
        # A type's own schema may contain a reference that is not a definition, such as `#`. pydantic fails on it,
        # unless it is an address; `Reducer` drops it.
        for reference in [*_references(json_schema), *_references(self.definitions)]:
            if reference not in self.json_to_defs_refs:
                name = DefsRef(f"{ELSEWHERE}{reference}")
                self.json_to_defs_refs[JsonRef(reference)] = name
                self.definitions[name] = {"$ref": name}
                self._prioritized_defsref_choices[name] = [name]
        return super().get_json_ref_counts(json_schema)

    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        cls = schema["cls"]
        if issubclass(cls, TEXT_TYPES):
            return {"type": "string"}
        if issubclass(cls, DSPY_TYPES):
            raise UnsupportedError(
                f"`{cls.__name__}` is one of dspy's own types, which JSON and text formats cannot "
                "carry. Use the `chat` format, which leaves it to dspy's adapter"
            )
        with self._inside_a_class():
            return super().model_schema(schema)

    def dataclass_schema(self, schema: core_schema.DataclassSchema) -> JsonSchemaValue:
        with self._inside_a_class():
            return super().dataclass_schema(schema)

    @contextmanager
    def _inside_a_class(self) -> Iterator[None]:
        self._classes += 1
        try:
            yield
        finally:
            self._classes -= 1

    def decimal_schema(self, schema: core_schema.DecimalSchema) -> JsonSchemaValue:
        # pydantic also allows a string, with a look-ahead pattern, and rounds the bounds.
        names = {"multiple_of": "step", "decimal_places": "places", "max_digits": "digits"}
        exact: JsonSchemaValue = {name: schema[key] for key, name in names.items() if schema.get(key) is not None}  # type: ignore[literal-required]
        for name, mark, keys in (("low", "above", ("ge", "gt")), ("high", "below", ("le", "lt"))):
            bounds = [(schema[key], key in ("gt", "lt")) for key in keys if schema.get(key) is not None]  # type: ignore[literal-required]
            if bounds:
                tightest = max if name == "low" else min
                bound = tightest(value for value, _ in bounds)
                exact |= {name: str(bound), mark: (bound, True) in bounds}
        if "step" in exact:
            exact["step"] = str(exact["step"])
        return {"type": "number", EXACT: exact}

    def dict_schema(self, schema: core_schema.DictSchema) -> JsonSchemaValue:
        # pydantic drops constraints on keys that JSON Schema cannot express, such as numbers and dates.
        made, keys = super().dict_schema(schema), schema.get("keys_schema", {"type": "any"})
        return made if keys["type"] == "any" else {**made, KEYS: self.generate_inner(keys)}

    def url_schema(self, schema: core_schema.UrlSchema) -> JsonSchemaValue:
        return {**super().url_schema(schema), SCHEMES: list(schema.get("allowed_schemes") or ())}

    def multi_host_url_schema(self, schema: core_schema.MultiHostUrlSchema) -> JsonSchemaValue:
        return {**super().multi_host_url_schema(schema), SCHEMES: list(schema.get("allowed_schemes") or ())}

    def date_schema(self, schema: core_schema.DateSchema) -> JsonSchemaValue:
        # pydantic drops the bounds of dates.
        day = timedelta(days=1)
        found = {
            "low": [bound for key, step in (("ge", 0 * day), ("gt", day)) if (bound := _moved(schema.get(key), step))],
            "high": [
                bound for key, step in (("le", 0 * day), ("lt", -day)) if (bound := _moved(schema.get(key), step))
            ],
        }
        known = _NOW.get(schema.get("now_op", ""))
        if known is not None:
            found[known[0]].append(known[1])
        exact = {name: (max if name == "low" else min)(days) for name, days in found.items() if days}
        return {**super().date_schema(schema), **({EXACT: exact} if exact else {})}

    def datetime_schema(self, schema: core_schema.DatetimeSchema) -> JsonSchemaValue:
        return {**super().datetime_schema(schema), ZONE: schema.get("tz_constraint")}

    def time_schema(self, schema: core_schema.TimeSchema) -> JsonSchemaValue:
        return {**super().time_schema(schema), ZONE: schema.get("tz_constraint")}

    def literal_schema(self, schema: core_schema.LiteralSchema) -> JsonSchemaValue:
        for value in schema["expected"]:
            if not isinstance(value, (str, int, float, Enum, type(None))):
                raise UnsupportedError(f"it has the choice {value!r}, which JSON cannot hold")
        return super().literal_schema(schema)

    def is_subclass_schema(self, schema: core_schema.IsSubclassSchema) -> JsonSchemaValue:
        raise UnsupportedError("a class cannot be written as JSON. Use a Literal of names")

    def json_schema(self, schema: core_schema.JsonSchema) -> JsonSchemaValue:
        raise NeverRightError(
            "`Json` is a text with JSON inside, and replies are read as JSON already. Use the type that it holds, such "
            "as `list[int]`, or `Any`"
        )

    def function_after_schema(self, schema: core_schema.AfterValidatorFunctionSchema) -> JsonSchemaValue:
        decodes = isinstance(getattr(schema["function"]["function"], "__self__", None), EncodedBytes | EncodedStr)
        if decodes and not self._classes:  # pydantic does not read an instance again, and writes its fields encoded
            raise NeverRightError(
                "it decodes the text that it reads, as `Base64Str` does, and would decode a label or a demo again. "
                "Declare `str`, or put it into a model"
            )
        return super().function_after_schema(schema)

    def generator_schema(self, schema: core_schema.GeneratorSchema) -> JsonSchemaValue:
        raise UnsupportedError("a generator cannot be validated whole. Use a list")
