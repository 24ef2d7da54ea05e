"""How one text became another, word by word, as `git diff --word-diff` shows it."""

import difflib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Literal

from tunesmith.errors import brief
from tunesmith.lazy import lazy_pattern

__all__ = ["TextChange", "WordRun"]

_TOKEN = lazy_pattern(r"\n|[^\S\n]+|\w+|[^\w\s]")
_WORD = lazy_pattern(r"\w+")
_MOST = 1_000_000  # pairs of words that are compared: more would take seconds
_SHARED = 0.6  # of the words of the shorter text; with fewer in common, two whole texts read better than a patchwork
_AROUND = 1  # lines shown beside a changed one
_Kind = Literal["same", "removed", "added"]


@dataclass(frozen=True, slots=True)
class WordRun:
    """A piece of text that is in both texts (`same`), only in the first (`removed`) or only in the second (`added`)."""

    kind: _Kind
    text: str


@dataclass(frozen=True, slots=True, repr=False)
class TextChange:
    """A text before and after.

    Attributes:
        before, after: the texts.
    """

    before: str
    after: str

    def __repr__(self) -> str:
        return brief(self, before=self.before, after=self.after)

    def words(self) -> tuple[WordRun, ...]:
        """Return both texts as one sequence of pieces; texts with little in common are one piece each."""
        tokens = _TOKEN.findall(self.before), _TOKEN.findall(self.after)
        runs = tuple(_merged(_compared(*tokens)))
        same = sum(_words(run.text) for run in runs if run.kind == "same")
        if same < _SHARED * min(_words(self.before), _words(self.after)):
            both = WordRun("removed", self.before), WordRun("added", self.after)
            return tuple(run for run in both if run.text)
        return runs

    def lines(self) -> list[str]:
        """Return the change as lines with `-`, `+` or a space in front.

        Changed words stand in `[-...-]` and `{+...+}`. Lines far from a change are left out.
        """
        runs = self.words()
        if all(run.kind != "same" for run in runs):
            signs = {"removed": "-", "added": "+"}
            return [f"{signs[run.kind]}{line}" for run in runs for line in run.text.splitlines() or [""]]
        lines = [*_in_lines(runs)]
        changed = [number for number, line in enumerate(lines) if any(run.kind != "same" for run in line)]
        near = {at + away for at in changed for away in range(-_AROUND, _AROUND + 1)}
        shown = sorted(near & {*range(len(lines))})
        found, last = [], -1
        for number in shown:
            if number > last + 1:
                found.append(" …")
            found.append(" " + "".join(map(_marked, lines[number])))
            last = number
        return found if last == len(lines) - 1 else [*found, " …"]

    def to_json(self) -> dict[str, Any]:
        """Return the texts, and the pieces with their kinds."""
        pieces = [{"kind": run.kind, "text": run.text} for run in self.words()]
        return {"before": self.before, "after": self.after, "words": pieces}


def _words(text: str) -> int:
    return len(_WORD.findall(text))


def _compared(before: Sequence[str], after: Sequence[str]) -> Iterator[WordRun]:
    start = 0
    while start < min(len(before), len(after)) and before[start] == after[start]:
        start += 1
    if start:
        yield WordRun("same", "".join(before[:start]))
    one, other = before[start:], after[start:]
    if len(one) * len(other) > _MOST:
        yield WordRun("removed", "".join(one))
        yield WordRun("added", "".join(other))
        return
    # Without `autojunk=False`, a word that is frequent in a long text is never matched.
    for kind, a, b, c, d in difflib.SequenceMatcher(None, one, other, autojunk=False).get_opcodes():
        if kind == "equal":
            yield WordRun("same", "".join(one[a:b]))
        else:
            yield WordRun("removed", "".join(one[a:b]))
            yield WordRun("added", "".join(other[c:d]))


def _merged(runs: Iterable[WordRun]) -> Iterator[WordRun]:
    """Join neighbours of a kind, and changed words that only a space parts."""
    pieces = [run for run in runs if run.text]
    blank = [
        run.kind == "same" and not run.text.strip(" ") and 0 < at < len(pieces) - 1 for at, run in enumerate(pieces)
    ]
    for is_same, group in groupby(zip(pieces, blank, strict=True), lambda pair: pair[0].kind == "same" and not pair[1]):
        block = [run for run, _ in group]
        if is_same:
            yield WordRun("same", "".join(run.text for run in block))
            continue
        yield from (
            WordRun(kind, text)
            for kind in ("removed", "added")
            if (text := "".join(run.text for run in block if run.kind in (kind, "same")))
        )


def _in_lines(runs: Iterable[WordRun]) -> Iterator[list[WordRun]]:
    """Split the pieces at the line ends of the text after; a removed line end stays in its piece."""
    line: list[WordRun] = []
    for run in runs:
        if run.kind == "removed":
            line.append(run)
            continue
        first, *others = run.text.split("\n")
        if run.kind == "added" and others and not run.text.strip():
            line.append(run)  # nothing but space was added, which must be seen
            first = ""
        if first:
            line.append(WordRun(run.kind, first))
        for other in others:
            yield line
            line = [WordRun(run.kind, other)] if other and run.text.strip() else []
    yield line


def _marked(run: WordRun) -> str:
    if run.kind == "same":
        return run.text
    text = run.text.replace("\n", "\\n")
    return f"[-{text}-]" if run.kind == "removed" else f"{{+{text}+}}"
