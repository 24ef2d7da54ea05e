"""Declare what a step does: typed signatures, the schema of their outputs, typed replies and demos."""

from typing import TYPE_CHECKING

from tunesmith.lazy import lazy_package

if TYPE_CHECKING:
    from tunesmith.signatures.atoms import InvalidError
    from tunesmith.signatures.bounds import MOST_CHOICES
    from tunesmith.signatures.demo import Demo
    from tunesmith.signatures.gbnf import (
        grammar,
        grammar_rules,
        is_held_as_json_alone,
        json_grammar,
        open_end,
        output_grammar,
        text_bounds,
        text_rules,
    )
    from tunesmith.signatures.gbnfchoice import choice_body, gbnf_literal
    from tunesmith.signatures.given import given_value, takes_none
    from tunesmith.signatures.inline import declared
    from tunesmith.signatures.jsonable import (
        NameTwiceError,
        in_one_order,
        to_json_value,
        unique_object,
        without_numpy,
    )
    from tunesmith.signatures.noted import note, notes_watched
    from tunesmith.signatures.render import is_any_text, is_plain, is_simple, is_text, labels, render_json, render_text
    from tunesmith.signatures.reply import (
        absent_output,
        could_hold,
        parse_json,
        parse_text,
        validate_output,
        validate_outputs,
    )
    from tunesmith.signatures.safe import server_schema, wide_integers
    from tunesmith.signatures.schema import check_can_be_right, field_schema, left_out, output_schema, string_forms
    from tunesmith.signatures.shapes import shape_lines, shape_words
    from tunesmith.signatures.signature import (
        NAMED_TYPES,
        Example,
        InputField,
        OutputField,
        Signature,
        check_fields,
        check_inputs,
        describe,
        field_description,
        field_names,
        fingerprint,
        input_types,
        is_generated,
        output_types,
        type_text,
    )
else:
    __getattr__ = lazy_package(__name__)

__all__ = [
    "absent_output",
    "check_can_be_right",
    "check_fields",
    "check_inputs",
    "choice_body",
    "could_hold",
    "declared",
    "Demo",
    "describe",
    "Example",
    "field_description",
    "field_names",
    "field_schema",
    "fingerprint",
    "gbnf_literal",
    "given_value",
    "grammar",
    "grammar_rules",
    "in_one_order",
    "input_types",
    "InputField",
    "InvalidError",
    "is_any_text",
    "is_generated",
    "is_held_as_json_alone",
    "is_plain",
    "is_simple",
    "is_text",
    "json_grammar",
    "labels",
    "left_out",
    "MOST_CHOICES",
    "NAMED_TYPES",
    "NameTwiceError",
    "note",
    "notes_watched",
    "open_end",
    "output_grammar",
    "output_schema",
    "output_types",
    "OutputField",
    "parse_json",
    "parse_text",
    "render_json",
    "render_text",
    "server_schema",
    "shape_lines",
    "shape_words",
    "Signature",
    "string_forms",
    "takes_none",
    "text_bounds",
    "text_rules",
    "to_json_value",
    "type_text",
    "unique_object",
    "validate_output",
    "validate_outputs",
    "wide_integers",
    "without_numpy",
]
