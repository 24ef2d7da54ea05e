"""What servers that speak OpenAI's protocol do differently, and how to tell which of them answers."""

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


@dataclass(frozen=True, slots=True)
class Dialect:
    """One kind of server.

    Attributes:
        name: as `ts.lm(..., dialect=)` takes it.
        capabilities: what such a server can do, one slot assumed.
        top_k: whether it knows `top_k`; others refuse it or ignore it in silence.
        thinking: how thinking is asked for: `effort` (the field `reasoning_effort`), `template` (an argument of the
            chat template), or `none`.
        schema: gives the fields of the body that hold a reply to a JSON Schema; none where the server cannot do it.
        grammar: gives those for a GBNF grammar; `None` where the server knows none.
    """

    name: str
    capabilities: Capabilities
    top_k: bool
    thinking: str
    schema: Callable[[Schema, str, bool], dict[str, Any]]
    grammar: Callable[[str], dict[str, Any]] | None = None

    def constraint(self, wanted: Mapping[str, Any] | None, grammar: str | None) -> dict[str, Any]:
        """Return the fields of the body that hold the reply to its shape.

        Args:
            wanted: a canonical `response_format`, whose `type` is `json_object` or `json_schema`.
            grammar: GBNF text.

        Raises:
            RequestRefused: the server knows no grammars, or both were given.
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
            return {} if self.name == "tgi" else {"response_format": {"type": "json_object"}}
        # Some schemas stop real servers; such a reply is validated here and not held there.
        schema = server_schema(wanted["schema"])
        return {} if schema is None else self.schema(schema, _name(wanted), bool(wanted.get("strict", True)))


def _name(wanted: Mapping[str, Any]) -> str:
    return re.sub(r"[^a-zA-Z0-9_-]", "_", str(wanted.get("name", "reply")))[:64]


def _response_format(schema: Schema, name: str, strict: bool) -> dict[str, Any]:  # noqa: FBT001 - a callback
    return {
        "response_format": {"type": "json_schema", "json_schema": {"name": name, "schema": schema, "strict": strict}}
    }


def _object_only(schema: Schema, name: str, strict: bool) -> dict[str, Any]:  # noqa: FBT001
    # OpenAI answers 400 to a root that is no object; such a reply is validated here instead of held there.
    return _response_format(schema, name, strict) if schema.get("type") == "object" else {}


def _tgi(schema: Schema, name: str, strict: bool) -> dict[str, Any]:  # noqa: FBT001
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

DIALECTS: dict[str, Dialect] = {
    dialect.name: dialect
    for dialect in (
        Dialect(
            "openai",
            Capabilities(_SCHEMA, logprobs=20, embeddings=True, tools=True, roots="object"),
            top_k=False,
            thinking="effort",
            schema=_object_only,
        ),
        Dialect(
            "vllm",
            Capabilities(_ALL, logprobs=20, embeddings=True, tools=True),
            top_k=True,
            thinking="template",
            schema=lambda schema, _name, _strict: {"structured_outputs": {"json": schema}},
            grammar=lambda text: {"structured_outputs": {"grammar": text}},
        ),
        Dialect(
            "vllm-guided",  # before version 0.11
            Capabilities(_ALL, logprobs=20, embeddings=True, tools=True),
            top_k=True,
            thinking="template",
            schema=lambda schema, _name, _strict: {"guided_json": schema},
            grammar=lambda text: {"guided_grammar": text},
        ),
        Dialect(
            "tgi",
            Capabilities(frozenset({"json_schema"}), logprobs=5, tools=True, roots="closed"),
            top_k=False,
            thinking="none",
            schema=_tgi,
        ),
        Dialect(
            "llamacpp",
            Capabilities(_ALL, logprobs=50, embeddings=True, tools=True),
            top_k=True,
            thinking="template",
            schema=lambda schema, name, strict: _response_format(wide_integers(schema), name, strict),
            grammar=lambda text: {"grammar": text},
        ),
        Dialect(
            "ollama",
            Capabilities(_SCHEMA, logprobs=20, embeddings=True, tools=True),
            top_k=False,
            thinking="effort",
            schema=_response_format,
        ),
    )
}


def get_dialect(name: str) -> Dialect:
    """Return the dialect of that name.

    Raises:
        UsageError: there is none.
    """
    if not isinstance(name, str) or name not in DIALECTS:
        raise UsageError(f"There is no dialect {shown(name)}. Use one of: {', '.join(DIALECTS)}; leave it out to ask.")
    return DIALECTS[name]


def detect(ask: Callable[[str], Mapping[str, Any] | None]) -> Dialect:
    """Return the dialect of a server by what its own pages say; `openai` where they say nothing.

    Args:
        ask: gets a path below the server's root and returns the JSON object there, `None` where there is none.
    """
    props = ask("/props")
    if props is not None and "default_generation_settings" in props:
        return DIALECTS["llamacpp"]
    if isinstance((ask("/api/version") or {}).get("version"), str):
        return DIALECTS["ollama"]
    info = ask("/info")
    if info is not None and "model_id" in info and info.keys() & {"max_total_tokens", "max_input_tokens", "router"}:
        return DIALECTS["tgi"]
    version = (ask("/version") or {}).get("version")
    if isinstance(version, str):
        return DIALECTS["vllm-guided" if _older(version, (0, 11)) else "vllm"]
    return DIALECTS["openai"]


def _older(version: str, than: tuple[int, int]) -> bool:
    found = re.match(r"(\d+)\.(\d+)", version)
    return found is not None and (int(found[1]), int(found[2])) < than
