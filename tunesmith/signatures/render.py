"""Typed values as replies: the inverse of `reply`."""

import math
from typing import Any

from tunesmith.errors import FormatError, ParseError, shown
from tunesmith.signatures.codec import codec_of
from tunesmith.signatures.jsonable import to_json_value
from tunesmith.signatures.reply import parse_text, validate_output
from tunesmith.signatures.signature import Signature

__all__ = ["is_plain", "labels", "render_json", "render_text"]


def is_plain(signature: type[Signature], name: str) -> bool:
    """Return whether an output is written as plain text: text, numbers, truth values, dates, closed sets of labels."""
    return codec_of(signature, name).kind != "json"


def labels(signature: type[Signature], name: str) -> tuple[str, ...] | None:
    """Return the texts of an output with a closed set of values, `None` for other types."""
    found = codec_of(signature, name).labels
    return tuple(found) if found else None


def render_text(signature: type[Signature], name: str, value: Any) -> str:
    """Return `value` as a plain-text reply.

    Raises:
        FormatError: it cannot be read back as it is.
    """
    codec = codec_of(signature, name)
    if codec.kind == "labels" or codec.kind == "bool":
        for text, known in codec.labels.items():
            if type(known) is type(value) and known == value:
                return text
        # A label may be given as the text it is shown as, for instance an enum's value.
        if isinstance(value, str) and value in codec.labels:
            return value
        raise _cannot(name, value, f"it is none of {', '.join(codec.labels)}")
    if codec.kind == "json":
        raise _cannot(name, value, "its type has no plain text; use a format that writes JSON")
    text = _text(value)
    try:
        text.encode()
        back = parse_text(signature, name, text, raw=text)
    except UnicodeEncodeError as error:
        raise _cannot(name, value, "it holds a lone surrogate, which is no text") from error
    except ParseError as error:
        raise _cannot(name, value, error.problem.rstrip(".")) from error
    if codec.kind == "text" or back == value:
        return text
    raise _cannot(name, value, f"it would be read back as {shown(back)}")


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value.strip()
    if hasattr(value, "isoformat"):
        return str(value.isoformat())
    if isinstance(value, float):
        return repr(value)
    return str(value)


def render_json(signature: type[Signature], name: str, value: Any) -> Any:
    """Return `value` as a JSON value.

    Raises:
        FormatError: it cannot be read back as it is.
    """
    codec = codec_of(signature, name)
    if isinstance(value, float) and not math.isfinite(value):
        raise _cannot(name, value, "JSON has no such number")
    try:
        plain = to_json_value(value)
    except (ValueError, TypeError, RecursionError) as error:
        raise _cannot(name, value, f"it has no JSON form ({error})") from error
    if codec.kind == "text" and isinstance(plain, str) and codec.annotation is str:
        return plain
    try:
        validate_output(signature, name, plain, raw="")
    except ParseError as error:
        if error.reason != "truncated":
            raise _cannot(name, value, error.problem.rstrip(".")) from error
        raise _cannot(name, value, "it is longer than a reply may get") from error
    return plain


def _cannot(name: str, value: Any, why: str) -> FormatError:
    return FormatError(
        f"The field `{name}` cannot carry {shown(value)}: {why}. Change the value, the field's type or the format."
    )
