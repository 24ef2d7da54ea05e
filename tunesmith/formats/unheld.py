"""Read the value of one output from an unconstrained reply that holds more than the value."""

import json
import re
from collections.abc import Callable, Collection, Iterable, Iterator
from itertools import islice
from typing import Any, NamedTuple

from tunesmith.errors import ParseError
from tunesmith.formats.fields import field_titles
from tunesmith.lazy import lazy_pattern
from tunesmith.signatures import (
    Signature,
    field_schema,
    is_plain,
    parse_json,
    parse_text,
    string_forms,
    validate_output,
)

__all__ = ["lone_value", "object_within", "value_within"]

_FENCED = lazy_pattern(r"```\w*[ \t]*\n(.*?)```", re.DOTALL)
_WRAPPERS = (("**", "**"), ("__", "__"), *((mark, mark) for mark in "*_`\"'$"), ("“", "”"), ("‘", "’"))
_FINAL = (".", "!")
_QUOTES = "\"'`*_“”‘’"
_MOST_WRAPPERS = 8  # around a value, with final marks
_MOST_MARKS = 40  # that are read: a model that repeats itself marks its answer without end
_LONGEST_BOX = 10_000  # characters
_OPENERS = '"[{`'  # of JSON that was not closed
_NONSENSE = "<~>: it is (~) so."  # a pattern that allows this allows any sentence
_SPACED = ("duration", "date-time", "local-date-time")  # forms that may hold white space
# One URL: a list of them, and a mark behind it, are not part of it.
_URL = lazy_pattern(r"(?!.*[,;|][A-Za-z]+://)[A-Za-z][A-Za-z0-9+.-]*://[^\s/?#;()<>]*(?:[/?#]\S*)?(?<![.,;:!?'\"`*<>])")
_TRUTHS = {"yes": "true", "no": "false"}
_KEYS = ("answer", "value", "result")
_BOXED = lazy_pattern(r"\\boxed\s*\{")
_INSIDE_BOX = lazy_pattern(r"\\(?:text|mathrm|textbf|mathbf)\s*\{(.*)\}\Z", re.DOTALL)
_WORDS = r"(?:(?:so|thus|hence|therefore),?[ ])?(?:(?:the|my)[ ])?(?:(?:final|correct)[ ])?"
_LEAD = rf"[ \t>#*_-]*{_WORDS}"
_BEFORE_LABEL = lazy_pattern(rf"([ \t>#*_-]*){_WORDS}", re.IGNORECASE)
_WRAPS = r"(?:\\[\[(]|[ \t$*_\"'`(])*"
_AFTER = lazy_pattern(r"(?:\\[\])]|[ \t$*_\"'`).!])*")
# What is before the box of `x = \boxed{42}`: one letter names a quantity, and words may deny what they stand beside.
_EQUATION = lazy_pattern(
    r"[ \t>#*_-]*(?:(?:so|thus|hence|therefore),?[ ])?"
    r"(?:\\(?!not|ne)[A-Za-z]+|(?<![A-Za-z])[A-Za-z](?![A-Za-z])|[^A-Za-z\\=≠]|\\[^A-Za-z]|(?<![!<>])=)*"
    r"(?<![!<>:≤≥])=[ \t]*",
    re.IGNORECASE,
)
# Models answer in the language of the question. Only a label with a colon is read in these, no sentence.
_ANSWERS = (
    *("answer", "antwort", "réponse", "respuesta", "resposta", "risposta", "antwoord", "svar", "vastaus", "odpowiedź"),
    *("odpověď", "cevap", "jawaban", "đáp án", "câu trả lời", "ответ", "відповідь", "απάντηση", "答案", "回答", "答え"),
    *("정답", "답변", "الجواب", "الإجابة", "תשובה", "उत्तर", "คำตอบ"),
)
_COLON = "[:：=]"
_HERE_WORDS = (
    "(?:the|your|my|an?|json|object|answer|output|result|response|reply|data|final|valid|complete|requested|in|format"
    "|as|you|asked|for)"
)
_HERE = (
    r"(?:(?:sure|ok|okay|certainly|of course)[,.!:]?[ ]*)?"
    rf"(?:here(?:'s|[ ](?:is|are|you[ ](?:are|go)|it[ ]is))(?:[ ]{_HERE_WORDS}\b)*[:.]?)?"
)
_BEFORE_OBJECT = lazy_pattern(
    rf"{_HERE}{_WRAPS}|{_LEAD}(?:answer|output|result|response|reply|json)(?:[*_]*[:=]|[ ]is:?){_WRAPS}",
    re.IGNORECASE,
)


class _Part(NamedTuple):
    """A part of a reply that may be the value, and what else the reply says."""

    text: str
    ended: bool
    rest: str


class _Mark(NamedTuple):
    """What a reply marks as its answer.

    Attributes:
        start: the place in the reply at which the mark begins.
        readings: texts that it may mark, likeliest first: each with whether it is complete, and its end in the reply.
        counts: whether nothing else is on its line. A sentence may deny a mark inside it.
        is_answer: whether it is a line such as `Answer: x`, so that an unreadable one takes back an earlier one.
    """

    start: int
    readings: tuple[tuple[str, bool, int], ...]
    counts: bool
    is_answer: bool


class _Reader:
    """Reads parts of a reply as the value of one output.

    Args:
        signature: the signature of the output.
        name: the output.
        raw: the whole reply, for errors.
    """

    def __init__(self, signature: type[Signature], name: str, raw: str) -> None:
        self._signature, self._name, self._raw = signature, name, raw
        self.names = {name, field_titles(signature)[name]}
        schema = field_schema(signature, name)
        self._nodes = (schema, *schema.get("anyOf", ()))
        self._enum = [label for node in self._nodes for label in node.get("enum", ())]
        self._is_truth = any(node.get("type") == "boolean" for node in self._nodes)
        self._is_plain = is_plain(signature, name)
        self._form = "" if self._is_plain else self._form_without_quotes()

    def values(self, part: str, *, ended: bool) -> Iterator[Any]:
        """Yield what a part of the reply may mean, the likeliest first. If it was cut, only a value that is closed."""
        read: Callable[..., Any] = parse_text if self._is_plain else validate_output
        for candidate in (self._texts if self._is_plain else self._json)(part, ended=ended):
            try:
                yield read(self._signature, self._name, candidate, raw=self._raw)
            except ParseError:
                continue

    def first(self, part: str, *, ended: bool) -> list[Any]:
        """Return a list of the likeliest value of a part of the reply, empty if it is not a value."""
        return list(islice(self.values(part, ended=ended), 1))

    def _form_without_quotes(self) -> str:
        """Return the form of a string that is recognized without its quotes, empty if any text may be the value."""
        forms = string_forms(self._signature, self._name)
        if not forms or "" in forms:
            return ""
        try:
            validate_output(self._signature, self._name, _NONSENSE, raw="")
        except ParseError:
            return next((form for form in forms if form in _SPACED), forms[0])
        return ""

    def _texts(self, part: str, *, ended: bool) -> Iterator[str]:
        peeled = list(_peeled(part)) if part and ended else []
        yield from peeled[:1]
        quoted = _quoted(part, {*self.names, *_KEYS})
        if quoted is not None:
            yield quoted
        yield from peeled[1:]
        if self._is_truth and peeled:
            yield _TRUTHS.get(peeled[-1].casefold(), "")

    def _json(self, part: str, *, ended: bool) -> Iterator[Any]:
        """Yield what a part may be: a label, JSON, JSON at its start or in an object, null, or a string of a form."""
        peeled = list(_peeled(part)) if ended else []
        for text in peeled:
            if text in self._enum:
                yield text
        for text in (*peeled, _json_start(part)):
            try:
                value = parse_json(text)
            except ParseError:
                continue
            yield value
            if isinstance(value, dict) and set(value) == {self._name}:
                yield value[self._name]
        word = peeled[-1].casefold() if peeled else ""
        if self._is_truth and word in _TRUTHS:
            yield _TRUTHS[word] == "true"
        if word == "none" and not any(str(label).casefold() == "none" for label in self._enum):
            yield None
        if self._form:
            yield from (text for text in peeled if self._has_form(text))

    def _has_form(self, text: str) -> bool:
        """Return whether a text is one token and not broken JSON: pydantic reads a URL out of most sentences."""
        if self._form == "uri":
            return _URL.fullmatch(text) is not None and text.count("(") == text.count(")")
        return text[:1] not in _OPENERS and len(text.split("\n" if self._form in _SPACED else None)) == 1


def value_within(signature: type[Signature], name: str, text: str, problem: ParseError, *, cut: bool) -> Any:
    r"""Return the value of an output that the reply `text` names or wraps.

    Reads the reply, its only fence or its first line without quotes, bold marks and a full stop. Else reads what the
    reply marks as the answer: in `<answer>` tags, in `\boxed{}`, or after `Answer:`. The output's name and title may
    be in place of the word "answer". A mark counts if nothing else is on its line. Does not search inside a sentence.

    Args:
        signature: the signature of the output.
        name: the output; not a text, because a text may hold all of these marks.
        text: the reply without thoughts.
        problem: the error of the reply as a whole.
        cut: whether the reply ended at the length limit. Then only complete parts are read.

    Raises:
        ParseError: `problem`, if the reply holds no value, marks different values, or was cut inside a mark.
    """
    if problem.reason == "truncated" and problem.field is not None and not cut:  # a value that fills our own bound
        raise problem
    reader = _Reader(signature, name, text)
    found = _whole(reader, text, cut=cut)
    found = _agreed(reader, [], text, cut=cut) if found is None else found
    if not found:
        raise problem
    return found[0]


def lone_value(signature: type[Signature], name: str, text: str, problem: ParseError, *, raw: str) -> Any:
    """Return the value of a part of a reply that has quotes, bold marks or a full stop around it, or lines below it.

    Raises:
        ParseError: `problem`, if there is no such value, or if the lines below it mark another.
    """
    if problem.reason == "truncated":
        raise problem
    found = _whole(_Reader(signature, name, raw), text, cut=False)
    if not found:
        raise problem
    return found[0]


def object_within(text: str) -> dict[str, Any] | None:
    r"""Return the only JSON object in a reply, which may be in `\boxed{}`; `None` if it has none or several.

    Text on other lines is ignored. On the object's own lines only a lead may be, such as `Here is the JSON:`, because
    a sentence may deny the object.
    """
    found, at, ends = list[str](), text.find("{"), (0, 0)
    while at >= 0:
        end = at + 1
        if not text.endswith("\\boxed", 0, at):
            try:
                end = json.JSONDecoder().raw_decode(text, at)[1]
            except (ValueError, RecursionError):
                return None
            found.append(text[at:end])
            ends = at, end
        at = text.find("{", end)
    try:
        value: dict[str, Any] | None = parse_json(found[0]) if len(found) == 1 and _is_alone(text, *ends) else None
    except ParseError:
        return None
    return value


def _is_alone(text: str, start: int, end: int) -> bool:
    """Return whether no sentence is on the lines of an object."""
    before, after = _beside(text, start, end)
    before = re.sub(r"(?:<\w+>|\\boxed\{|```\w*)[ \t]*\Z", "", before.strip())
    after = re.sub(r"\A(?:</\w+>|\}|```)", "", after.strip())
    return _BEFORE_OBJECT.fullmatch(before.strip()) is not None and _AFTER.fullmatch(after) is not None


def _beside(text: str, start: int, end: int) -> tuple[str, str]:
    """Return what is on the same lines before `start` and after `end`."""
    return text[text.rfind("\n", 0, start) + 1 : start], text[end:].partition("\n")[0]


def _whole(reader: _Reader, text: str, *, cut: bool) -> list[Any] | None:
    """Return a list of the value of the reply, its start, its fence or its first line; `None` if there is none.

    The list is empty if the rest of the reply marks another value.
    """
    for part in _whole_parts(text, cut=cut):
        found = reader.first(part.text, ended=part.ended)
        if found:
            return _agreed(reader, found, part.rest, cut=cut)
    return None


def _whole_parts(text: str, *, cut: bool) -> Iterator[_Part]:
    """Yield the reply, its only fence and its first line."""
    text = text.strip()
    start = _json_start(text)
    yield _Part(start, ended=True, rest=text.partition(start)[2]) if start else _Part(text, not cut, "")
    fences = list(islice(_FENCED.finditer(text), 2))
    if len(fences) == 1:
        [fence] = fences
        yield _Part(fence.group(1).strip(), ended=True, rest=f"{text[: fence.start()]}\n{text[fence.end() :]}")
    line, end, rest = text.partition("\n")
    yield _Part(line.strip(), end != "" or not cut, rest)


def _agreed(reader: _Reader, found: list[Any], text: str, *, cut: bool) -> list[Any]:
    """Return a list of the value that was found and that `text` marks, empty if they differ or none counts.

    Every mark can contradict the value, also one inside a sentence, and so can a last line that is a value.
    """
    covered, counts = 0, found != []
    for mark in sorted(_marked(text, reader.names, cut=cut)):
        if mark.start < covered:  # inside of a value
            continue
        values = list[Any]()
        for part, ended, end in mark.readings:
            values = reader.first(part, ended=ended)
            if values:
                covered = end
                break
        if not values and (not mark.readings[0][1] or (mark.is_answer and found)):  # cut inside, or taken back
            return []
        if _differ(found, values):
            return []
        found, counts = found or values, counts or (mark.counts and values != [])
    last = text.rstrip().rfind("\n") + 1
    if not counts or (last >= covered and _differ(found, reader.first(text[last:].strip(), ended=True))):
        return []
    return found


def _differ(found: list[Any], values: list[Any]) -> bool:
    return any(type(one) is not type(value) or one != value for one in found for value in values)


def _marked(text: str, names: Iterable[str], *, cut: bool) -> Iterator[_Mark]:
    """Yield what the reply marks as the answer, also inside sentences."""
    words = sorted({*_ANSWERS, *names}, key=len, reverse=True)
    known = "|".join(map(re.escape, words))
    lead = re.compile(rf"{_LEAD}(?:(?:{known})(?:[*_ \t]*{_COLON}|[ ]is\b:?)?)?{_WRAPS}", re.IGNORECASE)

    def is_alone(start: int, end: int) -> bool:
        before, after = _beside(text, start, end)
        return lead.fullmatch(before) is not None and _AFTER.fullmatch(after) is not None

    def ends_an_equation(start: int, end: int) -> bool:
        before, after = _beside(text, start, end)
        return before.rstrip().endswith("=") and bool(_EQUATION.fullmatch(before) and _AFTER.fullmatch(after))

    tags = re.finditer(rf"<(final_answer|{known})>(.*?)(</\1>|\Z)", text, re.DOTALL | re.IGNORECASE)
    for tag in islice(tags, _MOST_MARKS):
        reading = tag.group(2).strip(), tag.group(3) != "" or not cut, tag.end()
        yield _Mark(tag.start(), (reading,), is_alone(*tag.span()), is_answer=False)
    for opening in islice(_BOXED.finditer(text), _MOST_MARKS):
        inside = _braced(text, opening.end())
        if inside is not None:
            within, end = _INSIDE_BOX.match(inside.strip()), opening.end() + len(inside) + 1
            reading = (inside if within is None else within.group(1)).strip(), True, end
            counts = is_alone(opening.start(), end) or ends_an_equation(opening.start(), end)
            yield _Mark(opening.start(), (reading,), counts, is_answer=False)
        elif cut:
            yield _Mark(opening.start(), (("", False, len(text)),), counts=False, is_answer=False)
    folded = _folded(text)
    if any(_folded(word) in folded for word in words):  # quick, as a search that ignores case is not
        yield from _marked_lines(text, known, cut=cut)


def _folded(text: str) -> str:
    """Return a text in which all is equal that is equal for an expression that ignores case."""
    return text.casefold().replace("\u0307", "").replace("ı", "i")


def _marked_lines(text: str, known: str, *, cut: bool) -> Iterator[_Mark]:
    """Yield what follows `Answer:`, `the answer is` or a heading."""
    said = (
        rf"(?<![^\W_])(?:{known})(?:(?P<closed>[*_ \t]*){_COLON}|[ ]is\b:?)(?P<after>[*_]+(?=\s|\Z))?"
        rf"|(?<=\#[ ])(?:{known})[ \t]*$"
    )
    other = re.compile(rf"{_WRAPS}(?:\\boxed\b|<(?:final_answer|{known})>)", re.IGNORECASE)
    for mark in islice(re.finditer(said, text, re.MULTILINE | re.IGNORECASE), _MOST_MARKS):
        before = _beside(text, *mark.span())[0]
        start = len(text) - len(text[mark.end() :].lstrip())
        if other.match(text, start):  # a mark of its own
            continue
        lead = _BEFORE_LABEL.fullmatch(before)
        opener = ""  # of bold marks around the label and the value
        if lead is not None and not (mark["closed"] or "").strip() and not mark["after"]:
            opener = lead[1][len(lead[1].rstrip("*_")) :]
        line, end, _ = text[start:].partition("\n")
        readings = (f"{opener}{line.strip()}", end != "" or not cut, start + len(line)), _below(text, start, cut=cut)
        is_label = mark["closed"] is not None  # with a colon
        says_answer = any(_folded(word) in _folded(mark[0]) for word in _ANSWERS)
        is_answer = (is_label or lead is not None) if says_answer else is_label and lead is not None
        yield _Mark(mark.start(), readings, lead is not None, is_answer)


def _below(text: str, start: int, *, cut: bool) -> tuple[str, bool, int]:
    """Return a value of several lines: JSON with text below it, or all that follows."""
    first = _json_start(text[start:])
    if first:
        return first, True, text.index(first, start) + len(first)
    return text[start:].strip(), not cut, len(text)


def _braced(text: str, start: int) -> str | None:
    """Return the text up to the brace that closes the one before `start`."""
    depth = 1
    for at in range(start, min(len(text), start + _LONGEST_BOX)):
        depth += {"{": 1, "}": -1}.get(text[at], 0)
        if depth == 0:
            return text[start:at]
    return None


def _peeled(text: str) -> Iterator[str]:
    """Yield a text, then the text without one pair of marks around it, or one mark at its end, after the other."""
    text = text.strip()
    yield text
    for _ in range(_MOST_WRAPPERS):
        pair = next((pair for pair in _WRAPPERS if _is_within(text, *pair)), None)
        if pair is not None:
            text = text[len(pair[0]) : -len(pair[1])].strip()
        elif text.endswith(_FINAL):
            text = text[:-1].rstrip()
        else:
            return
        yield text


def _is_within(text: str, opening: str, closing: str) -> bool:
    return len(text) > len(opening + closing) and text.startswith(opening) and text.endswith(closing)


def _quoted(text: str, keys: Collection[str]) -> str | None:
    """Return the text of a JSON string, or of the one value in a JSON object that has one of these keys."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if isinstance(value, dict) and len(value) == 1:
        [(key, value)] = value.items()
        if key.casefold() not in {known.casefold() for known in keys}:
            return None
        if isinstance(value, bool | int | float):
            return json.dumps(value)
    return value if isinstance(value, str) else None


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
