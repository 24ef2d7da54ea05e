"""`bare`: the single output alone, as plain text where it can be, else as its JSON value."""

from collections.abc import Mapping
from datetime import date
from typing import Any, ClassVar
from uuid import UUID

from tunesmith.errors import FormatError, ParseError
from tunesmith.formats.fields import field_titles, json_text
from tunesmith.formats.format import Format, field_notes
from tunesmith.formats.options import Constraint
from tunesmith.lm import Capabilities
from tunesmith.signatures import (
    Signature,
    field_schema,
    grammar,
    is_plain,
    labels,
    output_types,
    parse_json,
    parse_text,
    render_json,
    render_text,
    validate_output,
)

__all__ = ["BareFormat"]

_MOST_LISTED = 50
_LENGTHS: Mapping[Any, int] = {date: 10, UUID: 36}  # types of which each text is as long as every other


class BareFormat(Format):
    """Inputs as labelled lines, then the output's name as a cue; the reply is the value and nothing else.

    With a grammar the reply is plain text (`billing`), with a schema only it is JSON (`"billing"`). Measured on
    small models this beats every format that asks for markers or keys, for single outputs.
    """

    name: ClassVar[str] = "bare"

    def check(self, signature: type[Signature]) -> None:
        """Refuse signatures with several outputs."""
        super().check(signature)
        names = list(signature.output_fields)
        if len(names) != 1:
            raise FormatError(
                f"The format `bare` carries one output. {signature.__name__} has {len(names)}: "
                f"{', '.join(names)}. Use the format `json`."
            )
        field_schema(signature, names[0])  # refuses types that no reply can carry

    def mode(self, signature: type[Signature], capabilities: Capabilities) -> str:
        """Plain text where a grammar can hold it or nothing can hold anything, JSON in between."""
        if "grammar" in capabilities.constraints:
            return "grammar" if is_plain(signature, _output(signature)) else "schema"
        return "schema" if "json_schema" in capabilities.constraints else "none"

    def system_text(self, signature: type[Signature], mode: str) -> str:
        """Return instruction, notes and, for a closed set, its labels."""
        name = _output(signature)
        parts = [signature.instructions, field_notes(signature)]
        found = labels(signature, name)
        if found is not None and len(found) <= _MOST_LISTED:
            parts.append(f"{field_titles(signature)[name]} is one of: {', '.join(found)}.")
        if not _is_text(signature, name, mode):
            parts.append("Reply with the JSON value only.")
        return "\n".join(part for part in parts if part)

    def cue(self, signature: type[Signature]) -> str:
        """Return the output's name with a colon."""
        return f"\n{field_titles(signature)[_output(signature)]}:"

    def demo_reply(self, signature: type[Signature], values: Mapping[str, Any], mode: str) -> str:
        """Return the value as a reply shows it."""
        name = _output(signature)
        if _is_text(signature, name, mode):
            return render_text(signature, name, values[name])
        return json_text(render_json(signature, name, values[name]), name)

    def constraint(self, signature: type[Signature], mode: str) -> Constraint:
        """Return the grammar of the value, or its schema with a stop at the first newline."""
        name = _output(signature)
        if mode == "grammar":
            return Constraint(grammar=grammar(signature, name))
        if mode == "schema":
            schema = field_schema(signature, name)
            # A raw newline cannot stand inside a one-line JSON value, and small models like to go on after it;
            # objects and arrays are written over several lines.
            scalar = schema.get("type") not in ("object", "array") and "anyOf" not in schema
            return Constraint(schema=schema, stop=("\n",) if scalar else ())
        return Constraint()

    def read(self, signature: type[Signature], text: str, mode: str, *, cut: bool) -> dict[str, Any]:
        """Return the one output."""
        name = _output(signature)
        if not _is_text(signature, name, mode):
            value = parse_json(text)
            # Only a number can be cut and still be JSON; white space behind it says that it had ended.
            if cut and type(value) in (int, float) and text == text.rstrip():
                raise _cut(text, name)
            return {name: validate_output(signature, name, value, raw=text)}
        if cut and not _whole(signature, name, text):
            raise _cut(text, name)
        return {name: parse_text(signature, name, text, raw=text)}


def _output(signature: type[Signature]) -> str:
    return next(iter(signature.output_fields))


def _is_text(signature: type[Signature], name: str, mode: str) -> bool:
    return mode != "schema" and is_plain(signature, name)


def _cut(text: str, name: str) -> ParseError:
    problem = "The reply was cut at the length limit. Raise `max_tokens`."
    return ParseError(problem, reason="truncated", raw=text, field=name)


def _whole(signature: type[Signature], name: str, text: str) -> bool:
    """Return whether a cut reply is complete all the same: a date, or a label that no longer one begins with."""
    said = text.strip().casefold()
    length = _LENGTHS.get(output_types(signature)[name])
    if length is not None:
        return len(said) == length
    found = [label.casefold() for label in labels(signature, name) or ()]
    return said in found and sum(label.startswith(said) for label in found) == 1
