"""The running command, in the form that a run stores to repeat it."""

import os
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

__all__ = ["invoked_command"]

# Options that a repetition sets itself or must not repeat; a study's URL may contain a password.
_NOT_STORED = {"as_json", "events", "quiet", "dry_run", "gate", "new", "fork", "rescore", "run", "spec", "study_url"}


def invoked_command(*, run: str, spec: str | None) -> dict[str, Any]:
    """Return the running verb and its explicit options as `arguments`, and the current `folder`.

    Args:
        run: the run's name.
        spec: the model, if an option or the environment names it.
    """
    context = click.get_current_context()
    arguments = [str(context.info_name)]
    for parameter in context.command.params:
        name = str(parameter.name)
        if name in _NOT_STORED or context.get_parameter_source(name) is not ParameterSource.COMMANDLINE:
            continue
        value = context.params[name]
        option = parameter.opts[0]
        if isinstance(value, bool):
            arguments.append(option)
        else:
            for item in value if isinstance(value, tuple) else (value,):
                arguments += [option, str(item)]
    if spec is not None:
        arguments += ["--lm", spec]
    return {"arguments": [*arguments, "--run", run], "folder": os.fspath(Path.cwd())}
