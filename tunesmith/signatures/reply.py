"""Replies as typed values: JSON or plain text in, validated Python values or a `ParseError` out."""

import json
import re
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError
from pydantic_core import PydanticUndefined

from tunesmith.errors import ParseError, shown
from tunesmith.signatures.bounds import UnsupportedError, fills_own_bound
from tunesmith.signatures.codec import Codec, codec_of
from tunesmith.signatures.jsonable import confuses_types, to_json_value
from tunesmith.signatures.schema import type_schema
from tunesmith.signatures.signature import Signature

__all__ = ["parse_json", "parse_text", "validate_output", "validate_outputs"]

_FENCE = re.compile(r"\A```(?:json)?[ \t]*\n(.*?)\n?```\Z", re.DOTALL)
_NUMBER = re.compile(r"[+-]?\d+")
_MOST_DIGITS = 4000  # Python itself refuses to read longer numbers


def parse_json(raw: str) -> Any:
    """Return the one JSON value that a reply holds.

    White space around it and a single code fence are allowed; a reply that was cut after a whole value is whole.

    Raises:
        ParseError: `empty`, `truncated` where the text ends inside a value, else `syntax`.
    """
    text = raw.strip()
    if not text:
        raise ParseError("The reply is empty.", reason="empty", raw=raw)
    fenced = _FENCE.match(text)
    if fenced is not None:
        text = fenced.group(1).strip()
    try:
        return json.loads(text, parse_constant=_no_constant, parse_int=_whole)
    except json.JSONDecodeError as error:
        cut = error.pos >= len(text) or "Unterminated string" in error.msg
        raise ParseError(
            "The reply ends inside a JSON value." if cut else f"The reply is no JSON value: {error.msg}.",
            reason="truncated" if cut else "syntax",
            raw=raw,
        ) from error
    except RecursionError as error:
        raise ParseError("The reply is nested too deeply.", reason="syntax", raw=raw) from error
    except ValueError as error:
        raise ParseError(f"The reply is no JSON value: {error}.", reason="syntax", raw=raw) from error


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON number")


def _whole(text: str) -> int:
    if len(text) > _MOST_DIGITS:
        raise ValueError(f"a number of {len(text)} digits")
    return int(text)


def validate_output(signature: type[Signature], name: str, value: Any, *, raw: str) -> Any:
    """Return a JSON value as a value of the output's type, all its constraints checked.

    Dates and enums are read from text, a number from text that holds one; a truth value is never taken for a number, nor a
    number for text.

    Raises:
        ParseError: `invalid` where it does not fit the type, `truncated` where it fills a bound that was ours.
    """
    codec = codec_of(signature, name)
    try:
        back = codec.adapter.validate_python(value) if codec.kind == "text" else _validated(codec, value)
    except (ValidationError, RecursionError, ValueError, TypeError) as error:
        raise ParseError(
            f"The output `{name}` does not fit its type: {_first(error)}.", reason="invalid", raw=raw, field=name
        ) from error
    if _fills_own(codec, value):
        raise ParseError(
            f"The output `{name}` is exactly as long as a reply may get, so it is taken as cut. "
            "Give the field a `max_length` of its own.",
            reason="truncated",
            raw=raw,
            field=name,
        )
    return back


def _validated(codec: Codec, value: Any) -> Any:
    # JSON mode reads dates, enums and tuples from what JSON has for them.
    back = codec.adapter.validate_json(json.dumps(value))
    if confuses_types(value, to_json_value(back)):
        raise ValueError(f"{shown(value)} is of another type")
    return back


def _fills_own(codec: Codec, value: Any) -> bool:
    if not isinstance(value, (str, list, dict)):
        return False
    try:
        return fills_own_bound(type_schema(codec.annotation).marked, value)
    except UnsupportedError:
        return False


def _first(error: Exception) -> str:
    if isinstance(error, ValidationError):
        found = error.errors(include_url=False, include_context=False)[0]
        where = ".".join(str(part) for part in found["loc"])
        return f"{where}: {found['msg']}" if where else str(found["msg"])
    return str(error) or type(error).__name__


def validate_outputs(signature: type[Signature], values: Mapping[str, Any], *, raw: str) -> dict[str, Any]:
    """Return all outputs as typed values, in the signature's order; other keys are left out.

    Raises:
        ParseError: `missing` where an output without a default is absent, else as `validate_output`.
    """
    found = {}
    for name, info in signature.output_fields.items():
        if name in values:
            found[name] = validate_output(signature, name, values[name], raw=raw)
        elif info.default is not PydanticUndefined or info.default_factory is not None:
            found[name] = info.get_default(call_default_factory=True)
        else:
            raise ParseError(f"The output `{name}` is missing.", reason="missing", raw=raw, field=name)
    return found


def parse_text(signature: type[Signature], name: str, text: str, *, raw: str) -> Any:
    """Return a plain-text reply as a value of the output's type.

    Text is taken without its outer white space; labels are compared exactly first, then without regard to case where that is
    unambiguous; types that have no plain text are read as JSON.

    Raises:
        ParseError: the text is no such value.
    """
    codec = codec_of(signature, name)
    said = text.strip()
    if codec.kind == "labels" or codec.kind == "bool":
        value = codec.labels.get(said, _ABSENT)
        if value is _ABSENT:
            value = codec.folded.get(said.casefold(), _ABSENT)
        if value is not _ABSENT:
            return value
        raise ParseError(
            f"The reply is none of {', '.join(codec.labels)}.",
            reason="invalid" if said else "empty",
            raw=raw,
            field=name,
        )
    if not said:
        raise ParseError("The reply is empty.", reason="empty", raw=raw, field=name)
    if codec.kind == "json":
        return validate_output(signature, name, parse_json(text), raw=raw)
    if codec.kind == "text":
        return _checked_text(codec, name, said, raw)
    if codec.kind == "int" and (_NUMBER.fullmatch(said) is None or len(said) > _MOST_DIGITS):
        raise ParseError("The reply is no whole number.", reason="invalid", raw=raw, field=name)
    try:
        return codec.adapter.validate_strings(said)
    except (ValidationError, ValueError) as error:
        raise ParseError(
            f"The output `{name}` does not fit its type: {_first(error)}.", reason="invalid", raw=raw, field=name
        ) from error


_ABSENT = object()


def _checked_text(codec: Codec, name: str, said: str, raw: str) -> Any:
    if codec.annotation is str:
        return said
    try:
        return codec.adapter.validate_python(said)
    except ValidationError as error:
        raise ParseError(
            f"The output `{name}` does not fit its type: {_first(error)}.", reason="invalid", raw=raw, field=name
        ) from error
