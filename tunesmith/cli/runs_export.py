"""`tunesmith runs export`: write a run to a tracker of experiments."""

from tunesmith.cli.failures import DONE
from tunesmith.cli.output import emit, say
from tunesmith.evaluation import run_path
from tunesmith.experiments import export_run, project_root

__all__ = ["run"]


def run(*, name: str, to: str, experiment: str, at: str | None, files: bool, as_json: bool) -> int:
    """Write a finished run to a tracker of experiments."""
    found = export_run(run_path(name, project_root()), to, experiment=experiment, at=at, files=files)
    if as_json:
        emit({"id": found.id, "place": found.place, "next": found.next})
    else:
        say(f"{name} is the run {found.id} of {experiment} in {found.place}")
        say(f"  {found.next}")
    return DONE
