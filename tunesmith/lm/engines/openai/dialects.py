"""What servers that speak OpenAI's protocol do differently, as a table, and how to tell which of them answers."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tunesmith.errors import UsageError, shown
from tunesmith.lm.engine import Capabilities, refused
from tunesmith.signatures import server_schema, wide_integers

__all__ = ["DIALECTS", "Dialect", "detect", "get_dialect"]

Schema = Mapping[str, Any]
Fields = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Dialect:
    """One kind of server.

    Attributes:
        name: as `ts.lm(..., dialect=)` takes it.
        capabilities: what such a server can do, one slot assumed.
        schema: gives the fields of the body that hold a reply to a JSON Schema, from the schema and its name; none if
            the server cannot do it.
        grammar: gives those for a GBNF grammar; `None` if the server takes no grammars.
        top_k: whether it knows `top_k`; others refuse it or ignore it in silence.
        thinking: how thinking is asked for: `effort` (the field `reasoning_effort`), `template` (an argument of the
            chat template), or `none`.
    """

    name: str
    capabilities: Capabilities
    schema: Callable[[Schema, Fields], Fields]
    grammar: Callable[[str], Fields] | None = None
    top_k: bool = False
    thinking: str = "none"

    def constraint(self, wanted: Mapping[str, Any] | None, grammar: str | None) -> Fields:
        """Return the fields of the body that hold the reply to its shape.

        Args:
            wanted: a canonical `response_format`, whose `type` is `json_object` or `json_schema`.
            grammar: GBNF text.

        Raises:
            RequestRefused: the server takes no grammars, or both were given.
        """
        if grammar is not None:
            if wanted is not None:
                raise refused("A reply is held by a schema or by a grammar, not by both. Drop one of them.")
            if self.grammar is None:
                raise refused(
                    f"A server of the dialect `{self.name}` takes no GBNF grammar. Use a JSON schema, or a server that "
                    "takes one (llama.cpp, vLLM)."
                )
            return self.grammar(grammar)
        if wanted is None:
            return {}
        if wanted["type"] == "json_object":
            return (
                {"response_format": {"type": "json_object"}} if "json_object" in self.capabilities.constraints else {}
            )
        # Some schemas stop real servers; such a reply is validated here and not held there.
        schema = server_schema(wanted["schema"])
        name = re.sub(r"[^a-zA-Z0-9_-]", "_", str(wanted.get("name", "reply")))[:64]
        named = {"name": name, "strict": bool(wanted.get("strict", True))}
        return {} if schema is None else self.schema(schema, named)


def _response_format(schema: Schema, named: Fields) -> Fields:
    return {"response_format": {"type": "json_schema", "json_schema": {**named, "schema": schema}}}


def _object_only(schema: Schema, named: Fields) -> Fields:
    # OpenAI answers 400 to a root that is not an object; such a reply is validated here instead of held there.
    return _response_format(schema, named) if schema.get("type") == "object" else {}


def _tgi(schema: Schema, _: Fields) -> Fields:
    # TGI refuses a schema without `properties`. A closed set of values is a regular expression as well.
    if "properties" in schema:
        return {"response_format": {"type": "json", "value": schema}}
    values = [schema["const"]] if "const" in schema else schema.get("enum")
    if not values:
        return {}
    texts = "|".join(re.escape(json.dumps(value, ensure_ascii=False)) for value in values)
    return {"response_format": {"type": "regex", "value": f"({texts})"}}


_SCHEMA = frozenset({"json_object", "json_schema"})
_ALL = _SCHEMA | {"grammar"}
_VLLM: Any = {
    "capabilities": Capabilities(_ALL, logprobs=20, embeddings=True, tools=True),
    "top_k": True,
    "thinking": "template",
}

_TABLE = (
    Dialect(
        "openai",
        Capabilities(_SCHEMA, logprobs=20, embeddings=True, tools=True, roots="object"),
        schema=_object_only,
        thinking="effort",
    ),
    Dialect(
        "vllm",
        schema=lambda schema, _: {"structured_outputs": {"json": schema}},
        grammar=lambda text: {"structured_outputs": {"grammar": text}},
        **_VLLM,
    ),
    Dialect(
        "vllm-guided",  # before version 0.11
        schema=lambda schema, _: {"guided_json": schema},
        grammar=lambda text: {"guided_grammar": text},
        **_VLLM,
    ),
    Dialect("tgi", Capabilities(frozenset({"json_schema"}), logprobs=5, tools=True, roots="closed"), schema=_tgi),
    Dialect(
        "llamacpp",
        Capabilities(_ALL, logprobs=50, embeddings=True, tools=True),
        schema=lambda schema, named: _response_format(wide_integers(schema), named),
        grammar=lambda text: {"grammar": text},
        top_k=True,
        thinking="template",
    ),
    Dialect(
        "ollama",
        Capabilities(_SCHEMA, logprobs=20, embeddings=True, tools=True),
        schema=_response_format,
        thinking="effort",
    ),
)
DIALECTS = {dialect.name: dialect for dialect in _TABLE}


def get_dialect(name: str) -> Dialect:
    """Return the dialect of that name.

    Raises:
        UsageError: there is none.
    """
    if not isinstance(name, str) or name not in DIALECTS:
        raise UsageError(f"There is no dialect {shown(name)}. Use one of: {', '.join(DIALECTS)}; leave it out to ask.")
    return DIALECTS[name]


def detect(ask: Callable[[str], Mapping[str, Any] | None]) -> Dialect:
    """Return the dialect of a server by what its own pages say, `openai` if they say nothing.

    Args:
        ask: gets a path below the server's root and returns the JSON object there, `None` if there is none.
    """
    if "default_generation_settings" in (ask("/props") or {}):
        return DIALECTS["llamacpp"]
    if isinstance((ask("/api/version") or {}).get("version"), str):
        return DIALECTS["ollama"]
    info = ask("/info") or {}
    if "model_id" in info and info.keys() & {"max_total_tokens", "max_input_tokens", "router"}:
        return DIALECTS["tgi"]
    version = (ask("/version") or {}).get("version")
    if not isinstance(version, str):
        return DIALECTS["openai"]
    numbers = re.match(r"(\d+)\.(\d+)", version)
    older = numbers is not None and (int(numbers[1]), int(numbers[2])) < (0, 11)
    return DIALECTS["vllm-guided" if older else "vllm"]
