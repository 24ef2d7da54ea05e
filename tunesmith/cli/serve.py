"""`tunesmith serve`: answer over HTTP with artifacts."""

import os
import sys
import warnings
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from tunesmith.artifacts import verify
from tunesmith.cli.choosing import chosen_artifact, chosen_lm, chosen_spec
from tunesmith.cli.failures import DONE
from tunesmith.errors import UsageError, shown
from tunesmith.lm import LM
from tunesmith.modules import Module

__all__ = ["run"]

_TOKEN = "TUNESMITH_SERVE_TOKEN"


def run(
    *,
    artifacts: tuple[str, ...],
    host: str,
    port: int,
    token_file: Path | None,
    spec: str | None,
    slots: int | None,
    any_model: bool,
    no_store: bool,
    allow: tuple[str, ...],
    deadline: float,
    in_flight: int,
    max_body: int,
    max_text: int,
    max_batch: int,
    drain: float,
    log_prompts: bool,
) -> int:
    """Serve ARTIFACTS until a signal."""
    try:
        from tunesmith.serve import LOOPBACK, JsonLog, Limits, Service, check_address, is_loopback, run_server
    except ImportError as error:
        raise UsageError(f"Serving needs {error.name}. Run `pip install 'tunesmith[serve]'`.") from error
    limits = Limits(
        body_bytes=max_body, text=max_text, batch=max_batch, in_flight=in_flight, deadline=deadline, drain_seconds=drain
    )
    token = _token(token_file)
    check_address(host, token)
    log = JsonLog(sys.stderr)
    warnings.showwarning = lambda message, *_, **__: log.write("warning", level="warning", message=str(message))
    service = Service(
        _loader(_named(artifacts), allow, spec=spec, slots=slots, store=not no_store),
        limits=limits,
        token=token,
        hosts=LOOPBACK if token is None and is_loopback(host) else None,
        log=log,
        shows_texts=log_prompts,
        any_model=any_model,
    )
    run_server(service, host=host, port=port, log=log)
    return DONE


def _token(file: Path | None) -> str | None:
    """Return the token in the file, else in the environment, else `None`."""
    if file is None:
        return os.environ.get(_TOKEN) or None
    try:
        text = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"The token file {str(file)!r} cannot be read: {error}.") from error
    if not text:
        raise UsageError(f"The token file {str(file)!r} is empty. Write the token into it.")
    return text


def _named(arguments: tuple[str, ...]) -> dict[str, Path]:
    """Return the artifacts' folders by name; the name of the one without is empty."""
    found: dict[str, Path] = {}
    for argument in arguments:
        name, equals, path = argument.partition("=")
        name, folder = (name, path) if equals and not Path(argument).is_dir() else ("", argument)
        if name in found:
            raise UsageError(
                f"Two artifacts have {f'the name {shown(name)}' if name else 'no name'}. Write NAME=ARTIFACT."
            )
        found[name] = Path(folder)
    return found


def _loader(
    folders: Mapping[str, Path], allow: tuple[str, ...], *, spec: str | None, slots: int | None, store: bool
) -> Callable[[], dict[str, tuple[Module, Any]]]:
    @cache  # a model is loaded once, however often its artifact is
    def model(named: str | None) -> LM:
        return chosen_lm(named, slots=slots, store=store)

    def load() -> dict[str, tuple[Module, Any]]:
        models = {name: model(chosen_spec(spec) or _spec_in(folder)) for name, folder in folders.items()}
        return {name: (chosen_artifact(folder, allow, models[name]), models[name]) for name, folder in folders.items()}

    return load


def _spec_in(folder: Path) -> str | None:
    """Return the spec of the model that an artifact names, `None` if it names none that can be had by name alone."""
    identity = verify(folder).lm
    engine, _, _ = str(identity["backend"]).partition(" ")
    name = str(identity["model"])
    return {"ollama": f"ollama/{name}", "llamacpp": name, "dspy": name}.get(engine)
