"""Why a rewritten text may not stand in for the original: found in the two texts alone."""

import re
import unicodedata
from collections.abc import Iterable, Sequence

from tunesmith.data import scripts_of
from tunesmith.lazy import lazy_pattern

__all__ = ["why_not_rewritten"]

_SHORTEST, _LONGEST = 0.5, 6.0  # times the length of the original, as the released code filters
_FOREIGN = 0.1  # the share of letters in scripts that the original has not
_CONTROL = lazy_pattern(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
_NUMBER = lazy_pattern(r"\d+(?:[.,:/-]\d+)*")
_STEPS = lazy_pattern(r"^\s*\d+[.)]\s", re.MULTILINE)  # numbers of lines in a list
_ANSWER = lazy_pattern(
    r"^\W*(?:(?:the )?(?:final )?(?:answer|result|solution)\b\W*(?:is\b|:)|(?:sure|certainly|i am sorry|i'm sorry)\b)",
    re.IGNORECASE,
)
_SPANS = {
    "the code": lazy_pattern(r"```.*?```|`[^`\n]+`", re.DOTALL),
    "the address": lazy_pattern(r"(?:https?://|www\.)[^\s<>\"“”]*[^\s<>\"“”.,;:!?)]|[\w.+-]+@[\w-]+\.[\w.-]*\w"),
    "the quotation": lazy_pattern(r"\"[^\"\n]+\"|“[^”\n]+”|«[^»\n]+»|„[^“”\n]+[“”]"),
    "the placeholder": lazy_pattern(r"\{\{?\s*\w[\w .-]*\}\}?|</?\w[\w -]*>|\[\w[\w -]*\](?!\()"),
}


def why_not_rewritten(text: str, rewritten: str, protect: Sequence[str] = ()) -> str | None:
    """Return why `rewritten` may not stand in for `text`, as a clause; `None` if it may.

    It keeps the original's numbers and adds none, keeps its quotations, code, addresses, placeholders and protected
    texts character for character, is half to six times as long, in the same scripts, still a question if that was
    one, and does not begin as an answer does.

    Args:
        text: the original.
        rewritten: what a model made of it.
        protect: texts that stay if the original has them.

    Example:
        >>> why_not_rewritten("Add 2 and 3.", "The answer is 5.")
        'it lacks the number 2'
    """
    if not rewritten.strip() or _CONTROL.search(rewritten):
        return "it is empty or holds a character that a prompt cannot carry"
    ratio = len(rewritten) / max(1, len(text))
    if not _SHORTEST <= ratio <= _LONGEST:
        return f"its length is {ratio:.1f} times that of the original"
    return _lost(text, rewritten, protect) or _renumbered(text, rewritten) or _other(text, rewritten)


def _lost(text: str, rewritten: str, protect: Sequence[str]) -> str | None:
    kept = [("the protected text", part) for part in protect if part in text]
    kept += [(kind, span) for kind, pattern in _SPANS.items() for span in pattern.findall(text)]
    lost = next(((kind, span) for kind, span in kept if span not in rewritten), None)
    return None if lost is None else f"it changes {lost[0]} {lost[1][:60]}"


def _renumbered(text: str, rewritten: str) -> str | None:
    before, after = _numbers(text), _numbers(rewritten)
    lost, new = _first(before, after), _first(after, before)
    if lost is not None:
        return f"it lacks the number {lost}"
    return None if new is None else f"it adds the number {new}"


def _other(text: str, rewritten: str) -> str | None:
    known, found = scripts_of([text]), scripts_of([rewritten])
    other = sum(count for script, count in found.items() if script not in known)
    if other > _FOREIGN * sum(found.values()):
        return "it is in another script"
    if _asks(text) and not _asks(rewritten):
        return "it is no question any more"
    return "it begins as an answer does" if _ANSWER.match(rewritten) and not _ANSWER.match(text) else None


def _asks(text: str) -> bool:
    return text.rstrip().endswith(("?", "？", "؟"))


def _numbers(text: str) -> list[str]:
    return list(_NUMBER.findall(_STEPS.sub(" ", unicodedata.normalize("NFKC", text))))


def _first(wanted: Iterable[str], among: Iterable[str]) -> str | None:
    known = set(among)
    return next((number for number in wanted if number not in known), None)
