"""GBNF grammars for llama.cpp: one value as plain text or as one line of JSON, and nothing else."""

from decimal import Decimal

from tunesmith.signatures.bounds import HELD, MOST_LABELS
from tunesmith.signatures.codec import Codec, codec_of
from tunesmith.signatures.forms import FORMS
from tunesmith.signatures.gbnfjson import form_body, gbnf_literal, json_rules, number_body
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

    The grammar is never stricter than the type, save that numbers have no exponent and, where no bound says it, at most
    33 digits before the point and 21 behind it, and that dates have four-digit years. Bounds, steps and numbers of
    digits are followed exactly; a pattern is followed in the characters of the scripts in most use.

    Returns:
        GBNF with the root rule `root`; `None` for text without a pattern that can be written, for types that are
        written as JSON, and for more than 200 labels: those are checked in the reply.

    Raises:
        SignatureError: there is no such field.
    """
    codec = codec_of(signature, name)
    if codec.kind == "label":
        texts = list(codec.choices.texts)
        if len(texts) > MOST_LABELS:
            return None
        return "root ::= " + " | ".join(gbnf_literal(text) for text in texts)
    if open_end(signature, name):
        value = _scalar(codec, "value") or text_rules(signature, name, "value")
        return f"root ::= value {open_end(signature, name)}\n{value}"
    return _scalar(codec, "root") or text_rules(signature, name, "root")


def grammar_rules(signature: type[Signature], name: str, rule: str, *, avoid: str = "") -> str | None:
    """Return rules, the first of them called `rule`, for one output within a larger grammar.

    Numbers, dates and UUIDs are plain text as in `grammar`. What is not plain is one line of JSON, held to the safe
    schema of the type and to what a grammar can say beyond it: properties in their order, the required ones first, at
    most 60 keys in a mapping.

    Args:
        signature: whose field it is.
        name: the output.
        rule: letters, digits and hyphens; further rules begin with it.
        avoid: characters that JSON texts must not hold as they are (they can be escaped).

    Returns:
        GBNF; `None` for text and labels, whose spelling depends on what stands around them.

    Raises:
        SignatureError: there is no such output, or its type cannot be carried as JSON.
    """
    codec = codec_of(signature, name)
    if codec.kind == "json":
        return json_rules(marked_schema(signature, name), rule, avoid=avoid)
    return _scalar(codec, rule)


def json_grammar(signature: type[Signature], name: str) -> str | None:
    """Return the grammar of one output as JSON.

    White space may stand inside of arrays and objects and nowhere else. A server's own grammar of a schema may let a
    reply begin with a Markdown fence, and behind one a small model writes lists that it does not end.

    Returns:
        GBNF with the root rule `root`; `None` for what is plain text.

    Raises:
        SignatureError: there is no such output, or its type cannot be carried as JSON.
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
        SignatureError: a type that cannot be carried as JSON.
    """
    schemas = {name: marked_schema(signature, name) for name in output_types(signature)}
    return json_rules({"type": "object", "properties": schemas, "required": list(schemas)}, "root", spaced=True)


def text_rules(
    signature: type[Signature], name: str, rule: str, *, avoid: str = "", edge_avoid: str = ""
) -> str | None:
    """Return rules, the first of them called `rule`, for a text output with a pattern, without outer white space.

    Args:
        signature: whose field it is.
        name: the output.
        rule: letters, digits and hyphens; further rules begin with it.
        avoid: characters that the text must not hold.
        edge_avoid: characters that it must not begin or end with.

    Returns:
        GBNF; `None` where there is no pattern, or none that can be written so.

    Raises:
        SignatureError: there is no such field.
    """
    codec = codec_of(signature, name)
    held = (codec.schema or {}).get(HELD, {})
    if codec.kind != "text" or "pattern" not in held:
        return None
    found = pattern_rules(held, rule, json=False, avoid=avoid, edge_avoid=edge_avoid)
    return None if found is None else "\n".join([f"{rule} ::= {found[0]}", *found[1]])


def open_end(signature: type[Signature], name: str) -> str:
    """Return what may follow a plain-text value that could always go on, and ends a reply; empty for other values.

    Behind a number or a text with a pattern that is a line end, behind a number a full stop as well. A small model that
    would write one, and may not, goes on with digits until a bound stops it.

    Raises:
        SignatureError: there is no such field.
    """
    codec = codec_of(signature, name)
    is_number = codec.kind in ("int", "float") or codec.base is Decimal
    rules = _scalar(codec, "v") if is_number else text_rules(signature, name, "v")
    if rules is None or not ("[" in rules or "{" in rules):
        return ""
    return _NUMBER_END if is_number else _LINE_END


def is_held_as_json_alone(signature: type[Signature], name: str) -> bool:
    """Return whether JSON can hold an output's pattern and plain text cannot: its texts begin or end with white space.

    Raises:
        SignatureError: there is no such field.
    """
    codec = codec_of(signature, name)
    held = (codec.schema or {}).get(HELD, {})
    if codec.kind != "text" or "pattern" not in held:
        return False
    return pattern_rules(held, "r", json=False) is None and pattern_rules(held, "r", json=True) is not None


def text_bounds(signature: type[Signature], name: str) -> tuple[int, int | None]:
    """Return the least and the most characters of a text output, `None` where nobody said or it is over 4,000.

    Raises:
        SignatureError: there is no such field.
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
    """Return the rule, and those it needs, of a number, a date or a UUID."""
    schema = codec.schema or {}
    if codec.kind in ("int", "float") or (codec.kind == "scalar" and codec.base is Decimal):
        body, more = number_body(schema, rule)
        return "\n".join([f"{rule} ::= {body}", *more])
    if codec.kind == "scalar":
        held = schema.get(HELD)
        return f"{rule} ::= {form_body(held) if held is not None else _BY_NAME[codec.base.__name__]}"
    return None
