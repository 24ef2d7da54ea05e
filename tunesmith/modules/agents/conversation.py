"""The turns of a conversation, and the text that a model reads of them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tunesmith.errors import InputError, shown
from tunesmith.modules.agents.tool import result_text
from tunesmith.modules.fence import fenced
from tunesmith.modules.retrieval.chunking import Chunking, token_count
from tunesmith.signatures import to_json_value

__all__ = ["checked_turns", "fitting", "plain_turn", "turn_text"]


def checked_turns(given: Any, name: str) -> list[Mapping[str, Any]]:
    """Return the turns of a conversation, also of a `dspy.History`.

    Raises:
        InputError: they are not a list of mappings.
    """
    given = getattr(given, "messages", given)
    listed = isinstance(given, Sequence) and not isinstance(given, str)
    if not listed or not all(isinstance(turn, Mapping) for turn in given):
        raise InputError(
            f"`{name}` is a list of turns, each a mapping such as {{'message': 'Hello'}}. Given: {shown(given)}.",
            field=name,
        )
    return list(given)


def plain_turn(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return a turn of JSON values; what has no JSON form is a text."""
    return {name: _plain(value) for name, value in fields.items()}


def turn_text(turn: Mapping[str, Any], number: int) -> str:
    """Return a turn as lines `name: value`. Further lines of a value are indented: none forges a field or a turn."""
    lines = (f"{name}: {fenced(result_text(value))}" for name, value in turn.items())
    return fenced(f"[{number}] " + "\n".join(lines))


def fitting(texts: Iterable[str], tokens: int) -> list[str]:
    """Return the first texts that together have at most `tokens` tokens; the very first is cut if it has more."""
    kept: list[str] = []
    left = tokens
    for text in texts:
        left -= token_count(text)
        if left < 0:
            return kept or [f"{Chunking('tokens', tokens).cut(text)[0]} (The rest is left out.)"]
        kept.append(text)
    return kept


def _plain(value: Any) -> Any:
    try:
        return to_json_value(value)
    except Exception:  # noqa: BLE001 - a step may return any object
        return str(value)
