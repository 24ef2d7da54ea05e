"""Read typed values from replies. Every value is validated, also if the engine enforced a constraint."""

import json
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NoReturn

from pydantic.fields import FieldInfo

from tunesmith.errors import ParseError, SignatureError
from tunesmith.lazy import lazy_module, lazy_pattern
from tunesmith.signatures.atoms import InvalidError
from tunesmith.signatures.codec import Codec, codec_of
from tunesmith.signatures.noted import note
from tunesmith.signatures.signature import Signature, checked, output_types

if TYPE_CHECKING:
    from tunesmith.signatures import bounds
else:
    bounds = lazy_module("tunesmith.signatures.bounds")  # texts and labels have none

__all__ = ["absent_output", "could_hold", "parse_json", "parse_text", "validate_output", "validate_outputs"]

_FENCED = lazy_pattern(r"```[A-Za-z]{0,8}[ \t]*\r?\n(.*?)```", re.DOTALL)
_FENCE = lazy_pattern(r"```[A-Za-z]{0,8}[ \t]*\r?\n?")
_ROOT_TYPES: Mapping[str, Any] = {
    "string": str,
    "integer": int,
    "number": (int, float, Decimal),
    "boolean": bool,
    "null": type(None),
    "array": list,
    "object": dict,
}
_WORDS = ("true", "false", "null")
_EXACT = 15  # characters of a number that a float represents exactly
_CUT_NUMBER = lazy_pattern(r"\.|[eE][-+]?")  # behind its first digits


def parse_json(raw: str) -> Any:
    """Return the JSON value in `raw`.

    White space and a Markdown fence around the value are removed, and so is any text around a reply's only fence. A
    reply that was cut after the value is complete. `NaN` and `Infinity` are not JSON. A fraction is a `Decimal` if a
    float would lose digits.

    Raises:
        ParseError: the reason is `empty`, `truncated` (the reply ends inside a value) or `syntax`.
    """
    try:
        return _json(raw, raw, None)
    except ParseError as error:
        fenced = _FENCED.findall(raw) if error.reason == "syntax" else []
        if len(fenced) != 1 or raw.count("```") != 2:
            raise
        return _json(fenced[0], raw, None)


def could_hold(schema: Mapping[str, Any], text: str, *, cut: bool = False) -> bool:
    """Return whether an engine that enforces `schema` could have written `text`.

    It checks only the outermost value: valid JSON, the right type, one of the choices, the required keys. `False`
    proves that the engine did not enforce the schema.

    Args:
        schema: a result of `field_schema` or `output_schema`.
        text: the whole reply, with white space around it.
        cut: whether the reply ended at a length limit or a stop.
    """
    text = text.strip()
    if not text:
        return True
    try:
        value = _json(text, text, None) if not text.startswith("`") else None
    except ParseError as error:
        return error.reason == "truncated" and cut
    return not text.startswith("`") and _fits_root(schema, value)


def _fits_root(schema: Mapping[str, Any], value: Any) -> bool:
    if "anyOf" in schema:
        return any(_fits_root(one, value) for one in schema["anyOf"])
    if "enum" in schema:
        return any(type(one) is type(value) and one == value for one in schema["enum"])
    wanted = _ROOT_TYPES.get(schema.get("type", ""))
    if wanted is None:
        return True
    is_of_type = isinstance(value, wanted) and (wanted is bool or not isinstance(value, bool))
    return is_of_type and (wanted is not dict or all(key in value for key in schema.get("required", ())))


def parse_text(signature: type[Signature], name: str, text: str, *, raw: str) -> Any:
    """Return the typed value of one output from its plain text, or from JSON if it is not plain.

    Outer white space of a text and a full stop after a number are removed. Numbers, dates and labels must be exact,
    except that a label may differ in case if it is unambiguous.

    Args:
        signature: the signature of the field.
        name: the field.
        text: the part of the reply that belongs to the field.
        raw: the whole reply, for the error.

    Raises:
        ParseError: the reason is `empty`, `invalid`, or one of `parse_json`.
        SignatureError: the signature lacks the field.
    """
    codec = codec_of(signature, name)
    if not codec.constrained:
        value = codec.choices.texts.get(text)
        if value is not None:
            return value
    text = text.strip()
    if not text:
        raise ParseError(f"Output `{name}` is empty.", reason="empty", raw=raw, field=name)
    if codec.kind == "json":
        return _valid(codec, name, _json(text, raw, name), raw)
    if codec.kind in ("int", "float") or codec.base is Decimal:
        text = text.removesuffix(".")
    try:
        value = codec.from_text(text)
    except InvalidError as error:
        _invalid(name, error, raw)
    # A text that ends at our own bound was cut by `max_tokens`, or has the requested length.
    if isinstance(value, (int, float, Decimal)) and codec.filled(_as_written(value, text)) is bounds.Filled.CUT:
        raise _filled(name, raw)
    return value


def _as_written(value: float | Decimal, text: str) -> float | Decimal:
    """Return a number that shows how many digits `text` has: an integer for 10...0, a float for `1e+32`."""
    if "e" in text.lower():
        return float(value)
    return int(value) if isinstance(value, float) else value


def validate_output(signature: type[Signature], name: str, value: Any, *, raw: str) -> Any:
    """Return the typed value of one output from its JSON value.

    Types follow pydantic's JSON mode: `"5"` and `5.0` are integers, a date is its text, an Enum its value. A boolean
    is never a number, and a number never a text.

    Args:
        signature: the signature of the field.
        name: the field.
        value: a result of `parse_json`, or a part of it.
        raw: the whole reply, for the error.

    Raises:
        ParseError: the reason is `invalid`, or `truncated` if a text, number, list or mapping is exactly as long as
            one of our own bounds. A list or text that repeats itself up to that bound is valid and gets a note.
        SignatureError: the signature lacks the field.
    """
    return _valid(codec_of(signature, name), name, value, raw)


def validate_outputs(signature: type[Signature], values: Mapping[str, Any], *, raw: str) -> dict[str, Any]:
    """Return the typed values of all outputs, in order, from a JSON object. Other keys are ignored.

    An absent output gets its declared default.

    Raises:
        ParseError: as in `validate_output`; `missing` if an output without a default is absent;
            `invalid` if `values` is not an object.
    """
    if not isinstance(values, Mapping):
        raise ParseError(
            f"The reply must be an object with the keys {', '.join(output_types(signature))}.",
            reason="invalid",
            raw=raw,
        )
    fields: Mapping[str, FieldInfo] = checked(signature).output_fields
    outputs: dict[str, Any] = {}
    for name, info in fields.items():
        if name in values:
            outputs[name] = _valid(codec_of(signature, name), name, values[name], raw)
        else:
            outputs[name] = _absent(name, info, raw)
    return outputs


def absent_output(signature: type[Signature], name: str, *, raw: str) -> Any:
    """Return the declared default of an output that the reply lacks.

    Raises:
        ParseError: `missing`, if there is no default.
        SignatureError: the default factory fails.
    """
    fields: Mapping[str, FieldInfo] = checked(signature).output_fields
    return _absent(name, fields[name], raw)


def _absent(name: str, info: FieldInfo, raw: str) -> Any:
    if info.is_required():
        raise ParseError(f"Output `{name}` is missing.", reason="missing", raw=raw, field=name)
    return _default(name, info)


def _default(name: str, info: FieldInfo) -> Any:
    try:
        return info.get_default(call_default_factory=True, validated_data={})
    # A default factory is the user's code.
    except Exception as error:
        raise SignatureError(
            f"The default factory of output `{name}` fails: {error!r}. Give a plain default."
        ) from error


def _valid(codec: Codec, name: str, value: Any, raw: str) -> Any:
    try:
        found = codec.filled(value)
        if found is bounds.Filled.CUT:
            raise _filled(name, raw)
        typed = codec.from_json(value)
    except InvalidError as error:
        _invalid(name, error, raw)
    except RecursionError as error:
        _invalid(name, InvalidError("is nested too deeply"), raw, error)
    if found is bounds.Filled.REPEATING:
        note(
            f"The model repeats itself in output `{name}` up to tunesmith's default limit. "
            "Declare `max_length` on the field to set another limit."
        )
    return typed


def _filled(name: str, raw: str) -> ParseError:
    return ParseError(
        f"Output `{name}` reaches tunesmith's default length limit and was probably cut. "
        "To allow more, declare `max_length` on the field or its items, or `ge` and `le` for a number.",
        reason="truncated",
        raw=raw,
        field=name,
    )


def _invalid(name: str, error: InvalidError, raw: str, cause: Exception | None = None) -> NoReturn:
    raise ParseError(
        f"Output `{name}` {error}." if str(error)[:1].islower() else f"Output `{name}`: {error}.",
        reason="invalid",
        raw=raw,
        field=name,
    ) from (cause or error)


def _json(text: str, raw: str, field: str | None) -> Any:
    text = text.strip()
    if text.startswith("```"):
        text = _unfenced(text)
    if not text:
        raise ParseError("The reply is empty.", reason="empty", raw=raw, field=field)
    try:
        value, end = _DECODER.raw_decode(text)
    except json.JSONDecodeError as error:
        cut = _is_cut(text, error)
        raise ParseError(
            "The reply ends inside a JSON value." if cut else f"The reply is not JSON: {error.msg}.",
            reason="truncated" if cut else "syntax",
            raw=raw,
            field=field,
        ) from error
    except (RecursionError, ValueError) as error:  # nested too deeply; NaN, or thousands of digits
        problem = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise ParseError(
            f"The JSON of the reply cannot be read: {problem}.",
            reason="syntax",
            raw=raw,
            field=field,
        ) from error
    if end == len(text):
        return value
    cut_number = type(value) in (int, float, Decimal) and not text[end:].strip("-+.eE")
    raise ParseError(
        "The reply ends inside a number." if cut_number else "Text follows the JSON value.",
        reason="truncated" if cut_number else "syntax",
        raw=raw,
        field=field,
    )


def _unfenced(text: str) -> str:
    """Return the text inside a Markdown fence; the closing fence may be missing."""
    opening = _FENCE.match(text)
    inside = text[opening.end() if opening else 3 :].rstrip()
    return inside.removesuffix("```").strip()


def _is_cut(text: str, error: json.JSONDecodeError) -> bool:
    """Return whether an invalid JSON text is the start of a valid one."""
    rest = text[error.pos :].strip()
    if not rest or error.msg.startswith("Unterminated string"):
        return True
    if error.msg.startswith("Expecting value"):
        return rest == "-" or any(word.startswith(rest) for word in (*_WORDS, "-Infinity"))
    if error.msg.startswith("Expecting ',' delimiter"):
        return _CUT_NUMBER.fullmatch(rest) is not None
    return error.msg.startswith("Invalid \\u") and len(rest) < 6 and '"' not in rest


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON number")


def _finite(text: str) -> float | Decimal | int:
    """Return a number with a point or an exponent.

    A long one without an exponent is an integer if it is whole. Others are a float, or a `Decimal` if a float would
    lose digits.
    """
    number = float(text)
    if number - number != 0:
        raise ValueError("a number is too large")
    if len(text) <= _EXACT:
        return number
    exact = Decimal(text)
    if "e" not in text.lower() and text.rstrip("0").endswith("."):
        return int(exact)
    return number if Decimal(repr(number)) == exact else exact


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_finite)
