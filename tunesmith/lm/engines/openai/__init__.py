"""Servers that speak OpenAI's protocol: `openai/<model>` with `base_url=`."""

import importlib
from collections.abc import Mapping
from typing import Any

from tunesmith.errors import UsageError
from tunesmith.lm.engine import Engine
from tunesmith.lm.engines.hosts import pooled
from tunesmith.lm.engines.registry import Built, EngineKind, EngineOptions, TimeLimit, option, register_engine
from tunesmith.lm.options import SECRET_OPTIONS
from tunesmith.lm.waiting import Policy

__all__ = ["openai_hosts", "OpenAIOptions"]

_PREFIX = "openai/"
_HEADERS = "a mapping of names to texts"


class OpenAIOptions(EngineOptions):
    """Options of a model on a server that speaks OpenAI's protocol."""

    base_url: Any = option("an address or a list of addresses", "where the server is", type_of_file=str | list[str])
    api_key: Any = option("a text", "key of the server; in a file, `api_key_env` names the variable that holds it")
    dialect: str | None = option(
        "a text", "`llamacpp`, `ollama`, `openai`, `tgi`, `vllm` or `vllm-guided`; default: the server is asked"
    )
    revision: str | None = option("a text", "your name for the weights")
    timeout: TimeLimit | None = option("a number of seconds above 0, at most a year", "seconds for one attempt: 600")
    headers: Mapping[str, str] | None = option(_HEADERS, "sent with every request")
    extra_headers: Mapping[str, str] | None = option(_HEADERS, "the same, under DSPy's name")
    cloud: bool | None = option("true or false", "whether a model that Ollama hands on to the cloud may be asked")


def openai_hosts(model: str, base_url: object, slots: int, given: Mapping[str, Any]) -> Built:
    """Return the engine of `openai/<model>` on one OpenAI-compatible server, or on several as a pool.

    Args:
        model: its name there.
        base_url: address, or addresses.
        slots: requests that one server works on at once.
        given: any of the other `OpenAIOptions`.

    Raises:
        UsageError: an option or address that cannot be used, or servers that have different models.
        ModelUnavailable, ModelMissing: of a pool, a server does not answer, or has no such model; one server alone is
            not asked yet.
    """
    if not model:
        raise UsageError("`openai/` needs a model behind it: write `openai/<model>`.")
    if isinstance(base_url, str):
        return _one(model, base_url, slots, given)
    # The pool tries another host instead of the same one again.
    return pooled(
        lambda address: _one(model, address, slots, given, policy=Policy(attempts=1)),
        base_url,
        name="base_url",
        slots=slots,
    )


def _one(model: str, base_url: str, slots: int, options: Mapping[str, Any], **own: Any) -> Built:
    given = {name: value for name, value in options.items() if value is not None}
    headers = {**given.pop("headers", {}), **given.pop("extra_headers", {})}
    if headers:
        given["headers"] = headers
    made: Engine = importlib.import_module("tunesmith.lm.engines.openai.engine").OpenAIEngine(
        model, base_url=base_url, slots=slots, **given, **own
    )
    return made, {"base_url": base_url, **{name: value for name, value in given.items() if name not in SECRET_OPTIONS}}


def _make(spec: str, given: dict[str, Any], slots: int) -> Built:
    others = {name: value for name, value in given.items() if name != "base_url"}
    return openai_hosts(spec.removeprefix(_PREFIX), given["base_url"], slots, others)


register_engine(
    EngineKind(
        name="openai",
        spec="openai/<model> with base_url=",
        help="vLLM, TGI, llama.cpp's server, Ollama's `/v1` and others that speak OpenAI's protocol",
        options=OpenAIOptions,
        make=_make,
        takes=lambda spec, given: spec.startswith(_PREFIX) and given.get("base_url") is not None,
        instead={
            **dict.fromkeys(("api_base", "api_version", "host"), "`base_url` holds the address"),
            "num_ctx": "The server has its own context length",
        },
        otherwise="Leave it out, or ask without `base_url` for DSPy's own engine",
    )
)
