"""`tunesmith config`: the settings of the project, and where each comes from."""

import json
import os
from typing import Any

from tunesmith.cli.choosing import changed_project
from tunesmith.cli.failures import DONE
from tunesmith.cli.output import emit, note, say, say_table
from tunesmith.errors import masked
from tunesmith.experiments import mistaken_variables

__all__ = ["run"]

_WIDEST = 100  # characters of a value


def run(
    *,
    program: str | None,
    spec: str | None,
    slots: int | None,
    prompt_lm: str | None,
    judge_lm: str | None,
    as_json: bool,
    **options: Any,
) -> int:
    """Print every setting with its place."""
    models = {"lm": {"spec": spec, "slots": slots}, "prompt_lm": {"spec": prompt_lm}, "judge_lm": {"spec": judge_lm}}
    project = changed_project(slots=slots, **options).changed(program=program, **models)
    found = {name: (_shown(name, value), place) for name, (value, place) in project.resolved().items()}
    path = None if project.path is None else str(project.path)
    notes = mistaken_variables(os.environ)
    if as_json:
        settings = {name: {"value": value, **place.to_json()} for name, (value, place) in found.items()}
        emit({"file": path, "settings": settings, "notes": notes})
        return DONE
    say(f"project: {path or 'none in this folder or above it'}")
    given = [(name, value, place) for name, (value, place) in found.items() if value is not None]
    say_table([("setting", "value", "from"), *((name, _text(value), str(place)) for name, value, place in given)])
    if any(_text(value).endswith("…") for _, value, _ in given):
        note("A value that ends with … is longer: --json has all of it.")
    for text in notes:
        note(text)
    return DONE


def _shown(name: str, value: Any) -> Any:
    """Return the value without what may be secret: a key that stands where the name of its variable should, too."""
    if name.endswith(".api_key_env") and value is not None and value not in os.environ:
        return "***"
    if isinstance(value, dict):
        return {key: _shown(name, one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_shown(name, one) for one in value]
    return masked(value) if isinstance(value, str) else value


def _text(value: Any) -> str:
    """Return the value in one line that leaves the table its width."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    text = " ".join(text.split())
    return text if len(text) <= _WIDEST else f"{text[: _WIDEST - 1]}…"
