"""Typed values as the text and JSON that a reply holds: the inverse of reading them."""

import json
from decimal import Decimal
from typing import Any

from tunesmith.errors import FormatError, shown
from tunesmith.signatures.atoms import InvalidError
from tunesmith.signatures.codec import Codec, codec_of
from tunesmith.signatures.jsonable import canonical_text, to_json_value
from tunesmith.signatures.signature import Signature

__all__ = ["is_any_text", "is_plain", "is_text", "labels", "render_json", "render_text"]


def is_plain(signature: type[Signature], name: str) -> bool:
    """Return whether a field is carried as plain text and not as JSON.

    Plain are str, int, float, bool, date, datetime, time, UUID, Decimal, and every Literal or Enum of which each
    value is an integer, a truth value or one line of text, no two of them written alike.

    Raises:
        SignatureError: there is no such field.
    """
    return codec_of(signature, name).kind != "json"


def is_text(signature: type[Signature], name: str) -> bool:
    """Return whether a field is text of one or many lines: a `str`, or one of dspy's text types.

    Raises:
        SignatureError: there is no such field.
    """
    return codec_of(signature, name).kind in ("text", "wrapped")


def is_any_text(signature: type[Signature], name: str) -> bool:
    """Return whether every text is a value of the field: it is text, and has no length or pattern to keep.

    Raises:
        SignatureError: there is no such field.
    """
    return is_text(signature, name) and not codec_of(signature, name).constrained


def labels(signature: type[Signature], name: str) -> tuple[str, ...] | None:
    """Return the texts of a Literal, Enum or bool field in order, `None` for every other field.

    `None` as well where the labels cannot be written as plain text, see `is_plain`.

    Raises:
        SignatureError: there is no such field.
    """
    return tuple(codec_of(signature, name).choices.texts) or None


def render_text(signature: type[Signature], name: str, value: Any) -> str:
    """Return the text of a value, such that `parse_text` gives the value back.

    (Save for a text or list that is exactly as long as a bound of ours: as a reply, it counts as cut.)

    A `str` output is written without its outer white space; a `str` input exactly as it is. What is not plain
    is written as one line of JSON.

    Args:
        signature: whose field it is.
        name: an input or output field.
        value: of the field's type, or the JSON form of such a value.

    Raises:
        FormatError: the value is not of the field's type, or no text of it could be read back.
        SignatureError: there is no such field.
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
        raise _unreadable(name, typed, "an empty text cannot be told from no reply")
    try:
        back = codec.from_text(text)
    except InvalidError as error:
        raise _unreadable(name, typed, f"its text cannot be read back, it {error}") from error
    if codec.kind != "text" and not _same(back, typed):
        raise _unreadable(name, typed, "its text would be read back as another value")


def render_json(signature: type[Signature], name: str, value: Any) -> Any:
    """Return a value as JSON value, such that `validate_output` gives an output's value back.

    Args:
        signature: whose field it is.
        name: an input or output field.
        value: of the field's type, or the JSON form of such a value.

    Raises:
        FormatError: the value is not of the field's type, or no JSON of it could be read back.
        SignatureError: there is no such field.
    """
    codec = codec_of(signature, name)
    output = name in signature.output_fields
    return _json_value(codec, name, _typed(codec, name, value, output=output), output=output)


def _typed(codec: Codec, name: str, value: Any, *, output: bool) -> Any:
    try:
        return codec.from_python(value)
    except (InvalidError, RecursionError) as error:
        # An input of a class that pydantic cannot build from JSON is still shown to the model.
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
            # A type with JSON code of its own may differ from what its fields say.
            theirs = codec.adapter.dump_python(typed, mode="json", by_alias=True)
            if _reads_as(codec, theirs, typed):
                return theirs
            # An input is only shown, and a tuple may be shown as a list.
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
    # A class of the user's decides what equal means, and may fail.
    except Exception:  # noqa: BLE001
        return False


def _unreadable(name: str, value: Any, problem: str) -> FormatError:
    return FormatError(
        f"Field `{name}` cannot carry this value: {problem}. Given: {shown(value)}. Give a value of the field's type."
    )
