"""`bare`: the single output alone, as plain text where it can be, else as its JSON value."""

from collections.abc import Mapping
from typing import Any, ClassVar

from tunesmith.errors import FormatError
from tunesmith.formats.cut import cut_error, is_whole
from tunesmith.formats.fields import field_titles, json_text
from tunesmith.formats.format import Format, field_notes
from tunesmith.formats.incremental import FieldReader, TextReader
from tunesmith.formats.incremental_json import JsonReader
from tunesmith.formats.options import Constraint
from tunesmith.lm import Capabilities
from tunesmith.signatures import (
    Signature,
    field_schema,
    grammar,
    is_plain,
    json_grammar,
    labels,
    parse_json,
    parse_text,
    render_json,
    render_text,
    text_bounds,
    validate_output,
)

__all__ = ["BareFormat"]

_MOST_LISTED = 50
_CHARACTER = "[^\\x00-\\x08\\x0B-\\x1F\\x7F]"


class BareFormat(Format):
    """Inputs as labelled lines, then the output's name as a cue; the reply is the value and nothing else.

    With a grammar the reply is plain text (`billing`), with a schema only it is JSON (`"billing"`). Measured on
    small models this beats every format that asks for markers or keys, for single outputs.
    """

    name: ClassVar[str] = "bare"

    def check_outputs(self, signature: type[Signature]) -> None:
        """Refuse signatures with several outputs."""
        names = list(signature.output_fields)
        if len(names) != 1:
            raise FormatError(
                f"The format `bare` carries one output. {signature.__name__} has {len(names)}: "
                f"{', '.join(names)}. Use the format `json`."
            )
        field_schema(signature, names[0])  # refuses types that no reply can carry

    def mode(self, signature: type[Signature], capabilities: Capabilities) -> str:
        """A grammar where the engine takes one; objects, arrays and unions by their schema."""
        if "grammar" in capabilities.constraints:
            name = _output(signature)
            return "grammar" if is_plain(signature, name) or json_grammar(signature, name) is not None else "schema"
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
            held = json_grammar(signature, name) or grammar(signature, name) or _bounded_text(signature, name)
            return Constraint(grammar=held)
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
                raise cut_error(text, name)
            return {name: validate_output(signature, name, value, raw=text)}
        if cut and not is_whole(signature, name, text):
            raise cut_error(text, name)
        return {name: parse_text(signature, name, text, raw=text)}

    def reader(self, signature: type[Signature], mode: str) -> FieldReader:
        """Return a reader of the value."""
        name = _output(signature)
        return TextReader(name) if _is_text(signature, name, mode) else JsonReader((), root=name)


def _output(signature: type[Signature]) -> str:
    return next(iter(signature.output_fields))


def _is_text(signature: type[Signature], name: str, mode: str) -> bool:
    return mode != "schema" and is_plain(signature, name)


def _bounded_text(signature: type[Signature], name: str) -> str | None:
    """Return a grammar that ends a text where the field's own bound is, `None` where it has none."""
    least, most = text_bounds(signature, name)
    if most is None or labels(signature, name) is not None:
        return None
    return f"root ::= {_CHARACTER}{{{max(least, 1)},{most}}}"
