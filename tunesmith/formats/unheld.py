"""Read the value of one output from an unconstrained reply that holds more than the value."""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain, islice
from typing import Any

from tunesmith.errors import ParseError
from tunesmith.lazy import lazy_pattern
from tunesmith.signatures import (
    Signature,
    field_schema,
    is_plain,
    parse_json,
    parse_text,
    validate_output,
)

__all__ = ["lone_value", "object_within", "value_within"]

_FENCED = lazy_pattern(r"```\w*[ \t]*\n(.*?)```", re.DOTALL)
_QUOTES = "\"'`*_“”‘’"
_MOST_MARKS = 40  # that are read: a model that repeats itself marks its answer without end
_LONGEST_BOX = 10_000  # characters
_OPENERS = '"[{`'  # of JSON that was not closed
_NONSENSE = "~"
_TRUTHS = {"yes": "true", "no": "false"}
_BOXED = lazy_pattern(r"\\boxed\s*\{")
_INSIDE_BOX = lazy_pattern(r"\\(?:text|mathrm|textbf|mathbf)\s*\{(.*)\}\Z", re.DOTALL)
_LEAD = r"^[ \t>#*_-]*(?:(?:so|thus|hence|therefore),?[ ])?(?:(?:the|my)[ ])?(?:(?:final|correct)[ ])?"


def value_within(
    signature: type[Signature], name: str, text: str, titles: Iterable[str], problem: ParseError, *, cut: bool
) -> Any:
    r"""Return the value of an output that the reply `text` names or wraps.

    Reads the reply, its fence or its first line without quotes, bold marks and a full stop. Else reads what the reply
    marks as the answer: in `<answer>` tags, in `\boxed{}`, or after `Answer:`. The output's name and title may be in
    place of the word "answer". Does not search inside a sentence.

    Args:
        signature: the signature of the output.
        name: the output; not a text, because a text may hold all of these marks.
        text: the reply without thoughts.
        titles: names of the output in the prompt.
        problem: the error of the reply as a whole.
        cut: whether the reply ended at the length limit. Then only complete parts are read.

    Raises:
        ParseError: `problem`, if the reply holds no value or marks different values.
    """
    if problem.reason == "truncated" and problem.field is not None and not cut:  # a value that fills our own bound
        raise problem
    for part, ended in _whole_parts(text, cut=cut):
        for value in _values_of(signature, name, part, text, ended=ended):
            return value
    found: list[Any] = []
    for part, ended in islice(_marked(text, {name, *titles}, cut=cut), _MOST_MARKS):
        value = next(_values_of(signature, name, part, text, ended=ended), found)
        if value is not found and not any(type(value) is type(one) and value == one for one in found):
            found.append(value)
    if len(found) == 1:
        return found[0]
    raise problem


def lone_value(signature: type[Signature], name: str, text: str, problem: ParseError, *, raw: str) -> Any:
    """Return the value of a part of a reply that has quotes, bold marks or a full stop around it, or lines below it.

    Raises:
        ParseError: `problem`, if there is no such value.
    """
    if problem.reason == "truncated":
        raise problem
    for part, _ in _whole_parts(text, cut=False):
        for value in _values_of(signature, name, part, raw, ended=True):
            return value
    raise problem


def object_within(text: str) -> dict[str, Any] | None:
    r"""Return the only JSON object in a reply, which may be in `\boxed{}`; `None` if it has none or several."""
    found, at = list[str](), text.find("{")
    while at >= 0:
        end = at + 1
        if not text.endswith("\\boxed", 0, at):
            try:
                end = json.JSONDecoder().raw_decode(text, at)[1]
            except (ValueError, RecursionError):
                return None
            found.append(text[at:end])
        at = text.find("{", end)
    try:
        value: dict[str, Any] | None = parse_json(found[0]) if len(found) == 1 else None
    except ParseError:
        return None
    return value


def _whole_parts(text: str, *, cut: bool) -> Iterator[tuple[str, bool]]:
    """Yield the reply, its fence and its first line, and whether each is complete."""
    fenced, line = _FENCED.search(text), text.strip().partition("\n")
    yield text.strip(), not cut
    if fenced is not None:
        yield fenced.group(1).strip(), True
    yield line[0].strip(), line[1] != "" or not cut


def _marked(text: str, names: Iterable[str], *, cut: bool) -> Iterator[tuple[str, bool]]:
    """Yield what the reply marks as the answer, and whether it is complete."""
    known = "|".join(re.escape(name) for name in sorted({"answer", *names}, key=len, reverse=True))
    for tag in re.finditer(rf"<(final_answer|{known})>(.*?)(</\1>|\Z)", text, re.DOTALL | re.IGNORECASE):
        yield tag.group(2).strip(), tag.group(3) != "" or not cut
    for opening in islice(_BOXED.finditer(text), _MOST_MARKS):
        inside = _braced(text, opening.end())
        if inside is not None:
            within = _INSIDE_BOX.match(inside.strip())
            yield (inside if within is None else within.group(1)).strip(), True
    said = rf"{_LEAD}(?:(?:{known})[*_ \t]*[:=]|(?:answer|{known})[ ]is\b:?|(?<=\#[ ])(?:answer|{known})[ \t]*$)"
    for mark in re.finditer(said, text, re.MULTILINE | re.IGNORECASE):
        rest = text[mark.end() :].lstrip("*_ \t").lstrip()
        line, end, _ = rest.partition("\n")
        yield line.strip(), end != "" or not cut
        yield rest.strip(), not cut


def _braced(text: str, start: int) -> str | None:
    """Return the text up to the brace that closes the one before `start`."""
    depth = 1
    for at in range(start, min(len(text), start + _LONGEST_BOX)):
        depth += {"{": 1, "}": -1}.get(text[at], 0)
        if depth == 0:
            return text[start:at]
    return None


def _values_of(signature: type[Signature], name: str, part: str, raw: str, *, ended: bool) -> Iterator[Any]:
    """Yield the value that a part of the reply is, the likeliest reading first. If it was cut, only a closed one."""
    schema = field_schema(signature, name)
    read: Callable[..., Any]
    candidates: Iterator[Any]
    if is_plain(signature, name):
        read, candidates = parse_text, _texts_of(part, ended=ended, is_truth=schema.get("type") == "boolean")
    else:
        read, candidates = validate_output, _json_of(part, name, schema, ended=ended)
        is_string = any(node.get("type") == "string" for node in (schema, *schema.get("anyOf", ())))
        if ended and is_string and part[:1] not in _OPENERS and not _is_value(signature, name, _NONSENSE):
            # A string without its quotes, such as a URL. It is not read if any text is one, such as in `str | None`.
            candidates = chain(candidates, (part, _bare(part)))
    for candidate in candidates:
        try:
            yield read(signature, name, candidate, raw=raw)
        except ParseError:
            continue


def _is_value(signature: type[Signature], name: str, value: Any) -> bool:
    try:
        validate_output(signature, name, value, raw="")
    except ParseError:
        return False
    return True


def _texts_of(part: str, *, ended: bool, is_truth: bool) -> Iterator[str]:
    quoted = _quoted(part)
    if quoted is not None:
        yield quoted
    if part and ended:
        yield part
        yield _bare(part)
        if is_truth:
            yield _TRUTHS.get(_bare(part).casefold(), "")


def _bare(part: str) -> str:
    return part.strip("$ ").strip(_QUOTES).rstrip(".!").strip(_QUOTES + "$").removesuffix(".")


def _quoted(text: str) -> str | None:
    """Return the text of a JSON string, or of the one value in a JSON object."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if isinstance(value, dict) and len(value) == 1:
        value = next(iter(value.values()))
        if isinstance(value, bool | int | float):
            return json.dumps(value)
    return value if isinstance(value, str) else None


def _json_of(part: str, name: str, schema: Mapping[str, Any], *, ended: bool) -> Iterator[Any]:
    """Yield the JSON values that a part of the reply may be: of itself, of its start, inside an object, or null."""
    bare, nodes = _bare(part), (schema, *schema.get("anyOf", ()))
    if ended and any(bare in node.get("enum", ()) for node in nodes):
        yield bare
    for text in (part, bare, _json_start(part)) if ended else (_json_start(part),):
        try:
            value = parse_json(text)
        except ParseError:
            continue
        yield value
        if isinstance(value, dict) and set(value) == {name}:
            yield value[name]
    if ended and bare.casefold() == "none":
        yield None


def _json_start(part: str) -> str:
    """Return the list or object at the start of a text, empty if more of the same line follows it."""
    inner = part.lstrip(_QUOTES)
    if inner[:1] not in ("[", "{"):
        return ""
    try:
        end = json.JSONDecoder().raw_decode(inner)[1]
    except (ValueError, RecursionError):
        return ""
    rest = inner[end:].lstrip(_QUOTES)
    return inner[:end] if not rest or rest[0] in ".\r\n" else ""
