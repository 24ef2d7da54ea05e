"""The Ollama server as the command line sees it: what is there, what is loaded, what to set."""

from typing import Any

from tunesmith.cli.output import bytes_text
from tunesmith.errors import ModelError, UsageError
from tunesmith.lm import ModelFacts, is_cloud_name, ollama_server

__all__ = [
    "OLLAMA",
    "cloud_advice",
    "model_details",
    "server_advice",
    "server_state",
    "server_states",
    "server_text",
]

OLLAMA = "ollama/"
"""What a spec of a model on an Ollama server begins with."""

_OPENAI = "openai/"
_PATIENCE = {"timeout": 8.0, "attempts": 1}  # looking may not take long
_DEFAULT_CONTEXT = 8192
_OLLAMA_CONTEXT = 4096  # what `ollama run` asks for, where no large graphics card is


def server_states(spec: str | None, options: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the state of every Ollama server that there is to look at, the usual one first; see `server_state`.

    Args:
        spec: of the model that is used.
        options: of `ts.lm`: `host` and, of `openai/<model>`, `base_url`, behind which there may be an Ollama server.
    """
    found = [server_state(one, spec) for one in _several(options.get("host"))]
    if spec is not None and spec.startswith(_OPENAI) and options.get("base_url") is not None:
        name = spec.removeprefix(_OPENAI)
        roots = [str(url).rstrip("/").removesuffix("/v1") for url in _several(options["base_url"])]
        found += [state for root in roots if (state := server_state(root, OLLAMA + name))["version"] is not None]
    return found


def _several(given: Any) -> list[Any]:
    return given if isinstance(given, list) and given else [given]


def cloud_advice(spec: str | None, options: dict[str, Any], states: list[dict[str, Any]]) -> list[str]:
    """Return what to know of a model that another machine answers for.

    Args:
        spec: of the model that is used.
        options: of `ts.lm`.
        states: of the servers.
    """
    for start in (OLLAMA, _OPENAI, "ollama_chat/"):
        if spec is not None and spec.startswith(start):
            name = spec.removeprefix(start)
            if not is_cloud_name(name) and not any((state["model"] or {}).get("cloud") for state in states):
                return []
            leave = "`cloud = true` gives leave" if options.get("cloud") else "it is not asked without `cloud = true`"
            return [f"{name} is a cloud model: your texts would leave this machine; {leave}."]
    return []


def server_state(host: str | None, spec: str | None) -> dict[str, Any]:
    """Return what there is at `host` (by default OLLAMA_HOST), as JSON values; `problem` says why there is nothing.

    Args:
        host: of the server.
        spec: of the model that is used, which is looked at more closely where it is on this server.
    """
    found: dict[str, Any] = {
        "address": None,
        "version": None,
        "models": None,
        "loaded": None,
        "model": None,
        "problem": None,
    }
    try:
        server = ollama_server(host, **_PATIENCE)
    except UsageError as error:
        return {**found, "problem": str(error)}
    found["address"] = server.address
    try:
        found["version"] = server.version().text
        found["models"] = [
            {"name": m.name, "bytes": m.size, "digest": m.digest, "cloud": m.remote or is_cloud_name(m.name)}
            for m in server.models()
        ]
        found["loaded"] = [
            {"name": m.name, "context": m.context, "bytes": m.size, "vram_bytes": m.vram, "expires": m.expires}
            for m in server.loaded()
        ]
        if spec is not None and spec.startswith(OLLAMA):
            found["model"] = model_details(server.facts(spec.removeprefix(OLLAMA)))
    except ModelError as error:
        found["problem"] = str(error)
    finally:
        server.close()
    return found


def model_details(facts: ModelFacts) -> dict[str, Any]:
    """Return what a server says about a model, as JSON values."""
    return {
        "name": facts.name,
        "digest": facts.digest,
        **dict(facts.details),
        "trained_context": facts.trained_context,
        "capabilities": None if facts.capabilities is None else sorted(facts.capabilities),
        "stop": list(facts.stops),
        "cloud": facts.remote or is_cloud_name(facts.name),
        "system": facts.own.system or None,
        "messages": [{"role": role, "content": content} for role, content in facts.own.messages],
    }


def _usual(context: int) -> str:
    return ", which `ollama run` asks for by default" if context == _OLLAMA_CONTEXT else ""


def _own_turns_advice(model: dict[str, Any]) -> list[str]:
    """Say which texts the server puts into every prompt, and which it leaves out."""
    name, found = model["name"], []
    if model["messages"]:
        found.append(
            f"{name} has {len(model['messages'])} messages of its own (MESSAGE), which its server puts before every "
            f"prompt; `tunesmith models show` shows them. Use a model without, for prompts as they were compiled."
        )
    if model["system"]:
        found.append(
            f"{name} has a system text of its own (SYSTEM), which its server leaves out here: tunesmith's prompts "
            "begin with a system message."
        )
    return found


def server_text(state: dict[str, Any]) -> str:
    """Return the state of a server in a line."""
    if state["version"] is None:
        return f"no server at {state['address']}" if state["address"] else str(state["problem"])
    loaded = [
        f"{m['name']} ({m['context'] or 'unknown'} tokens of context, {bytes_text(m['bytes'] or 0)})"
        for m in state["loaded"] or ()
    ]
    names = ", ".join(m["name"] for m in state["models"] or ())
    memory = f"; in memory: {', '.join(loaded)}" if loaded else "; nothing in memory"
    return f"{state['version']} at {state['address']}, models: {names or 'none'}{memory}"


def server_advice(state: dict[str, Any], spec: str | None, num_ctx: int | None) -> list[str]:
    """Return what to set so that the model `spec` on this server serves tunesmith well.

    Args:
        state: of the server.
        spec: the model in use, `None` for none.
        num_ctx: the context that is asked for, `None` for the default.
    """
    model = state["model"]
    if model is None or spec is None:
        return []
    found = _own_turns_advice(model)
    if not spec.startswith(OLLAMA):
        return found
    trained = model["trained_context"]
    wanted = min(trained or _DEFAULT_CONTEXT, _DEFAULT_CONTEXT) if num_ctx is None else num_ctx
    name = model["name"]
    here = next((m for m in state["loaded"] if m["name"].removesuffix(":latest") == name.removesuffix(":latest")), None)
    if here is not None and here["context"] not in (None, wanted):
        found.append(
            f"{name} is in memory with {here['context']} tokens of context{_usual(here['context'])}, and {wanted} are "
            "asked for: each change loads it again, which takes seconds. Set "
            f"`num_ctx = {here['context']}` under [lm], or OLLAMA_CONTEXT_LENGTH={wanted} for the server."
        )
    if trained is not None and num_ctx is not None and num_ctx > trained:
        found.append(f"{name} was trained for {trained} tokens of context: `num_ctx = {num_ctx}` brings no more.")
    if here is not None and here["bytes"] and here["vram_bytes"] and here["vram_bytes"] < here["bytes"]:
        share = here["vram_bytes"] / here["bytes"]
        found.append(f"Only {share:.0%} of {name} is on the graphics card: a smaller `num_ctx` makes room.")
    if "thinking" in (model["capabilities"] or ()):
        found.append(f"{name} can think. It is off; set `think = true` in `ts.lm(...)` to let it, at many more tokens.")
    return found
