"""Ollama servers: `ollama/<model>`. The client is loaded at its first use, because it takes half a second to import."""

import importlib
import os
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from tunesmith.errors import UsageError, shown
from tunesmith.lm.engine import Engine
from tunesmith.lm.engines.registry import Built, EngineKind, EngineOptions, TimeLimit, option, register_engine

if TYPE_CHECKING:
    from tunesmith.lm.engines.ollama.client import OllamaServer

__all__ = ["ollama_hosts", "ollama_server", "OllamaOptions"]

_PREFIX = "ollama/"
_DURATION = r"^[+-]?(0|((\d+\.?\d*|\.\d+)(ns|us|µs|ms|s|m|h))+)$"  # as Go reads one


class OllamaOptions(EngineOptions):
    """Options of a model on an Ollama server."""

    host: Any = option(
        "an address or a list of addresses", "where the server is; default OLLAMA_HOST", type_of_file=str | list[str]
    )
    # Quoted where pydantic would be asked: `ts.lm` imports every kind of engine, and checks few options.
    num_ctx: "Annotated[int, Field(ge=1)] | None" = option(
        "a whole number from 1", "context length in tokens; default the trained one up to 8192"
    )
    think: 'bool | Literal["low", "medium", "high", "max"] | None' = option(
        "true, false or one of low, medium, high, max",
        "whether, or how much, a model that can think may: off by default",
    )
    keep_alive: "int | float | Annotated[str, Field(pattern=_DURATION)] | None" = option(
        "seconds, or a text such as '10m'",
        "how long the server keeps the model loaded",
        type_of_file=int | float | str,
    )
    timeout: TimeLimit | None = option(
        "a number of seconds above 0, at most a year", "seconds a call may take, all attempts together: 1200"
    )
    cloud: bool | None = option("true or false", "whether a model that Ollama hands on to the cloud may be asked")


def ollama_hosts(model: str, given: dict[str, Any], slots: int) -> Built:
    """Return the engine of a model on one Ollama server, or on several as a pool; one server is not asked yet.

    Args:
        model: its name on the server.
        given: any of `OllamaOptions`.
        slots: requests that one host of a pool works on at once.

    Raises:
        UsageError: the name or an address that cannot be used, or hosts that serve different models.
        ModelUnavailable, ModelMissing: of a pool, a server does not answer, or has no such model.
    """
    from tunesmith.lm.engines._hosts import on_hosts  # here, because `ts.lm` imports every kind of engine

    if not model.strip():
        raise UsageError("`ollama/` needs a model behind it, as in `ollama/llama3.2` or `ollama/qwen3:8b`.")
    if any(char.isspace() for char in model):
        raise UsageError(f"The name of a model holds no space. Given: {shown(model)}. `ollama list` shows the names.")
    timeout, num_ctx = given.get("timeout"), given.get("num_ctx")
    own = {name: value for name, value in given.items() if name not in ("host", "num_ctx", "timeout")}

    def make(host: str | None, **policy: Any) -> Built:
        server = ollama_server(host, **policy, **({} if timeout is None else {"timeout": float(timeout)}))
        engine: Engine = _library().OllamaEngine(model, server, num_ctx=num_ctx, **own)
        kept = {"host": None if host is None else server.address, "num_ctx": num_ctx, **own, "timeout": timeout}
        return engine, {name: value for name, value in kept.items() if value is not None}

    return on_hosts(make, given.get("host"), name="host", slots=slots, timeout=timeout)


def ollama_server(host: str | None = None, **policy: Any) -> "OllamaServer":
    """Return the server at `host`, by default at OLLAMA_HOST; asks it nothing yet.

    Args:
        host: a host, `host:port` or a URL.
        **policy: fields of `tunesmith.lm.waiting.Policy`.

    Raises:
        UsageError: the address cannot be read.
    """
    from tunesmith.lm.engines.ollama.host import server_address  # here, because `ts.lm` imports every kind of engine

    server_address(host)
    library = _library()
    found: OllamaServer = library.server_at(host, library.POLICY._replace(**policy))
    return found


def _library() -> Any:
    from tunesmith.lm.connection import is_header_value  # here, because `ts.lm` imports every kind of engine

    if not is_header_value(os.environ.get("OLLAMA_API_KEY", "")):  # the client reads it; errors below would show it
        raise UsageError("OLLAMA_API_KEY cannot be sent: it holds a line end, an outer space or a letter beyond ASCII.")
    try:
        return importlib.import_module("tunesmith.lm.engines.ollama.engine")
    except ValueError as error:  # the client reads OLLAMA_HOST while it is imported
        given = os.environ.get("OLLAMA_HOST")
        raise UsageError(f"OLLAMA_HOST is not an address: {error}. Given: {shown(given)}.") from error


register_engine(
    EngineKind(
        name="ollama",
        spec="ollama/<model>",
        help="an Ollama server; several hosts with the same model make a pool",
        options=OllamaOptions,
        make=lambda spec, given, slots: ollama_hosts(spec.removeprefix(_PREFIX), given, slots),
        takes=lambda spec, _: spec.startswith(_PREFIX),
        instead={**dict.fromkeys(("api_base", "base_url"), "Use `host=`"), "api_key": "Set OLLAMA_API_KEY instead"},
        otherwise="Its server needs none: leave it out",
    )
)
