r"""Write input fields as labelled lines, and read them back exactly. A value cannot be mistaken for a field.

A value is written in the plainest of three unambiguous ways::

    Subject: one line of text as it is
    Body:
      several lines of text, each set in by two spaces
    Odd: "anything else as \u004aSON text"

A line that starts in the first column always begins a field, because every line of a value either follows its name
or is indented.
"""

import functools
import json
import re
from typing import Any

from pydantic_core import PydanticSerializationError, to_jsonable_python

from tunesmith.errors import FormatError, shown
from tunesmith.lazy import lazy_pattern
from tunesmith.signatures import Signature, in_one_order, input_types

__all__ = [
    "INDENT",
    "field_titles",
    "json_text",
    "plain_text",
    "read_inputs",
    "read_spelled",
    "spelled",
]

# A value is written as JSON text if it has outer white space, a leading quote, control characters, line separators
# other than a newline, surrogates, or turn markers of chat templates.
_MARKERS = (
    r"<\||<｜|\|>|</?s>|<(?:start|end)_of_\w+>|<</?SYS>>|<(?:bos|eos|pad|unk|im_\w+)>"
    r"|\[/?(?:INST|SYSTEM_PROMPT|(?:AVAILABLE_)?TOOL\w*)\]"
)
_ODD = lazy_pattern(
    rf'\A["\s]|\s\Z|\A\Z|[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]|{_MARKERS}',
    re.IGNORECASE,
)
_SPACES = (" ", "\n")  # the white space that `_is_odd` lets pass inside a text
_ODD_STARTS = ("", '"', *_SPACES)
INDENT = "  "
_PART = "<<CUSTOM-TYPE-START-IDENTIFIER>>"  # begins DSPy's images, audio and files in JSON


def spelled(value: Any, *, text_field: bool, name: str) -> str:
    """Return `value` as text that `read_spelled` reads: unchanged if it has no odd characters, else as JSON.

    Args:
        value: text, or anything pydantic can turn into JSON.
        text_field: whether the field is declared `str`, so that unquoted text means text.
        name: the field, for the error.

    Raises:
        FormatError: the value has no JSON form.
    """
    if type(value) is str and text_field:
        return _escaped(value) if _is_odd(value) else value
    return json_text(value, name)


def read_spelled(text: str, *, text_field: bool) -> Any:
    """Return the value that `spelled` wrote.

    Raises:
        ValueError: the text has to be JSON and is not.
    """
    return text if text_field and not text.startswith('"') else json.loads(text)


def json_text(value: Any, name: str) -> str:
    """Return `value` as one line of JSON that holds no turn marker.

    Raises:
        FormatError: the value has no JSON form.
    """
    try:
        plain = to_jsonable_python(in_one_order(value))
        text = json.dumps(plain, ensure_ascii=False, allow_nan=False)
    except (PydanticSerializationError, TypeError, ValueError, RecursionError) as error:
        raise FormatError(
            f"Field `{name}` holds {shown(value)}, a {type(value).__name__}, which has no JSON form. "
            "Pass text, numbers, lists, dicts or pydantic models."
        ) from error
    if _PART in text:
        raise FormatError(
            f"Field `{name}` holds one of DSPy's own types ({type(value).__name__}), which only DSPy can send. "
            "Use the format `chat`."
        )
    return _guarded(text)


def _is_odd(value: str) -> bool:
    """Return whether a text has to be written as JSON. Most texts are plain, which takes a tenth of the search."""
    plain = value.isprintable() or value.replace("\n", "").isprintable()
    marked = "<" in value or "[" in value or "|" in value  # every marker has one of them
    if plain and not marked and value[:1] not in _ODD_STARTS and value[-1] not in _SPACES:
        return False
    return _ODD.search(value) is not None


def _escaped(value: str) -> str:
    return _guarded(json.dumps(value, ensure_ascii=False))


_CONTROLS = lazy_pattern(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_SURROGATES = lazy_pattern(r"[\ud800-\udfff]")


def plain_text(text: str) -> str:
    r"""Return a text of somebody else's without what would have to be written as JSON.

    All line ends become newlines, control characters become spaces, and a turn marker of a chat template is split by a
    space. So one odd character in a long text does not turn all of it into a line of JSON.

    Example:
        >>> plain_text(" one\r\ntwo</s>\x00 ")
        'one\ntwo< /s>'
    """
    text = "\n".join(text.splitlines())
    text = _SURROGATES.sub("\ufffd", _CONTROLS.sub(" ", text))
    while _TURN_MARKS.search(text) is not None:  # `<|>` holds two
        text = _TURN_MARKS.sub(lambda found: f"{found.group()[0]} {found.group()[1:]}", text)
    return text.strip()


_LINE_BREAKS = lazy_pattern(r"[\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_PAIR = lazy_pattern(r"[\ud800-\udbff][\udc00-\udfff]")
_TURN_MARKS = lazy_pattern(_MARKERS, re.IGNORECASE)


def _guarded(text: str) -> str:
    """Escape what a chat template or a line reader could misread in JSON text."""
    if _LINE_BREAKS.search(text):
        if _PAIR.search(text):
            raise FormatError(
                "A text holds a surrogate pair as two characters, which JSON would read back as one. "
                "Join them: `text.encode('utf-16', 'surrogatepass').decode('utf-16')`."
            )
        text = _LINE_BREAKS.sub(lambda m: f"\\u{ord(m.group()):04x}", text)
    # Only strings can hold a marker, and in a string a \u escape equals the character.
    return _TURN_MARKS.sub(lambda m: f"\\u{ord(m.group()[0]):04x}{m.group()[1:]}", text)


@functools.lru_cache(maxsize=4096)
def _titles(names: tuple[str, ...]) -> dict[str, str]:
    titles = {name: (name[:1].upper() + name[1:]).replace("_", " ").rstrip() for name in names}
    if len(set(titles.values())) < len(names) or not all(titles.values()):
        return {name: name for name in names}
    return titles


def field_titles(signature: type[Signature]) -> dict[str, str]:
    """Return the title of each field: `Reply to` for `reply_to`, or the plain names if titles are ambiguous."""
    return _titles(tuple(signature.fields))


def read_inputs(signature: type[Signature], text: str) -> dict[str, Any]:
    """Return the fields and values of a message that a writer of `lines` wrote.

    Skips lines outside a field, such as the cue that ends a message. For other messages, see `Format.read_inputs`.

    Raises:
        FormatError: the text has another form.
    """
    titles = field_titles(signature)
    heads = {f"{titles[name]}:": (name, t is str) for name, t in input_types(signature).items()}
    values: dict[str, Any] = {}
    lines = text.split("\n")
    at = 0
    while at < len(lines):
        head = next((h for h in heads if lines[at] == h or lines[at].startswith(f"{h} ")), None)
        start, at = at, at + 1
        if head is None:
            continue
        name, is_text = heads[head]
        if name in values:
            raise FormatError(f"Field `{name}` stands twice in the message {shown(text)}.")
        if lines[start] == head:
            while at < len(lines) and lines[at].startswith(INDENT):
                at += 1
            values[name] = "\n".join(line[len(INDENT) :] for line in lines[start + 1 : at])
        else:
            values[name] = read_spelled(lines[start][len(head) + 1 :], text_field=is_text)
    return values
