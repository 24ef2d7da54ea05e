"""The types of a Hugging Face dataset's fields, for the names of its label ids."""

import json
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from tunesmith.data.jsontext import JsonError, decode_json
from tunesmith.data.readers import parquet_metadata
from tunesmith.errors import DataError

__all__ = ["features_of", "with_names"]

_BESIDE = "dataset_info.json"
_NO_LABEL = -1


def features_of(path: Path) -> Mapping[str, Any]:
    """Return the type of each field as the library `datasets` writes it; empty if nothing says it.

    It is looked for in the metadata of a Parquet file, under `features` in a JSON file as the viewer's API gives it,
    and in a `dataset_info.json` beside the file.
    """
    try:
        facts = path.stat()
    except OSError:
        return {}
    return _features(path, facts.st_mtime_ns, facts.st_size)


def with_names(value: Any, kind: Any, wrong: Callable[[str, str, Any], Exception], path: str) -> Any:
    """Return `value` with the names of label ids; `None` for the id -1.

    Args:
        value: of a field.
        kind: the type of the field.
        wrong: makes the error for an id without a name, of its path, the problem and the id.
        path: of the field.
    """
    if isinstance(kind, Mapping) and kind.get("_type") == "ClassLabel":
        return _name(value, kind.get("names") or [], wrong, path)
    inner = kind.get("feature") if isinstance(kind, Mapping) and "_type" in kind else None
    if isinstance(kind, list) and len(kind) == 1:
        inner = kind[0]
    if inner is not None and isinstance(value, list):
        return [with_names(item, inner, wrong, f"{path}[{place}]") for place, item in enumerate(value)]
    if inner is not None and isinstance(value, Mapping) and isinstance(inner, Mapping):  # columns, not rows
        columns = {name: [kind] for name, kind in inner.items()}
        return {name: with_names(item, columns.get(name), wrong, f"{path}.{name}") for name, item in value.items()}
    if isinstance(kind, Mapping) and isinstance(value, Mapping) and "_type" not in kind:
        return {name: with_names(item, kind.get(name), wrong, f"{path}.{name}") for name, item in value.items()}
    return value


def _name(value: Any, names: list[str], wrong: Callable[[str, str, Any], Exception], path: str) -> str | None:
    if isinstance(value, str) and value in names:
        return value
    if value is None or value == _NO_LABEL:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < len(names):
        raise wrong(path, f"This is no label id; there are {len(names)} names: {', '.join(names[:8])}.", value)
    return names[value]


@lru_cache(maxsize=16)
def _features(path: Path, _changed: int, _size: int) -> Mapping[str, Any]:
    if path.suffix.lower() == ".parquet":
        found = _object(parquet_metadata(path).get("huggingface", "{}")).get("info")
    elif path.suffix.lower() == ".json":
        found = _object(_text(path))
    else:
        found = None
    features = found.get("features") if isinstance(found, Mapping) else None
    if not features:
        features = _object(_text(path.parent / _BESIDE)).get("features")
    if isinstance(features, list):  # the viewer's API
        features = {one.get("name"): one.get("type") for one in features if isinstance(one, Mapping)}
    return features if isinstance(features, Mapping) else {}


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError):
        return "{}"


def _object(text: str) -> Mapping[str, Any]:
    try:
        found = decode_json(text)
    except (JsonError, DataError, json.JSONDecodeError):
        return {}
    return found if isinstance(found, Mapping) else {}
