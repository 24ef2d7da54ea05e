"""Options of a compiler: `tunesmith.options`, and what they are in the identity of a run."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from tunesmith.data import content_key
from tunesmith.errors import DataError
from tunesmith.metrics import metric_fingerprint
from tunesmith.modules import class_name
from tunesmith.options import OPTION, check_values, default_of, option, option_names, option_table, read_option

__all__ = ["check_values", "option", "option_names", "option_table", "options_json", "read_option"]


def options_json(compiler: Any) -> dict[str, Any]:
    """Return the values of all options as JSON values: what makes a run of this compiler another run."""
    fields = [field for field in dataclasses.fields(compiler) if OPTION in field.metadata]
    values = {field.name: getattr(compiler, field.name) for field in fields}
    left_out = {f.name for f in fields if f.metadata[OPTION]["newer"] and values[f.name] == default_of(f)}
    return {name: _plain(value) for name, value in values.items() if name not in left_out}


def _plain(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    try:
        content_key(value)
    except DataError:
        return metric_fingerprint(value) if callable(value) else class_name(value)
    return value
