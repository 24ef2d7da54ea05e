"""Replies of a double, in whatever form the request asks for."""

import json
import re
from typing import Any

from tunesmith.lm import Seen


def written(seen: Seen, /, **outputs: Any) -> str:
    """Return `outputs` as the reply that `seen` asks for: bare, JSON, or with DSPy's markers."""
    config = seen.request.config
    if config.response_format is not None:
        schema = config.response_format.get("schema", {})
        if schema.get("type") == "object":
            return json.dumps({name: outputs[name] for name in schema["properties"]})
    if "[[ ## " in seen.system:
        parts = "\n\n".join(f"[[ ## {name} ## ]]\n{_text(value)}" for name, value in outputs.items())
        return f"{parts}\n\n[[ ## completed ## ]]"
    (value,) = outputs.values()
    return json.dumps(value) if config.response_format is not None else _text(value)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def number(text: str) -> int:
    """Return the first number in `text`."""
    found = re.search(r"\d+", text)
    assert found is not None, f"there is no number in {text!r}"
    return int(found.group())
