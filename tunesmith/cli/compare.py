"""`tunesmith compare`: a leaderboard of runs."""

from tunesmith.cli.choosing import current_project
from tunesmith.cli.failures import DONE
from tunesmith.cli.output import emit, note, say, say_table
from tunesmith.errors import UsageError
from tunesmith.evaluation import RunInfo, run_path, runs_in
from tunesmith.experiments import compare_runs

__all__ = ["run"]


def run(
    *, names: tuple[str, ...], split: str | None, against: str | None, as_csv: bool, markdown: bool, as_json: bool
) -> int:
    """Compare the runs."""
    if as_csv + markdown + as_json > 1:
        raise UsageError("Give one of --csv, --markdown and --json.")
    found = compare_runs(_runs(names), split=split, reference=against)
    if as_json:
        emit(found.to_json())
    elif as_csv:
        say(found.to_csv().rstrip("\n"))
    elif markdown:
        say(found.to_markdown())
    else:
        say_table(found.cells())
        for text in found.notes:
            note(text)
    return DONE


def _runs(names: tuple[str, ...]) -> list[RunInfo]:
    root = current_project().root
    if names:
        return [RunInfo.of(run_path(name, root)) for name in names]
    return [info for info in runs_in(root / "runs") if info.state == "done"]
