"""Alpaca: instructions with an input and an output."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tunesmith.data.shapes.registry import register_shape
from tunesmith.data.shapes.shape import Given, Shape

__all__ = ["Alpaca"]


@register_shape
class Alpaca(Shape):
    """Taori et al., 2023, with the fields that LLaMA-Factory added: `system`, `history`, and `chosen` with `rejected`.

    `input` is "" if there is none. Of a pair for preference training, `chosen` is the output.
    """

    name = "alpaca"
    about = "Alpaca: instruction, input and output; also chosen and rejected, system and history"
    signature = "instruction, input -> output"

    def fits(self, row: Mapping[str, Any], path: Path) -> bool:
        """Return whether there is an instruction, and an output or a chosen one."""
        return "instruction" in row and ("output" in row or "chosen" in row)

    def convert(self, row: Given, path: Path) -> Iterator[dict[str, Any]]:
        """Yield the row with all its texts."""
        pair = "chosen" in row.value and not row.value.get("output")
        if pair:
            row.get("output")
        found: dict[str, Any] = {
            "instruction": row.text("instruction"),
            "input": row.text("input", ""),
            "output": row.text("chosen" if pair else "output"),
        }
        if pair:
            found["rejected"] = row.text("rejected")
        if row.get("system") is not None:
            found["system"] = row.text("system")
        if row.get("history"):
            found["history"] = [message for place in range(len(row.items("history"))) for message in _turn(row, place)]
        yield found


def _turn(row: Given, place: int) -> list[dict[str, str]]:
    turn = row.items("history")[place]
    if not isinstance(turn, (list, tuple)) or len(turn) != 2 or not all(isinstance(text, str) for text in turn):
        raise row.wrong(f"history[{place}]", "A turn must be a list of two texts, of the user and the reply.", turn)
    return [{"role": "user", "content": turn[0]}, {"role": "assistant", "content": turn[1]}]
