"""`tunesmith doctor`: report the installation, and measure the model with `--probe`."""

import importlib.metadata
import os
import platform
import shutil
from collections.abc import Callable
from typing import Any

from tunesmith.cli.choosing import chosen_model, chosen_spec, current_project
from tunesmith.cli.failures import DONE, ERROR
from tunesmith.cli.output import bytes_text, emit, heading, note, say, say_table
from tunesmith.cli.probing import Probe, Repeats, probe
from tunesmith.cli.servers import OLLAMA, cloud_advice, server_advice, server_states, server_text
from tunesmith.errors import ModelMissing, TunesmithError, UsageError, counted
from tunesmith.experiments import Project
from tunesmith.lm import embedded_path, engine_kind, home, list_models, lm, reply_cache

__all__ = ["run"]

_PACKAGES = ("tunesmith", "dspy", "optuna", "pydantic", "diskcache", "ollama", "xllamacpp", "click", "rich")
_VARIABLES = (
    "TUNESMITH_HOME",
    "TUNESMITH_LM",
    "TUNESMITH_SLOTS",
    "TUNESMITH_PATIENCE",
    "TUNESMITH_DEBUG",
    "OLLAMA_HOST",
)
_LOW_DISK = 500 * 10**6


def run(*, wants_probe: bool, spec: str | None, as_json: bool, quiet: bool) -> int:
    """Report the installation, its folders, and problems."""
    problems: list[str] = []
    found: dict[str, Any] = {
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in _PACKAGES}},
        "platform": platform.platform(),
        "cores": _cores(),
        "environment": {name: os.environ[name] for name in _VARIABLES if name in os.environ},
        "home": _try(_home, problems),
        "models": _try(_models, problems),
        "cache": _try(_cache, problems),
        "project": _try(_project, problems),
    }
    chosen, options = _chosen(spec, problems)
    if wants_probe:
        measured = _probed(chosen, options, quiet=quiet)
        found["probe"] = measured.to_json()
    states = server_states(chosen, options)
    advice = list(dict.fromkeys(text for one in states for text in server_advice(one, chosen, options.get("num_ctx"))))
    advice += cloud_advice(chosen, options, states)
    if chosen is not None and chosen.startswith(OLLAMA):
        problems += [state["problem"] for state in states if state["problem"] is not None]
    if chosen is not None and _is_made_here(chosen, options):
        _try(lambda: lm(chosen, **{**options, "cache": False}), problems)
    found |= {"ollama": states[0], "other_hosts": states[1:], "advice": advice}
    if as_json:
        emit({**found, "problems": problems})
    else:
        _say(found)
        for problem in problems:
            say(f"Problem: {problem}")
        for line in advice:
            say(f"Advice: {line}")
        if wants_probe:
            _say_probe(measured)
    if problems:
        note(f"error: {counted(len(problems), 'problem')} found.")
        return ERROR
    return DONE


def _try(look: Callable[[], Any], problems: list[str]) -> Any:
    try:
        return look()
    except TunesmithError as error:
        problems.append(str(error))
        return None


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _cores() -> dict[str, int | None]:
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {"there": os.cpu_count(), "usable": usable}


def _home() -> dict[str, Any]:
    folder = home()
    return {"folder": str(folder), "free_bytes": shutil.disk_usage(folder).free}


def _models() -> list[dict[str, Any]]:
    return [{"name": info.name, "path": str(info.path), "bytes": info.size} for info in list_models()]


def _cache() -> dict[str, Any]:
    stats = reply_cache().stats()
    return {"rows": stats.rows, "bytes": stats.bytes}


def _project() -> str | None:
    found = Project.find()
    return None if found is None else str(found.path)


def _chosen(given: str | None, problems: list[str]) -> tuple[str | None, dict[str, Any]]:
    """Return the spec and the options of the model; none for a broken project file, which is reported elsewhere."""
    try:
        project = current_project()
    except UsageError:
        return given, {}
    return _try(lambda: chosen_model(given, project), problems) or (chosen_spec(given, project), {})


def _is_made_here(spec: str, options: dict[str, Any]) -> bool:
    """Return whether the model can be created, to validate its spec and options, without asking a server."""
    if isinstance(options.get("host"), list) or isinstance(options.get("base_url"), list):
        return False
    return "/" not in spec or not engine_kind(spec, options).asks


def _probed(chosen: str | None, options: dict[str, Any], *, quiet: bool) -> Probe:
    if chosen is None:
        try:
            embedded_path()
        except ModelMissing as error:
            raise UsageError(
                "There is no model to probe. Pass --lm SPEC, set TUNESMITH_LM, write `spec` under [lm] in "
                "tunesmith.toml, or download the embedded model with `tunesmith models pull embedded`."
            ) from error
        chosen = "embedded"
    note(f"measuring {chosen}", quiet=quiet)
    return probe(chosen, options=options)


def _say(found: dict[str, Any]) -> None:
    rows = [(name, version or "not installed") for name, version in found["versions"].items()]
    say_table([("package", "version"), *rows])
    say()
    cores = found["cores"]
    say(f"platform: {found['platform']}, {cores['usable']} of {cores['there']} cores usable")
    home_, cache = found["home"], found["cache"]
    if home_ is not None:
        low = " (low)" if home_["free_bytes"] < _LOW_DISK else ""
        say(f"home:     {home_['folder']}, {bytes_text(home_['free_bytes'])} free{low}")
    if found["models"] is not None:
        names = ", ".join(model["name"] for model in found["models"])
        say(f"models:   {names or 'none; download a small one with `tunesmith models pull embedded`'}")
    if cache is not None:
        say(f"cache:    {cache['rows']:,} replies, {bytes_text(cache['bytes'])}")
    for state in (found["ollama"], *found["other_hosts"]):
        say(f"ollama:   {server_text(state)}")
    say(f"project:  {found['project'] or 'no tunesmith.toml in this folder or above'}")
    for name, value in found["environment"].items():
        say(f"{name}={value}")


def _say_probe(found: Probe) -> None:
    heading(f"Probe of {found.spec}")
    say(f"load and first call:  {found.load_seconds:.2f} s")
    say(f"reads:                {_rate(found.prompt_tokens_per_second, 'the engine counts no tokens')}")
    say(f"writes:               {_rate(found.generation_tokens_per_second, found.unknown)}")
    say(f"two requests at once: {found.speedup:.2f} times as fast as one after the other")
    say(f"repeats itself:       {_repeated(found.repeats)}")
    say(f"holds replies:        {_HOLDS[found.holds]}")
    say(found.advice)


_HOLDS = {True: "to a schema or grammar", False: "no, to no schema that is sent", None: "the engine takes no schema"}


def _rate(value: float | None, unknown: str) -> str:
    return f"unknown: {unknown}" if value is None else f"{value:,.0f} tokens a second"


def _repeated(found: Repeats) -> str:
    replies = (
        f"{found.at_once} of {found.times} replies at once, {found.after_another} of {found.times} after another one"
    )
    apart = "unknown" if found.apart is None else f"up to {found.apart:.3f} apart" if round(found.apart, 3) else "equal"
    return f"{replies}; log-probabilities {apart}"
