"""Write typed values as the text and JSON of a reply: the inverse of `reply`."""

import json
from decimal import Decimal
from enum import Enum
from typing import Any

from tunesmith.errors import FormatError, shown
from tunesmith.signatures.atoms import InvalidError
from tunesmith.signatures.codec import Codec, codec_of
from tunesmith.signatures.jsonable import canonical_text, to_json_value
from tunesmith.signatures.signature import Signature

__all__ = ["is_any_text", "is_plain", "is_simple", "is_text", "labels", "render_json", "render_text"]


def is_plain(signature: type[Signature], name: str) -> bool:
    """Return whether a field is written as plain text instead of JSON.

    Plain types are str, int, float, bool, date, datetime, time, UUID, Decimal, and every Literal or Enum whose values
    are integers, booleans or single lines of text, with distinct texts.

    Raises:
        SignatureError: the signature lacks the field.
    """
    return codec_of(signature, name).kind != "json"


def is_simple(signature: type[Signature], name: str) -> bool:
    """Return whether a field is any text, any number, or one of the values of a Literal: every reply can carry these.

    Raises:
        SignatureError: the signature lacks the field.
    """
    codec = codec_of(signature, name)
    if codec.constrained or codec.kind not in ("text", "int", "float", "label"):
        return False
    return not (isinstance(codec.base, type) and issubclass(codec.base, Enum))  # which may have a schema of its own


def is_text(signature: type[Signature], name: str) -> bool:
    """Return whether a field is text of one or many lines: a `str`, or one of dspy's text types.

    Raises:
        SignatureError: the signature lacks the field.
    """
    return codec_of(signature, name).kind in ("text", "wrapped")


def is_any_text(signature: type[Signature], name: str) -> bool:
    """Return whether every text is a value of the field: a text type without length or pattern.

    Raises:
        SignatureError: the signature lacks the field.
    """
    return is_text(signature, name) and not codec_of(signature, name).constrained


def labels(signature: type[Signature], name: str) -> tuple[str, ...] | None:
    """Return the texts of a Literal, Enum or bool field in order, or `None` for any other field.

    Also `None` if the labels cannot be written as plain text; see `is_plain`.

    Raises:
        SignatureError: the signature lacks the field.
    """
    return tuple(codec_of(signature, name).choices.texts) or None


def render_text(signature: type[Signature], name: str, value: Any) -> str:
    """Return the text of a value; `parse_text` reads it back.

    One exception: a text or list exactly as long as one of our own bounds counts as cut in a reply.

    A `str` output is written without its outer white space, a `str` input unchanged. Types that are not plain are
    written as one line of JSON.

    Args:
        signature: the signature of the field.
        name: an input or output field.
        value: a value of the field's type, or its JSON form.

    Raises:
        FormatError: the value is not of the field's type, or its text could not be read back.
        SignatureError: the signature lacks the field.
    """
    codec = codec_of(signature, name)
    output = name in signature.output_fields
    typed = _typed(codec, name, value, output=output)
    text = _text(codec, name, typed, output=output)
    if output and codec.kind not in ("label", "int", "json"):
        text = text.strip()
        _check_text(codec, name, typed, text)
    return text


def _check_text(codec: Codec, name: str, typed: Any, text: str) -> None:
    if not text:
        raise _unreadable(name, typed, "an empty text looks like an empty reply")
    try:
        back = codec.from_text(text)
    except InvalidError as error:
        raise _unreadable(name, typed, f"its text cannot be read back: it {error}") from error
    if codec.kind != "text" and not _same(back, typed):
        raise _unreadable(name, typed, "its text would be read back as another value")


def render_json(signature: type[Signature], name: str, value: Any) -> Any:
    """Return a value as a JSON value; `validate_output` reads an output back.

    Args:
        signature: the signature of the field.
        name: an input or output field.
        value: a value of the field's type, or its JSON form.

    Raises:
        FormatError: the value is not of the field's type, or its JSON could not be read back.
        SignatureError: the signature lacks the field.
    """
    codec = codec_of(signature, name)
    output = name in signature.output_fields
    return _json_value(codec, name, _typed(codec, name, value, output=output), output=output)


def _typed(codec: Codec, name: str, value: Any, *, output: bool) -> Any:
    try:
        return codec.from_python(value)
    except (InvalidError, RecursionError) as error:
        # An input whose class pydantic cannot build from JSON is still sent to the model.
        if output or codec.schema is not None:
            raise _unreadable(name, value, str(error) or "it holds itself") from error
        return value


def _json_value(codec: Codec, name: str, typed: Any, *, output: bool) -> Any:
    try:
        written = to_json_value(typed)
        text = canonical_text(written)
        if "\\ud" in text:
            json.dumps(written, ensure_ascii=False).encode()
        if codec.kind == "json" and codec.schema is not None and not _reads_as(codec, written, typed):
            # A type with its own JSON code may not follow its fields.
            theirs = codec.adapter.dump_python(typed, mode="json", by_alias=True)
            if _reads_as(codec, theirs, typed):
                return theirs
            # An input is never read back, so a tuple may be shown as a list.
            if output:
                raise _unreadable(name, typed, "its JSON would be read back as another value")
    except (RecursionError, TypeError, ValueError, OverflowError) as error:
        raise _unreadable(name, typed, "it cannot be written as JSON") from error
    return written


def _reads_as(codec: Codec, written: Any, typed: Any) -> bool:
    try:
        return _same(codec.from_json(written), typed)
    except InvalidError:
        return False


def _text(codec: Codec, name: str, typed: Any, *, output: bool) -> str:
    if codec.kind == "json" or (codec.kind == "any" and not isinstance(typed, str)):
        return json.dumps(_json_value(codec, name, typed, output=output), ensure_ascii=False)
    if codec.kind == "label":
        return next(text for text, value in codec.choices.texts.items() if _is(value, typed))
    written = _json_value(codec, name, typed, output=output)
    if isinstance(written, float) and 1e-21 <= abs(written) < 1e21:
        return _without_exponent(written)
    return written if isinstance(written, str) else json.dumps(written)


def _without_exponent(number: float) -> str:
    text = format(Decimal(repr(number)), "f")
    return text if "." in text else f"{text}.0"


def _is(left: Any, right: Any) -> bool:
    return type(left) is type(right) and bool(left == right)


def _same(back: Any, typed: Any) -> bool:
    try:
        return bool(back == typed)
    # The `__eq__` of a user's class may raise.
    except Exception:  # noqa: BLE001
        return False


def _unreadable(name: str, value: Any, problem: str) -> FormatError:
    return FormatError(
        f"Field `{name}` cannot carry this value: {problem}. Given: {shown(value)}. Give a value of the field's type."
    )
