"""Replies of a double, in whatever form the request asks for."""

import json
import re
from collections.abc import Mapping
from typing import Any

from tunesmith.lm import Response, Seen, TokenLogprob, TopLogprob, text_response


def written(seen: Seen, /, **outputs: Any) -> str:
    """Return `outputs` as the reply that `seen` asks for: bare, JSON, or with DSPy's markers."""
    config, names = seen.request.config, object_names(seen)
    if names is not None:
        return json.dumps({name: outputs[name] for name in names})
    if "[[ ## " in seen.system:
        parts = "\n\n".join(f"[[ ## {name} ## ]]\n{_text(value)}" for name, value in outputs.items())
        return f"{parts}\n\n[[ ## completed ## ]]"
    (value,) = outputs.values()
    return json.dumps(value) if config.response_format is not None else _text(value)


def proposed(seen: Seen, text: str) -> str:
    """Return a reply that gives every text of the outputs as `text`, a list as one of it, `1` and `true`."""
    names = object_names(seen)
    if names is None:
        return json.dumps([text]) if "JSON value only" in seen.system else text
    kinds = {name: re.search(rf'"{name}": <(\w+)', seen.system) for name in names}
    values = {"list": [text], "int": 1, "float": 1.0, "one": True}
    return json.dumps({name: values.get(kind[1], text) if kind else text for name, kind in kinds.items()})


def object_names(seen: Seen) -> list[str] | None:
    """Return the names in the JSON object that the schema or grammar of `seen` asks for; `None` if it asks for none."""
    config = seen.request.config
    if config.response_format is not None:
        schema = config.response_format.get("schema", {})
        return list(schema["properties"]) if schema.get("type") == "object" else None
    root = str((config.extensions or {}).get("grammar", "")).partition("\n")[0]
    return re.findall(r'"\\"(\w+)\\""', root) if root.startswith('root ::= "{"') else None


def likely(seen: Seen, labels: Mapping[str, float]) -> Response:
    """Return the reply of a model that finds each label as likely as this: one token, with its alternatives."""
    top = tuple(TopLogprob(label, value) for label, value in sorted(labels.items(), key=lambda one: -one[1]))
    words = len(seen.system.split()) + sum(len(text.split()) for _, text in seen.messages)
    logprobs = None if seen.request.config.logprobs is None else (TokenLogprob(top[0].token, top[0].logprob, top=top),)
    return text_response(top[0].token, model=seen.request.model, input_tokens=words, output_tokens=1, logprobs=logprobs)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def number(text: str) -> int:
    """Return the first number in `text`."""
    found = re.search(r"\d+", text)
    assert found is not None, f"there is no number in {text!r}"
    return int(found.group())
