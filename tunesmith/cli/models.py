"""`tunesmith models`: the weight files on this machine, and the models of an Ollama server."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import click

from tunesmith.cli.failures import DONE
from tunesmith.cli.output import bytes_text, emit, note, say, say_table
from tunesmith.cli.servers import OLLAMA, model_details, server_state
from tunesmith.errors import UsageError
from tunesmith.lm import ModelInfo, list_models, models_dir, ollama_server, pull, show

__all__ = ["list_all", "pull_model", "pull_shown", "show_model"]

_Tell = Callable[[int, int | None], None]


def list_all(*, host: str | None, as_json: bool, quiet: bool) -> int:
    """List the downloaded weight files, and the models of the Ollama server if it is running."""
    found = list_models()
    server = server_state(host, None)
    if host is not None and server["problem"] is not None:
        raise UsageError(server["problem"])
    if server["problem"] is not None and os.environ.get("OLLAMA_HOST"):
        note(server["problem"], quiet=quiet)
    if as_json:
        emit({"folder": str(models_dir()), "models": [_json(info) for info in found], "server": server})
        return DONE
    rows = [(info.name, bytes_text(info.size), info.licence or "-") for info in found]
    rows += [
        (f"{OLLAMA}{m['name']}", "cloud" if m["cloud"] else bytes_text(m["bytes"] or 0), "-")
        for m in server["models"] or ()
    ]
    if rows:
        say_table([("name", "size", "licence"), *rows])
    if not found:
        say(f"No weight files in {models_dir()}. Get the small one with `tunesmith models pull embedded`.")
    if server["models"] == []:
        say(f"No models on the Ollama server at {server['address']}. Get one with `tunesmith models pull ollama/NAME`.")
    return DONE


def pull_model(*, name: str, host: str | None, as_json: bool, quiet: bool) -> int:
    """Download a model if it is missing or damaged: `embedded`, or `ollama/NAME` on the server."""
    if name.startswith(OLLAMA):
        address = _pull_served(_served_name(name), host, quiet=quiet)
        found = {"name": name, "path": None, "server": address}
    else:
        path = pull_shown(name, quiet=quiet)
        found = {"name": name, "path": str(path), "server": None}
    if as_json:
        emit(found)
    else:
        say(str(found["path"] or f"{name} is on {found['server']}"))
    return DONE


def show_model(*, name: str, host: str | None, as_json: bool) -> int:
    """Show a model's place, size, digest and licence, and its details on the server."""
    found = _json_served(name, host) if name.startswith(OLLAMA) else _json(show(name))
    if as_json:
        emit(found)
        return DONE
    for label, value in found.items():
        if label != "details":
            say(f"{label}: {value if value is not None else 'unknown'}")
    for label, value in found["details"].items():
        say(f"{label}: {_described(label, value)}")
    return DONE


def _described(label: str, value: Any) -> str:
    if label == "messages":
        turns = [f"\n  {turn['role']}: {turn['content']}" for turn in value]
        return "".join(("before every prompt", *turns)) if turns else "none of its own"
    if label == "system":
        return f"left out, since prompts begin with a system message: {value}" if value else "none of its own"
    if label == "cloud":
        return "yes, so texts leave this machine; it is not asked without `cloud=True`" if value else "no"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def pull_shown(name: str, *, quiet: bool) -> Path:
    """Pull a weight file with a progress bar on stderr.

    Raises:
        UsageError: the name is unknown.
        ModelMissing: the download failed.
    """
    if quiet:
        return pull(name)
    with _bar(name) as tell:
        return pull(name, progress=tell)


@contextmanager
def _bar(name: str) -> Iterator[_Tell]:
    with click.progressbar(length=0, label=f"pulling {name}", file=sys.stderr, show_pos=False) as bar:

        def tell(done: int, total: int | None) -> None:
            bar.length = total
            bar.update(done - bar.pos)

        yield tell


def _pull_served(name: str, host: str | None, *, quiet: bool) -> str:
    """Let the server pull a missing model, with a progress bar on stderr, and return the server's address.

    Raises:
        ModelMissing: the server cannot pull it.
        ModelUnavailable: the server does not respond.
    """
    server = ollama_server(host)
    with nullcontext() if quiet else _bar(name) as tell:
        pulled = server.pull(name, lambda _, done, total: tell(done, total) if tell and total else None)
    if not pulled:
        note(f"{name} is already on the server; `ollama pull {name}` updates it", quiet=quiet)
    return server.address


def _served_name(name: str) -> str:
    found = name.removeprefix(OLLAMA)
    if not found:
        raise UsageError(f"`{OLLAMA}` must be followed by a model name, as in `{OLLAMA}llama3.2`.")
    return found


def _json(info: ModelInfo) -> dict[str, Any]:
    return {
        "name": info.name,
        "path": str(info.path),
        "bytes": info.size,
        "sha256": info.sha256,
        "licence": info.licence,
        "server": None,
        "details": {},
    }


def _json_served(name: str, host: str | None) -> dict[str, Any]:
    server = ollama_server(host)
    facts = server.facts(_served_name(name))
    size = next((m.size for m in server.models() if m.digest is not None and m.digest == facts.digest), None)
    licence = dict(facts.texts).get("license", "").strip().splitlines()
    return {
        "name": name,
        "path": None,
        "bytes": size,
        "sha256": facts.digest,
        "licence": licence[0].strip() if licence else None,
        "server": server.address,
        "details": model_details(facts),
    }
