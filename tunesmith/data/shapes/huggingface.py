"""Hugging Face: rows with nested fields and label ids."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tunesmith.data.features import features_of, with_names
from tunesmith.data.shapes.registry import register_shape
from tunesmith.data.shapes.shape import Given, Shape

__all__ = ["HuggingFace"]


@register_shape
class HuggingFace(Shape):
    """JSONL, JSON or Parquet of a dataset of the Hub, and the rows of its viewer's API.

    The names of label ids (`ClassLabel`) are taken from the Parquet file itself, from the `features` of the API, or
    from a `dataset_info.json` beside the file. A field inside an object becomes `object_field`. A row with the label
    -1, which stands for "not known", is dropped.
    """

    name = "huggingface"
    about = "Hugging Face: JSONL, JSON or Parquet with nested fields and label ids"
    breadth = 1

    def fits(self, row: Mapping[str, Any], path: Path) -> bool:
        """Return whether the types of the fields are known, or a field holds an object."""
        return bool(features_of(path)) or any(isinstance(value, Mapping) for value in row.values())

    def convert(self, row: Given, path: Path) -> Iterator[dict[str, Any]]:
        """Yield the row with names of labels, and without objects."""
        features = features_of(path)
        if set(row.value) >= {"row_idx", "row"}:
            for name in ("row_idx", "truncated_cells"):
                row.get(name)
            row = row.part("row")
        found: dict[str, Any] = {}
        for name in row.value:
            value = row.get(name)
            kind = features.get(name)
            if kind is not None and value is not None:
                value = with_names(value, kind, lambda path, problem, given: row.wrong(path, problem, given), name)
                if value is None:
                    row.drop(f"a row without a label in `{name}` (-1)")
                    return
            _flatten(row, found, name, value)
        yield found


def _flatten(row: Given, found: dict[str, Any], name: str, value: Any) -> None:
    if isinstance(value, Mapping) and value:
        for inner, item in value.items():
            _flatten(row, found, f"{name}_{inner}", item)
    elif isinstance(value, bytes):
        row.dropped.fields[f"{name} (bytes)"] += 1
    elif name in found:
        raise row.wrong(name, "Two fields get this name when objects are taken apart. Rename one with `--columns`.")
    else:
        found[name] = value
