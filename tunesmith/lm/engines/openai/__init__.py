"""Servers that speak OpenAI's protocol: `openai/<model>` with `base_url=`."""

import importlib
from collections.abc import Mapping
from typing import Any

from tunesmith.errors import UsageError
from tunesmith.lm.engine import Engine
from tunesmith.lm.engines.registry import Built, EngineKind, EngineOptions, TimeLimit, option, register_engine
from tunesmith.lm.options import SECRET_OPTIONS

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


def openai_hosts(model: str, given: Mapping[str, Any], slots: int) -> Built:
    """Return the engine of `openai/<model>` on one OpenAI-compatible server, or on several as a pool.

    Args:
        model: its name there.
        given: any of `OpenAIOptions`, `base_url` among them.
        slots: requests that one server works on at once.

    Raises:
        UsageError: an option or address that cannot be used, or servers that have different models.
        ModelUnavailable, ModelMissing: of a pool, a server does not answer, or has no such model; one server alone is
            not asked yet.
    """
    from tunesmith.lm.engines._hosts import on_hosts  # here, because `ts.lm` imports every kind of engine

    if not model:
        raise UsageError("`openai/` needs a model behind it: write `openai/<model>`.")
    own = {name: value for name, value in given.items() if name != "base_url"}
    headers = {**own.pop("headers", {}), **own.pop("extra_headers", {})}
    kept = {name: value for name, value in own.items() if name not in SECRET_OPTIONS}

    def make(base_url: str, **policy: Any) -> Built:
        library = importlib.import_module("tunesmith.lm.engines.openai.engine")
        engine: Engine = library.OpenAIEngine(
            model, base_url=base_url, slots=slots, headers=headers, policy=library.POLICY._replace(**policy), **own
        )
        return engine, {"base_url": base_url, **kept}

    return on_hosts(make, given["base_url"], name="base_url", slots=slots)


register_engine(
    EngineKind(
        name="openai",
        spec="openai/<model> with base_url=",
        help="vLLM, TGI, llama.cpp's server, Ollama's `/v1` and others that speak OpenAI's protocol",
        options=OpenAIOptions,
        make=lambda spec, given, slots: openai_hosts(spec.removeprefix(_PREFIX), given, slots),
        takes=lambda spec, given: spec.startswith(_PREFIX) and given.get("base_url") is not None,
        instead={
            **dict.fromkeys(("api_base", "api_version", "host"), "`base_url` holds the address"),
            "num_ctx": "The server has its own context length",
        },
        otherwise="Leave it out, or ask without `base_url` for DSPy's own engine",
    )
)
