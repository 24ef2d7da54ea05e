"""GSM8K: problems whose answer ends in `#### 42`."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tunesmith.data.shapes.registry import register_shape
from tunesmith.data.shapes.shape import Given, Shape

__all__ = ["Gsm8k"]

_MARK = "####"
_CALCULATOR = re.compile(r"<<[^<>]*>>")
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?:\D|$))")


@register_shape
class Gsm8k(Shape):
    """Cobbe et al., 2021, "Training Verifiers to Solve Math Word Problems".

    The text before the mark becomes `reasoning`, without the notes for a calculator (`<<48/2=24>>`); the text after it
    `answer`, without the commas of `1,000`.
    """

    name = "gsm8k"
    about = "GSM8K: question and answer, whose result stands after ####"
    signature = "question -> answer"

    def fits(self, row: Mapping[str, Any], path: Path) -> bool:
        """Return whether there is a question, and an answer with the mark."""
        return "question" in row and isinstance(row.get("answer"), str) and _MARK in row["answer"]

    def convert(self, row: Given, path: Path) -> Iterator[dict[str, Any]]:
        """Yield the row with its answer in two parts."""
        answer = row.text("answer")
        before, mark, after = answer.rpartition(_MARK)
        result = _THOUSANDS.sub("", after.strip())
        if not mark or not result:
            raise row.wrong("answer", f"There is no result after `{_MARK}`.", answer[-80:])
        reasoning = _CALCULATOR.sub("", before).strip()
        yield {"question": row.text("question"), "reasoning": reasoning, "answer": result}
