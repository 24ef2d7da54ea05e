"""Why a proposed instruction may not be used, said before anything is paid for it."""

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any

from tunesmith.data import fields_of
from tunesmith.formats import format_names, get_format
from tunesmith.modules import Candidate
from tunesmith.signatures import Example, Signature

__all__ = ["Guard"]

_RUN = 8  # words in a row that are a quotation and not a turn of speech
_LEAST_WORDS, _LEAST_CHARACTERS = 3, 15  # of a value that is a quotation as a whole
_WORD = re.compile(r"\w+")
_NAMED = re.compile(r"`(\w+)`|\{(\w+)\}")
_MARK = re.compile(r"\[\[ ## (\w+) ## \]\]")  # of DSPy's own format
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")


class Guard:
    """Checks instructions of one program.

    Args:
        signatures: of each predictor path.
        base: the program as given.
        val: validation examples, whose text no instruction may hold.
        train: training examples: what they hold too is not a leak.
    """

    def __init__(
        self,
        signatures: Mapping[str, type[Signature]],
        base: Candidate,
        val: Sequence[Example],
        train: Sequence[Example],
    ) -> None:
        self._signatures, self._base, self._val, self._train = signatures, base, val, train

    def why_not(self, path: str, text: object, most: int) -> str | None:
        """Return the reason as a clause, `None` if the instruction may be used."""
        own = self._base.parts[path].instruction
        if not isinstance(text, str) or not text.strip():
            return "it is empty"
        if len(text) > max(most, 2 * len(own)):
            return f"it has {len(text)} characters, more than {max(most, 2 * len(own))}"
        if _CONTROL.search(text):
            return "it holds a character that a prompt cannot carry"
        return self._dropped(path, own, text) or self._forged(path, own, text) or self._leaked(text)

    def _dropped(self, path: str, own: str, text: str) -> str | None:
        """Fields of the predictor that its own instruction names as `field` or {field} must stay."""
        fields = self._signatures[path].fields
        named = {first or second for first, second in _NAMED.findall(own)} & set(fields)
        lost = sorted(name for name in named if not re.search(rf"\b{re.escape(name)}\b", text))
        return f"it drops the field {', '.join(f'`{name}`' for name in lost)}" if lost else None

    def _forged(self, path: str, own: str, text: str) -> str | None:
        """A line that a format writes before a value of a field would be read as that field."""
        signature = self._signatures[path]
        new = _headings(signature, text) - _headings(signature, own)
        return f"it holds what a prompt writes before the field `{min(new)}`" if new else None

    def _leaked(self, text: str) -> str | None:
        words = _words(text)
        joined = f" {' '.join(words)} "
        whole, runs = self._quotations
        found = next((value for value in whole if f" {value} " in joined), None)
        if found is None:
            found = next((" ".join(run) for run in _runs(words) if run in runs), None)
        return None if found is None else f'it holds the text of a validation example: "{found[:60]}"'

    @cached_property
    def _quotations(self) -> tuple[set[str], set[tuple[str, ...]]]:
        """Whole values of validation examples, and their runs of words, that no training example has."""
        known = [" ".join(_words(value)) for value in (*_texts(self._train), *self._own_texts())]
        known_runs = {run for value in known for run in _runs(value.split())}
        whole, runs = set[str](), set[tuple[str, ...]]()
        for value in _texts(self._val):
            words = _words(value)
            plain = " ".join(words)
            if len(words) >= _LEAST_WORDS and len(plain) >= _LEAST_CHARACTERS:
                whole.add(plain)
            runs.update(_runs(words))
        inside = f" {' | '.join(known)} "
        return {value for value in whole if f" {value} " not in inside}, runs - known_runs

    def _own_texts(self) -> Iterable[str]:
        for part in self._base.parts.values():
            yield part.instruction
            for demo in part.demos:
                yield from _strings([demo.inputs, demo.outputs])


def _headings(signature: type[Signature], text: str) -> set[str]:
    """Return the fields of `signature` that some format would find in `text`."""
    fields = signature.fields
    found = {name for name in _MARK.findall(text) if name in fields}
    for name in format_names():
        layout = getattr(get_format(name), "layout", None)
        if layout is not None:
            found |= {section.name for section in layout.sections(layout.labels(signature), text)}
    return found & set(fields)


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())


def _runs(words: Sequence[str]) -> Iterable[tuple[str, ...]]:
    return (tuple(words[at : at + _RUN]) for at in range(len(words) - _RUN + 1))


def _texts(examples: Iterable[Example]) -> Iterable[str]:
    for example in examples:
        yield from _strings(fields_of(example))


def _strings(value: Any) -> Iterable[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _strings(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _strings(item)
