"""Lessons from single cases, made into rules: what names the case goes, what says the same goes."""

import re
from collections.abc import Iterable, Sequence

from tunesmith.compilers._quotations import strings
from tunesmith.compilers._wording import cleaned
from tunesmith.data import tokens
from tunesmith.lazy import lazy_pattern

__all__ = ["distinct", "general"]

_LONGEST = 240  # characters of a lesson
_RUN = 4  # words in a row that are taken from a case
_ALIKE = 0.6  # the share of words from which on two lessons say the same
_BULLET = lazy_pattern(r"^\s*(?:[-*•]|\d+[.)])\s+")
_NAMING = lazy_pattern(r"\d+(?:[.,]\d+)*|[\"“«`]([^\"”»`]+)[\"”»`]")


def general(texts: Iterable[str], cases: Sequence[object]) -> list[str]:
    """Return the lessons that hold for other cases too, each in one line.

    Left out is what is empty or long, repeats four words of a case, or has a number or a quotation that a case has.

    Args:
        texts: lessons.
        cases: values of inputs, or mappings and lists of such.
    """
    known = list(strings(cases, numbers=True))
    runs = {run for text in known for run in _runs(tokens(text))}
    lower = " ".join(known).casefold()
    lines = (" ".join(_BULLET.sub("", cleaned(text)).split()) for text in texts)
    return [line for line in lines if 0 < len(line) <= _LONGEST and not _names(line, lower, runs)]


def distinct(texts: Iterable[str]) -> list[str]:
    """Return the texts of which others say the same once, those with the most such others first."""
    groups: list[tuple[str, set[str], list[str]]] = []
    for text in texts:
        words = set(tokens(text))
        alike = next((group for group in groups if _share(words, group[1]) >= _ALIKE), None)
        if alike is None:
            groups.append((text, words, [text]))
        else:
            alike[2].append(text)
    return [text for text, _, _ in sorted(groups, key=lambda group: -len(group[2]))]


def _names(line: str, lower: str, runs: set[tuple[str, ...]]) -> bool:
    found = (match[1] or match[0] for match in _NAMING.finditer(line))
    if any(re.search(rf"(?<!\w){re.escape(name.casefold())}(?!\w)", lower) for name in found):
        return True
    return any(run in runs for run in _runs(tokens(line)))


def _runs(words: Sequence[str]) -> Iterable[tuple[str, ...]]:
    return (tuple(words[at : at + _RUN]) for at in range(len(words) - _RUN + 1))


def _share(one: set[str], other: set[str]) -> float:
    return len(one & other) / max(1, len(one | other))
