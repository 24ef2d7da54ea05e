"""Plain rows: what has no other shape."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tunesmith.data.shapes.registry import register_shape
from tunesmith.data.shapes.shape import Given, Shape

__all__ = ["PlainRows"]


@register_shape
class PlainRows(Shape):
    """Any file of rows: a table with any separator, JSONL, a list, or `{"data": [...]}`. Its fields stay the same."""

    name = "rows"
    about = 'rows of any fields: JSONL, {"data": [...]}, CSV and TSV with any separator'
    breadth = 2

    def fits(self, row: Mapping[str, Any], path: Path) -> bool:
        """Return `True`: every row is one."""
        return True

    def convert(self, row: Given, path: Path) -> Iterator[dict[str, Any]]:
        """Yield the row."""
        yield {name: row.get(name) for name in row.value}
