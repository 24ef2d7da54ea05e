"""Why a proposed instruction may not be used: found in its text, before anything is paid for it."""

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property

from tunesmith.compilers._quotations import Quotations, strings
from tunesmith.data import fields_of, scripts_of
from tunesmith.formats import format_names, get_format
from tunesmith.lazy import lazy_pattern
from tunesmith.modules import Candidate
from tunesmith.signatures import Example, Signature, describe, is_generated

__all__ = ["Guard", "kind_of_reason"]

_CONTROL = lazy_pattern(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
_NAMED = lazy_pattern(r"`(\w+)`|\{(\w+)\}")
_MARK = lazy_pattern(r"\[\[ ## (\w+) ## \]\]")  # of DSPy's own format
_PLACEHOLDER = lazy_pattern(r"\{\{?\s*\w[\w .-]*\}\}?|</\w[\w-]*>|(?<!\w)<\w[\w -]*>")
_NUMBER = lazy_pattern(r"\d+(?:[.,]\d+)*")
# Numbers that count lines and steps, and those in quoted sentences, which are examples: a rewrite may lack them.
_COUNTING = lazy_pattern(r'(?m)^\s*\d+[.):]\s|\(\d+\)|(?i:\bstep\s+\d+)|["“«](?:[^"“”«»\n]*\s){2,}[^"“”«»\n]*["”»]')
_IN_WORDS = {
    "0": "zero|no|none",
    "1": "one|single|once",
    "2": "two|twice|both|pair",
    **dict(zip("3456789", ["three", "four", "five", "six", "seven", "eight", "nine"], strict=True)),
    "10": "ten",
    "11": "eleven",
    "12": "twelve|dozen",
}
_FOREIGN = 0.1  # the share of letters in another script from which on a text is not in the program's language
_RARE = 0.02  # the share of letters up to which a script is not one of the program's


class Guard:
    """Checks instructions of one program.

    Args:
        signatures: of each predictor path.
        base: the program as given.
        val: validation examples.
        train: training examples.
        protect: texts that an instruction keeps if the program's own has them.
    """

    def __init__(
        self,
        signatures: Mapping[str, type[Signature]],
        base: Candidate,
        val: Sequence[Example],
        train: Sequence[Example],
        protect: Sequence[str] = (),
    ) -> None:
        self._signatures, self._base, self._protect = signatures, base, protect
        self._train, self._val = train, val

    def why_not(self, path: str, text: object, most: int) -> str | None:
        """Return the reason as a clause, `None` if the instruction may be used."""
        own = self._base.parts[path].instruction
        if not isinstance(text, str) or not text.strip():
            return "it is empty"
        if text != own and not any(map(str.isalpha, text)):
            return "it has no word"
        if len(text) > max(most, 2 * len(own)):
            return f"it is too long: {len(text)} characters, more than {max(most, 2 * len(own))}"
        if _CONTROL.search(text):
            return "it holds a character that a prompt cannot carry"
        return (
            self._quotations.answered(text)
            or self._unprotected(own, text)
            or self._dropped(path, own, text)
            or self._forged(path, own, text)
            or self._foreign(path, text)
            or self._quotations.repeated(text)
        )

    def _unprotected(self, own: str, text: str) -> str | None:
        lost = next((kept for kept in self._protect if kept in own and kept not in text), None)
        return None if lost is None else f"it changes a protected text: {lost[:60]!r}"

    def _dropped(self, path: str, own: str, text: str) -> str | None:
        """What the program's own instruction leans on must stay, unless DSPy has written that one."""
        signature = self._signatures[path]
        if is_generated(signature, own):
            return None
        named = {first or second for first, second in _NAMED.findall(own)} & set(signature.fields)
        lost = sorted(name for name in named if not re.search(rf"\b{re.escape(name)}\b", text))
        if lost:
            return f"it drops the field {', '.join(f'`{name}`' for name in lost)}"
        marks = [mark for mark in _PLACEHOLDER.findall(own) if mark.strip("{} ") not in signature.fields]
        gone = next((mark for mark in marks if mark not in text), None)
        if gone is not None:
            return f"it drops the placeholder `{gone}`"
        number = next((number for number in _numbers(own) if not _has_number(text, number)), None)
        return None if number is None else f"it drops the number {number}"

    def _forged(self, path: str, own: str, text: str) -> str | None:
        """A line that a format writes before a value of a field would be read as that field."""
        signature = self._signatures[path]
        new = _headings(signature, text) - _headings(signature, own)
        return f"it holds what a prompt writes before the field `{min(new)}`" if new else None

    def _foreign(self, path: str, text: str) -> str | None:
        """Names of fields are of no language."""
        for name in self._signatures[path].fields:
            text = re.sub(rf"\b{re.escape(name)}\b", "", text)
        found = scripts_of([text])
        other = {script: count for script, count in found.items() if script not in self._known_scripts}
        if sum(other.values()) <= _FOREIGN * sum(found.values()):
            return None
        script = max(sorted(other), key=other.__getitem__).title()
        return f"it is in another script than the program and its examples: {script}"

    @cached_property
    def _known_scripts(self) -> set[str]:
        examples = [text for one in self._train for text in strings(fields_of(one))]
        counts = [scripts_of(texts) for texts in (*([text] for text in self._own_texts()), examples)]
        return {script for found in counts for script, n in found.items() if n > _RARE * sum(found.values())}

    @cached_property
    def _quotations(self) -> Quotations:
        return Quotations(self._signatures, self._train, self._val, self._own_texts())

    def _own_texts(self) -> Iterable[str]:
        for signature in self._signatures.values():
            yield from (field["desc"] for field in describe(signature)["fields"] if field["desc"])
        for part in self._base.parts.values():
            yield part.instruction
            for demo in part.demos:
                yield from strings([demo.inputs, demo.outputs])


def kind_of_reason(why: str) -> str:
    """Return a reason without what is said of the one text, so that reasons can be counted and show no example.

    Example:
        >>> kind_of_reason("it drops the field `text`")
        'it drops the field'
    """
    return re.split(r"[:`\d]", why, maxsplit=1)[0].strip()


def _headings(signature: type[Signature], text: str) -> set[str]:
    """Return the fields of `signature` that some format would find in `text`."""
    fields = signature.fields
    found = {name for name in _MARK.findall(text) if name in fields}
    for name in format_names():
        layout = getattr(get_format(name), "layout", None)
        if layout is not None:
            found |= {section.name for section in layout.sections(layout.labels(signature), text)}
    return found & set(fields)


def _numbers(text: str) -> list[str]:
    """Return the numbers that a task depends on."""
    return list(dict.fromkeys(_NUMBER.findall(_COUNTING.sub(" ", unicodedata.normalize("NFKC", text)))))


def _has_number(text: str, number: str) -> bool:
    """Return whether a text has a number, also with other separators, or in words."""
    plain = unicodedata.normalize("NFKC", text)
    if _digits(number) in map(_digits, _NUMBER.findall(plain)):
        return True
    words = _IN_WORDS.get(number)
    return words is not None and re.search(rf"\b(?:{words})\b", plain, re.IGNORECASE) is not None


def _digits(number: str) -> str:
    return re.sub("[.,]", "", number)
