"""`tunesmith report`: write the HTML page of a run."""

from pathlib import Path

from tunesmith.cli.choosing import allow_imports
from tunesmith.cli.failures import DONE
from tunesmith.cli.output import emit, say, say_raw
from tunesmith.errors import UsageError
from tunesmith.evaluation import RunInfo, run_path, runs_in
from tunesmith.experiments import RunRecord, project_root, report_page, write_report

__all__ = ["run"]

_STDOUT = Path("-")


def run(*, name: str | None, out: Path | None, allow: tuple[str, ...], as_json: bool) -> int:
    """Write the page of the run NAME, default the one that was written last; `-` is the standard output."""
    info = _latest() if name is None else RunInfo.of(run_path(name, project_root()))
    allow_imports(allow)
    if out == _STDOUT:
        if as_json:
            raise UsageError("Give one of --out - and --json: both write to the standard output.")
        say_raw(report_page(RunRecord.of(info, texts="ends"), allow=allow).encode())  # as the file has it
        return DONE
    path = write_report(info, out, allow=allow)
    if as_json:
        emit({"run": str(info.path), "report": str(path), "bytes": path.stat().st_size})
    else:
        say(f"The report of {info.path.name} is in {path}")
    return DONE


def _latest() -> RunInfo:
    folder = project_root() / "runs"
    found = runs_in(folder)
    if not found:
        raise UsageError(
            f"There is no run in {str(folder)!r} to report on. `tunesmith compile` and `tunesmith demo` make one."
        )
    return max(found, key=lambda info: info.changed)
