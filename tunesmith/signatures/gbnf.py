"""GBNF grammars for llama.cpp: one value, as plain text or as one line of JSON."""

from decimal import Decimal

from tunesmith.signatures.bounds import HELD, MOST_CHOICES
from tunesmith.signatures.codec import Codec, codec_of
from tunesmith.signatures.forms import FORMS
from tunesmith.signatures.gbnfchoice import choice_body
from tunesmith.signatures.gbnfjson import form_body, json_rules, number_body
from tunesmith.signatures.gbnfpattern import pattern_rules
from tunesmith.signatures.schema import marked_schema
from tunesmith.signatures.signature import Signature, output_types

__all__ = [
    "grammar",
    "grammar_rules",
    "is_held_as_json_alone",
    "json_grammar",
    "open_end",
    "output_grammar",
    "text_bounds",
    "text_rules",
]

_MOST_TEXT = 4000
_LINE_END, _NUMBER_END = r'"\x0A"?', r"[\x0A.]?"
_ZONE = '("Z" | [+-] [0-1] [0-9] ":" [0-5] [0-9])?'
_BY_NAME = {
    "date": FORMS["date"],
    "datetime": f"{FORMS['local-date-time']} {_ZONE}",
    "time": f"{FORMS['local-time']} {_ZONE}",
    "UUID": FORMS["uuid"],
}


def grammar(signature: type[Signature], name: str) -> str | None:
    """Return the grammar of a plain-text reply of one output.

    The grammar allows every value of the type, with three exceptions: numbers have no exponent; without a bound they
    have at most 33 digits before the point and 21 after it; dates have four-digit years. Bounds, steps and numbers of
    digits are exact. A pattern is limited to the characters of the most common scripts.

    Returns:
        GBNF with the root rule `root`. `None` for text without a pattern that a grammar can express, for types that
        are written as JSON, and for more than 3,000 labels; these are checked in the reply.

    Raises:
        SignatureError: the signature lacks the field.
    """
    codec = codec_of(signature, name)
    if codec.kind == "label":
        return None if len(codec.choices.texts) > MOST_CHOICES else f"root ::= {choice_body(list(codec.choices.texts))}"
    if open_end(signature, name):
        value = _scalar(codec, "value") or text_rules(signature, name, "value")
        return f"root ::= value {open_end(signature, name)}\n{value}"
    return _scalar(codec, "root") or text_rules(signature, name, "root")


def grammar_rules(signature: type[Signature], name: str, rule: str, *, avoid: str = "") -> str | None:
    """Return rules for one output within a larger grammar; the first is named `rule`.

    Numbers, dates and UUIDs are plain text as in `grammar`. Other types are one line of JSON that follows the safe
    schema of the type and constraints that only a grammar can express: properties in order, required ones first, at
    most 60 keys in a mapping.

    Args:
        signature: the signature of the output.
        name: the output.
        rule: letters, digits and hyphens; prefix for the names of further rules.
        avoid: characters that JSON texts must escape.

    Returns:
        GBNF; `None` for text and labels, whose rule depends on the surrounding grammar.

    Raises:
        SignatureError: the signature lacks the output, or its type has no JSON form.
    """
    codec = codec_of(signature, name)
    if codec.kind == "json":
        return json_rules(marked_schema(signature, name), rule, avoid=avoid)
    return _scalar(codec, rule)


def json_grammar(signature: type[Signature], name: str) -> str | None:
    """Return the grammar of one output as JSON.

    White space is allowed only inside arrays and objects. A server's own grammar for a schema may let a reply start
    with a Markdown fence, after which a small model writes endless lists.

    Returns:
        GBNF with the root rule `root`; `None` for types that are plain text.

    Raises:
        SignatureError: the signature lacks the output, or its type has no JSON form.
    """
    if codec_of(signature, name).kind != "json":
        return None
    schema = marked_schema(signature, name)
    if not any(one.get("type") in ("integer", "number") for one in (schema, *schema.get("anyOf", ()))):
        return json_rules(schema, "root", spaced=True)
    return f"root ::= value {_LINE_END}\n{json_rules(schema, 'value', spaced=True)}"


def output_grammar(signature: type[Signature]) -> str:
    """Return the grammar of all outputs as one JSON object, with white space as in `json_grammar`.

    Raises:
        SignatureError: a type has no JSON form.
    """
    schemas = {name: marked_schema(signature, name) for name in output_types(signature)}
    return json_rules({"type": "object", "properties": schemas, "required": list(schemas)}, "root", spaced=True)


def text_rules(
    signature: type[Signature], name: str, rule: str, *, avoid: str = "", edge_avoid: str = ""
) -> str | None:
    """Return rules for a text output with a pattern, without outer white space; the first is named `rule`.

    Args:
        signature: the signature of the output.
        name: the output.
        rule: letters, digits and hyphens; prefix for the names of further rules.
        avoid: characters that the text must not contain.
        edge_avoid: characters that it must not start or end with.

    Returns:
        GBNF; `None` without a pattern, or if a grammar cannot express it.

    Raises:
        SignatureError: the signature lacks the field.
    """
    codec = codec_of(signature, name)
    held = (codec.schema or {}).get(HELD, {})
    if codec.kind != "text" or "pattern" not in held:
        return None
    found = pattern_rules(held, rule, json=False, avoid=avoid, edge_avoid=edge_avoid)
    return None if found is None else "\n".join([f"{rule} ::= {found[0]}", *found[1]])


def open_end(signature: type[Signature], name: str) -> str:
    """Return the optional end of a reply after a value that could continue (a number, or a text with a pattern).

    The end is a line end, and for a number also a full stop. Without it, a small model that wants to write one adds
    digits up to the bound instead. Empty for other types.

    Raises:
        SignatureError: the signature lacks the field.
    """
    codec = codec_of(signature, name)
    is_number = codec.kind in ("int", "float") or codec.base is Decimal
    rules = _scalar(codec, "v") if is_number else text_rules(signature, name, "v")
    if rules is None or not ("[" in rules or "{" in rules):
        return ""
    return _NUMBER_END if is_number else _LINE_END


def is_held_as_json_alone(signature: type[Signature], name: str) -> bool:
    """Return whether only JSON can enforce an output's pattern, because its texts start or end with white space.

    Raises:
        SignatureError: the signature lacks the field.
    """
    codec = codec_of(signature, name)
    held = (codec.schema or {}).get(HELD, {})
    if codec.kind != "text" or "pattern" not in held:
        return False
    return pattern_rules(held, "r", json=False) is None and pattern_rules(held, "r", json=True) is not None


def text_bounds(signature: type[Signature], name: str) -> tuple[int, int | None]:
    """Return the minimal and maximal length of a text output; the maximum is `None` if unset or over 4,000.

    Raises:
        SignatureError: the signature lacks the field.
    """
    found: dict[str, int] = {}
    for piece in getattr(output_types(signature).get(name), "__metadata__", ()):
        for constraint in (piece, *getattr(piece, "metadata", ())):
            for bound in ("min_length", "max_length"):
                value = getattr(constraint, bound, None)
                if isinstance(value, int):
                    found[bound] = value
    most = found.get("max_length")
    return found.get("min_length", 0), most if most is not None and most <= _MOST_TEXT else None


def _scalar(codec: Codec, rule: str) -> str | None:
    """Return the rules of a number, a date or a UUID."""
    schema = codec.schema or {}
    if codec.kind in ("int", "float") or (codec.kind == "scalar" and codec.base is Decimal):
        body, more = number_body(schema, rule)
        return "\n".join([f"{rule} ::= {body}", *more])
    if codec.kind == "scalar":
        held = schema.get(HELD)
        return f"{rule} ::= {form_body(held) if held is not None else _BY_NAME[codec.base.__name__]}"
    return None
