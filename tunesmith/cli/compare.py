"""`tunesmith compare`: a leaderboard of runs, or of the cells of a file of results."""

from pathlib import Path

from tunesmith.cli.failures import DONE
from tunesmith.cli.output import emit, heading, note, say, say_table
from tunesmith.errors import UsageError
from tunesmith.evaluation import RunInfo, run_path, runs_in
from tunesmith.experiments import Comparison, Leaderboard, compare_runs, project_root

__all__ = ["run"]


def run(
    *,
    names: tuple[str, ...],
    split: str | None,
    against: str | None,
    by: tuple[str, ...],
    as_csv: bool,
    markdown: bool,
    as_json: bool,
) -> int:
    """Compare the runs, or the arms of a file of results."""
    if as_csv + markdown + as_json > 1:
        raise UsageError("Give one of --csv, --markdown and --json.")
    files = [Path(name) for name in names if _is_file(name)]
    found: Comparison | Leaderboard
    if files:
        if len(names) > 1 or split or by:
            raise UsageError(f"A file of results is compared by itself, without --on and --by. Given: {files[0]}.")
        found = Leaderboard.read(files[0], reference=against)
    else:
        found = compare_runs(_runs(names), split=split, reference=against, by=by)
    if as_json:
        emit(found.to_json())
    elif as_csv:
        say(found.to_csv().rstrip("\n"))
    elif markdown:
        say(found.to_markdown())
    else:
        _show(found)
    return DONE


def _is_file(name: str) -> bool:
    return name.endswith(".json") and Path(name).is_file()


def _show(found: Comparison | Leaderboard) -> None:
    if isinstance(found, Leaderboard):
        for board in found.tasks:
            heading(board.task)
            say_table(found.cells(board))
    else:
        say_table(found.cells())
    for text in found.notes:
        note(text)


def _runs(names: tuple[str, ...]) -> list[RunInfo]:
    root = project_root()
    if names:
        return [RunInfo.of(run_path(name, root)) for name in names]
    return [info for info in runs_in(root / "runs") if info.state == "done"]
