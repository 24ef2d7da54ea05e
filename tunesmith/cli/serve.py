"""`tunesmith serve`: answer over HTTP with artifacts."""

import json
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunesmith.artifacts import verify
from tunesmith.cli.choosing import artifact_spec, chosen_artifact, chosen_lm, chosen_spec
from tunesmith.cli.failures import DONE
from tunesmith.cli.fields import json_values, pairs_of, typed_pairs
from tunesmith.cli.output import emit, say
from tunesmith.errors import TunesmithError, UsageError, shown
from tunesmith.lazy import lazy_module
from tunesmith.lm import LM
from tunesmith.modules import Module, program_inputs

if TYPE_CHECKING:
    import httpx
else:
    httpx = lazy_module("httpx")

__all__ = ["run"]

_TOKEN = "TUNESMITH_SERVE_TOKEN"
_LONGEST_TOKEN = 4096  # bytes; /dev/zero has no end


def run(
    *,
    artifacts: tuple[str, ...],
    host: str,
    port: int,
    token_file: Path | None,
    origin: tuple[str, ...],
    spec: str | None,
    slots: int | None,
    any_model: bool,
    no_store: bool,
    allow: tuple[str, ...],
    trusted: tuple[Path, ...],
    deadline: float,
    in_flight: int,
    max_body: int,
    max_text: int,
    max_batch: int,
    drain: float,
    feedback: Path | None,
    canary: tuple[str, ...],
    share: float,
    shadow: tuple[str, ...],
    no_page: bool,
    ask: tuple[str, ...],
    otel: bool,
    log_prompts: bool,
    as_json: bool,
) -> int:
    """Serve ARTIFACTS until a signal."""
    try:
        from tunesmith.serve import (
            FeedbackFolder,
            JsonLog,
            Limits,
            Service,
            check_address,
            names_of,
            run_server,
        )
    except ImportError as error:
        raise UsageError(f"Serving needs {error.name}. Run `pip install 'tunesmith[serve]'`.") from error
    limits = Limits(
        body_bytes=max_body, text=max_text, batch=max_batch, in_flight=in_flight, deadline=deadline, drain_seconds=drain
    )
    token = _token(token_file)
    check_address(host, token)
    log = JsonLog(sys.stderr)
    warnings.showwarning = lambda message, *_, **__: log.write("warning", level="warning", message=str(message))
    model = _models(spec, slots, store=not no_store)
    tracer = _tracer() if otel else None

    def loaded(path: Path, lm: LM) -> Module:
        return chosen_artifact(path, allow, lm, trusted=trusted)

    first, second, third = (_loader(_named(given), loaded, model) for given in (artifacts, canary, shadow))
    service = Service(
        first,
        seconds=_seconds(second, third, share),
        limits=limits,
        token=token,
        hosts=names_of(host, token),
        origins=origin,
        log=log,
        shows_texts=log_prompts,
        any_model=any_model,
        feedback=None if feedback is None else FeedbackFolder(feedback),
        page=not no_page,
        tracer=tracer,
    )
    question = _Question(service, ask, token) if ask else None
    try:
        run_server(service, host=host, port=port, log=log, started=None if question is None else question.put)
    finally:
        if tracer is not None:
            tracer.close()
    if question is not None:
        question.say(as_json=as_json)
    return DONE


def _tracer() -> Any:
    try:
        from tunesmith.serve import Tracer
    except ImportError as error:
        raise UsageError(f"--otel needs {error.name}. Run `pip install 'tunesmith[otel]'`.") from error
    return Tracer()


class _Question:
    """One question that is asked over HTTP as soon as the service answers; then the service is told to stop.

    Raises:
        UsageError: the fields are not the program's.
    """

    def __init__(self, service: Any, pairs: tuple[str, ...], token: str | None) -> None:
        self._endpoint = next(iter(service.endpoints.values()))
        inputs = program_inputs(self._endpoint.program)
        self._inputs = json_values(typed_pairs(pairs_of(pairs, inputs), inputs).items())
        self._headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        self._limit = service.desk.limits.deadline + 10
        self._found: httpx.Response | Exception | None = None

    def put(self, url: str) -> None:
        """Ask in a thread of its own: this one answers."""
        self._url = f"{url}{self._endpoint.prefix}/predict"
        threading.Thread(target=self._ask, daemon=True).start()

    def _ask(self) -> None:
        try:
            self._found = httpx.post(
                self._url, json=self._inputs, headers=self._headers, timeout=self._limit, trust_env=False
            )
        except httpx.HTTPError as error:
            self._found = error
        finally:
            os.kill(os.getpid(), signal.SIGTERM)

    def say(self, *, as_json: bool) -> None:
        """Show the answer.

        Raises:
            TunesmithError: there was none.
        """
        if not isinstance(self._found, httpx.Response):
            raise TunesmithError(f"The service did not answer at {self._url}: {self._found}. See its log above.")
        if not self._found.is_success:
            raise TunesmithError(f"The service answered with {self._found.status_code}: {self._found.text}")
        if as_json:
            emit(self._found.json())
            return
        say(f"POST {self._url} {json.dumps(self._inputs, ensure_ascii=False)}")
        say(self._found.text)


def _token(file: Path | None) -> str | None:
    """Return the token in the file, else in the environment, else `None`."""
    if file is None:
        return os.environ.get(_TOKEN) or None
    try:
        with file.open("rb") as opened:  # a pipe will do, as in `--token-file <(pass show token)`
            raw = opened.read(_LONGEST_TOKEN + 1)
        text = raw.decode().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"The token file {str(file)!r} cannot be read: {error}.") from error
    if len(raw) > _LONGEST_TOKEN:
        raise UsageError(
            f"The token file {str(file)!r} holds more than {_LONGEST_TOKEN} bytes. Give a file with the token alone."
        )
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
    folders: Mapping[str, Path], loaded: Callable[[Path, LM], Module], model: Callable[[Path], LM]
) -> Callable[[], dict[str, tuple[Module, Any]]]:
    def load() -> dict[str, tuple[Module, Any]]:
        for folder in folders.values():
            verify(folder)  # before a model is missed that a damaged artifact has no use for
        models = {name: model(folder) for name, folder in folders.items()}
        return {name: (loaded(folder, models[name]), models[name]) for name, folder in folders.items()}

    return load


def _models(spec: str | None, slots: int | None, *, store: bool) -> Callable[[Path], LM]:
    @cache  # a model is loaded once, however often its artifacts are
    def model(named: str | None) -> LM:
        return chosen_lm(named, slots=slots, store=store)

    return lambda folder: model(chosen_spec(spec) or artifact_spec(folder, providers=True))


def _seconds(
    canaries: Callable[[], dict[str, tuple[Module, Any]]],
    shadows: Callable[[], dict[str, tuple[Module, Any]]],
    share: float,
) -> Callable[[], dict[str, Any]]:
    from tunesmith.serve import Second

    def load() -> dict[str, Any]:
        found = {name: Second(program, lm) for name, (program, lm) in shadows().items()}
        for name, (program, lm) in canaries().items():
            if name in found:
                raise UsageError(f"{name or 'The program'} has a canary and a shadow. Give one of the two.")
            found[name] = Second(program, lm, share)
        return found

    return load
