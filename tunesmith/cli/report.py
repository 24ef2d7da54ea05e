"""`tunesmith report`: write the HTML page of a run."""

from pathlib import Path

from tunesmith.cli.choosing import allow_imports, current_project
from tunesmith.cli.failures import DONE
from tunesmith.cli.output import emit, say
from tunesmith.errors import UsageError
from tunesmith.evaluation import RunInfo, run_path, runs_in
from tunesmith.experiments import write_report

__all__ = ["run"]


def run(*, name: str | None, out: Path | None, allow: tuple[str, ...], as_json: bool) -> int:
    """Write the page of the run NAME, default the one that was written last."""
    info = _latest() if name is None else RunInfo.of(run_path(name, current_project().root))
    allow_imports(allow)
    path = write_report(info, out, allow=allow)
    if as_json:
        emit({"run": str(info.path), "report": str(path), "bytes": path.stat().st_size})
    else:
        say(f"The report of {info.path.name} is in {path}")
    return DONE


def _latest() -> RunInfo:
    folder = current_project().root / "runs"
    found = runs_in(folder)
    if not found:
        raise UsageError(
            f"There is no run in {str(folder)!r} to report on. `tunesmith compile` and `tunesmith demo` make one."
        )
    return max(found, key=lambda info: info.changed)
