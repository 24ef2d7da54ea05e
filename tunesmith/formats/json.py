"""`json`: all outputs in one JSON object."""

import json
from collections.abc import Mapping
from typing import Any, ClassVar

from tunesmith.errors import ParseError
from tunesmith.formats.fields import json_text
from tunesmith.formats.format import Format, field_notes
from tunesmith.formats.options import Constraint
from tunesmith.formats.registry import register
from tunesmith.formats.streaming import FieldReader, JsonReader
from tunesmith.lm import Capabilities
from tunesmith.signatures import (
    Signature,
    could_hold,
    labels,
    output_grammar,
    output_schema,
    output_types,
    parse_json,
    render_json,
    shape_lines,
    shape_words,
    type_text,
    validate_outputs,
)

__all__ = ["JsonFormat"]

_MOST_LISTED = 50


class JsonFormat(Format):
    """Inputs as labelled lines; the reply is one JSON object with a key per output, in the signature's order."""

    name: ClassVar[str] = "json"

    def check_outputs(self, signature: type[Signature]) -> None:
        """Refuse output types that no reply can carry."""
        output_schema(signature)

    def mode(self, signature: type[Signature], capabilities: Capabilities, *, shown: bool = False) -> str:
        """Use a grammar if the engine takes one, else the schema."""
        if "grammar" in capabilities.constraints:
            return "grammar"
        return "schema" if "json_schema" in capabilities.constraints else "none"

    def system_text(self, signature: type[Signature]) -> str:
        """Return instruction, notes and the shape of the object."""
        shape = ", ".join(
            f'"{name}": {_shape(signature, name, annotation)}' for name, annotation in output_types(signature).items()
        )
        parts = (
            signature.instructions,
            field_notes(signature),
            f"Reply with one JSON object: {{{shape}}}",
            *shape_lines(signature),
        )
        return "\n".join(part for part in parts if part)

    def demo_reply(self, signature: type[Signature], values: Mapping[str, Any]) -> str:
        """Return the object as a reply shows it."""
        plain = {name: render_json(signature, name, value) for name, value in values.items()}
        return json_text(plain, ", ".join(plain))

    def constraint(self, signature: type[Signature], mode: str) -> Constraint:
        """Return the grammar or the schema of all outputs."""
        if mode == "grammar":
            return Constraint(grammar=output_grammar(signature))
        return Constraint(schema=output_schema(signature)) if mode == "schema" else Constraint()

    def read(self, signature: type[Signature], text: str, mode: str, *, cut: bool) -> dict[str, Any]:
        """Return all outputs, also of a cut reply that holds the whole object, or of one that has text around it."""
        try:
            value = parse_json(text)
        except ParseError as error:
            from tunesmith.formats.unheld import object_within  # here, since few replies need it

            within = object_within(text) if mode == "none" else None
            if within is not None:
                return validate_outputs(signature, within, raw=text)
            if not cut or error.reason == "truncated":
                raise
            raise ParseError(
                "The reply was cut at the length limit. Raise `max_tokens`.",
                reason="truncated",
                raw=text,
            ) from error
        if not isinstance(value, dict):
            raise ParseError("The reply is JSON, but not an object with a key per output.", reason="syntax", raw=text)
        return validate_outputs(signature, value, raw=text)

    def disproves(self, signature: type[Signature], text: str, mode: str, *, cut: bool) -> bool:
        """Return whether the grammar or the schema of all outputs cannot have allowed the reply."""
        return mode != "none" and not could_hold(output_schema(signature), text, cut=cut)

    def reader(self, signature: type[Signature], mode: str) -> FieldReader:
        """Return a reader of the object."""
        return JsonReader(signature.output_fields)


def _shape(signature: type[Signature], name: str, annotation: Any) -> str:
    choices = labels(signature, name)
    if choices is not None and len(choices) <= _MOST_LISTED:
        return f"<one of {', '.join(json.dumps(label, ensure_ascii=False) for label in choices)}>"
    if annotation is str:
        return "<text>"
    return f"<{shape_words(signature, name) or type_text(annotation)}>"


register(JsonFormat())
