"""The command that is running, as it is kept with a run so that it can be repeated."""

import os
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

__all__ = ["invoked_command"]

# What a repetition chooses for itself, or must not do twice; a study's URL may hold a password.
_NOT_KEPT = {"as_json", "quiet", "dry_run", "gate", "new", "fork", "rescore", "run", "spec", "study_url"}


def invoked_command(*, run: str, spec: str | None) -> dict[str, Any]:
    """Return the running verb with the options it was given: `arguments`, and the `folder` they were given in.

    Args:
        run: the run's name.
        spec: the model, where an option or the environment named it.
    """
    context = click.get_current_context()
    arguments = [str(context.info_name)]
    for parameter in context.command.params:
        name = str(parameter.name)
        if name in _NOT_KEPT or context.get_parameter_source(name) is not ParameterSource.COMMANDLINE:
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
