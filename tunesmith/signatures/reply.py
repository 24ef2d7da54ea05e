"""Typed values from replies. Everything is validated here, whatever the engine promised."""

import json
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, NoReturn

from pydantic.fields import FieldInfo

from tunesmith.errors import ParseError, SignatureError
from tunesmith.signatures.atoms import InvalidError
from tunesmith.signatures.bounds import Filled
from tunesmith.signatures.codec import Codec, codec_of
from tunesmith.signatures.noted import note
from tunesmith.signatures.signature import Signature, checked, output_types

__all__ = ["absent_output", "could_hold", "parse_json", "parse_text", "validate_output", "validate_outputs"]

_FENCED = re.compile(r"```[A-Za-z]{0,8}[ \t]*\r?\n(.*?)```", re.DOTALL)
_FENCE = re.compile(r"```[A-Za-z]{0,8}[ \t]*\r?\n?")
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
_EXACT = 15  # characters of a number of which a float loses nothing
_CUT_NUMBER = re.compile(r"\.|[eE][-+]?")  # behind its first digits


def parse_json(raw: str) -> Any:
    """Return the one JSON value that `raw` holds.

    White space around it and one Markdown fence around that are taken off, and so is what stands around a reply's only
    fence. A reply that was cut after the value is whole. `NaN` and `Infinity` are no JSON. A fraction is a
    `Decimal` if a float would lose digits of it.

    Raises:
        ParseError: `empty`; `truncated` where it ends inside a value; else `syntax`.
    """
    try:
        return _json(raw, raw, None)
    except ParseError as error:
        fenced = _FENCED.findall(raw) if error.reason == "syntax" else []
        if len(fenced) != 1 or raw.count("```") != 2:
            raise
        return _json(fenced[0], raw, None)


def could_hold(schema: Mapping[str, Any], text: str, *, cut: bool = False) -> bool:
    """Return whether an engine that holds replies to `schema` could have written `text`.

    It looks at the outermost value alone: whether it is JSON, of the right type, one of the choices, with the required
    keys. What it refuses proves that the schema was not enforced.

    Args:
        schema: as `field_schema` and `output_schema` return it.
        text: the whole reply, white space around it included.
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
    """Return the typed value of one output from its plain text, or from JSON where it is not plain.

    A text is taken without its outer white space, a number without a full stop behind it. Numbers, dates and labels
    must be exact; a label may differ in case where that is unambiguous.

    Args:
        signature: whose field it is.
        name: the field.
        text: the part of the reply that belongs to the field.
        raw: the whole reply, for the error.

    Raises:
        ParseError: `empty`, `invalid`, or as `parse_json`.
        SignatureError: there is no such field.
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
    # A text that ends at a bound of ours has run into `max_tokens`, or has the length that was asked for.
    if isinstance(value, (int, float, Decimal)) and codec.filled(value) is Filled.CUT:
        raise _filled(name, raw)
    return value


def validate_output(signature: type[Signature], name: str, value: Any, *, raw: str) -> Any:
    """Return the typed value of one output from its JSON value.

    Types are read as pydantic reads JSON: `"5"` and `5.0` are integers, a date is its text, an Enum its value.
    A truth value is never a number and a number never a text.

    Args:
        signature: whose field it is.
        name: the field.
        value: what `parse_json` returned for it.
        raw: the whole reply, for the error.

    Raises:
        ParseError: `invalid`, or `truncated` if a text, number, list or mapping is exactly as long as a bound that was
            ours and not the user's. A list that repeats itself until that bound is a value, and `noted`.
        SignatureError: there is no such field.
    """
    return _valid(codec_of(signature, name), name, value, raw)


def validate_outputs(signature: type[Signature], values: Mapping[str, Any], *, raw: str) -> dict[str, Any]:
    """Return the typed values of all outputs, in order, from a JSON object. Other keys are ignored.

    An absent output takes its declared default.

    Raises:
        ParseError: as `validate_output`; `missing` where an output without a default is absent; `invalid`
            where `values` is no object.
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
    """Return the declared default of an output that a reply does not hold.

    Raises:
        ParseError: `missing`, where it has none.
        SignatureError: the default cannot be made.
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
            f"The default of output `{name}` cannot be made: {error!r}. Give a plain default."
        ) from error


def _valid(codec: Codec, name: str, value: Any, raw: str) -> Any:
    try:
        found = codec.filled(value)
        if found is Filled.CUT:
            raise _filled(name, raw)
        typed = codec.from_json(value)
    except InvalidError as error:
        _invalid(name, error, raw)
    except RecursionError as error:
        _invalid(name, InvalidError("is nested too deeply"), raw, error)
    if found is Filled.REPEATING:
        note(
            f"The model repeats itself in a list of output `{name}` until it has as many items as tunesmith allows if "
            "the signature does not say. Declare `max_length` on the field to ask for fewer, or for more."
        )
    return typed


def _filled(name: str, raw: str) -> ParseError:
    return ParseError(
        f"Output `{name}` fills a bound that tunesmith set so that replies end, and was likely cut. "
        "Declare `max_length` on the field, or on its items, to allow more; of a number, `ge` and `le`.",
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
            "The reply ends inside a JSON value." if cut else f"The reply is no JSON: {error.msg}.",
            reason="truncated" if cut else "syntax",
            raw=raw,
            field=field,
        ) from error
    except (RecursionError, ValueError) as error:  # nested too deeply; NaN, or thousands of digits
        problem = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise ParseError(
            f"The reply is no JSON that can be read: {problem}.",
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
    """Return what stands inside a Markdown fence; the closing one may have been cut off."""
    opening = _FENCE.match(text)
    inside = text[opening.end() if opening else 3 :].rstrip()
    return inside.removesuffix("```").strip()


def _is_cut(text: str, error: json.JSONDecodeError) -> bool:
    """Return whether a text that is no JSON is the beginning of some."""
    rest = text[error.pos :].strip()
    if not rest or error.msg.startswith("Unterminated string"):
        return True
    if error.msg.startswith("Expecting value"):
        return rest == "-" or any(word.startswith(rest) for word in (*_WORDS, "-Infinity"))
    if error.msg.startswith("Expecting ',' delimiter"):
        return _CUT_NUMBER.fullmatch(rest) is not None
    return error.msg.startswith("Invalid \\u") and len(rest) < 6 and '"' not in rest


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _finite(text: str) -> float | Decimal | int:
    """Return a fraction as a float, as a decimal if a float would lose digits of it, a long whole one as an integer."""
    number = float(text)
    if number - number != 0:
        raise ValueError("a number is too large")
    if len(text) <= _EXACT:
        return number
    exact = Decimal(text)
    if text.endswith(".0"):
        return int(exact)
    return number if Decimal(repr(number)) == exact else exact


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_finite)
