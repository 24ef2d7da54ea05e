"""The state of an Ollama server for the command line: its models, loaded models, and advice."""

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
"""The prefix of a spec for a model on an Ollama server."""

_OPENAI = "openai/"
_PATIENCE = {"timeout": 8.0, "attempts": 1}  # looking must be fast
_DEFAULT_CONTEXT = 8192
_OLLAMA_CONTEXT = 4096  # the default of `ollama run` without a large graphics card


def server_states(spec: str | None, options: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the state of every configured Ollama server, the default one first; see `server_state`.

    Args:
        spec: the spec of the model in use.
        options: options of `ts.lm`: `host`, and for `openai/<model>` `base_url`, which may be an Ollama server.
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
    """Return advice for a cloud model, which sends texts to another machine.

    Args:
        spec: the spec of the model in use.
        options: options of `ts.lm`.
        states: the states of the servers.
    """
    for start in (OLLAMA, _OPENAI, "ollama_chat/"):
        if spec is not None and spec.startswith(start):
            name = spec.removeprefix(start)
            if not is_cloud_name(name) and not any((state["model"] or {}).get("cloud") for state in states):
                return []
            leave = (
                "`cloud = true` allows that" if options.get("cloud") else "tunesmith refuses it without `cloud = true`"
            )
            return [f"{name} is a cloud model, which sends your texts to another machine; {leave}."]
    return []


def server_state(host: str | None, spec: str | None) -> dict[str, Any]:
    """Return the state of the server at `host` (default OLLAMA_HOST) as JSON values; `problem` is its error, if any.

    Args:
        host: the server's address.
        spec: the spec of the model in use; its details are included if it is on this server.
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
    """Return a server's details of a model as JSON values."""
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


def _own_turns_advice(model: dict[str, Any]) -> list[str]:
    """Return advice on a model's own texts, which the server adds to every prompt or drops."""
    name, found = model["name"], []
    if model["messages"]:
        found.append(
            f"{name} has {len(model['messages'])} messages of its own (MESSAGE), which its server puts before every "
            f"prompt; see `tunesmith models show`. Use a model without them to send the compiled prompts unchanged."
        )
    if model["system"]:
        found.append(
            f"{name} has a system text of its own (SYSTEM), which its server drops, because tunesmith's prompts "
            "start with a system message."
        )
    return found


def server_text(state: dict[str, Any]) -> str:
    """Return the state of a server as one line."""
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
    """Return advice on settings for the model `spec` on this server.

    Args:
        state: the state of the server.
        spec: the spec of the model in use, or `None`.
        num_ctx: the requested context, `None` for the default.
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
        usual = ", the default of `ollama run`" if here["context"] == _OLLAMA_CONTEXT else ""
        found.append(
            f"{name} is loaded with {here['context']} tokens of context{usual}, but tunesmith "
            f"requests {wanted}. Each change reloads the model, which takes seconds. Set "
            f"`num_ctx = {here['context']}` under [lm], or OLLAMA_CONTEXT_LENGTH={wanted} for the server."
        )
    if trained is not None and num_ctx is not None and num_ctx > trained:
        found.append(f"{name} was trained for {trained} tokens of context, so `num_ctx = {num_ctx}` has no benefit.")
    if here is not None and here["bytes"] and here["vram_bytes"] and here["vram_bytes"] < here["bytes"]:
        share = here["vram_bytes"] / here["bytes"]
        found.append(f"Only {share:.0%} of {name} is on the graphics card. A smaller `num_ctx` frees memory.")
    if "thinking" in (model["capabilities"] or ()):
        found.append(
            f"{name} can think, which is off. `think = true` in `ts.lm(...)` turns it on and needs many more tokens."
        )
    return found
