"""Show reports and compile results to people."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tunesmith.cli.output import heading, say, say_table
from tunesmith.compilers import BadCasesReport, CompileResult, Finding
from tunesmith.errors import counted, shown
from tunesmith.evaluation import Interval, Report
from tunesmith.lm import LM

__all__ = [
    "SECONDS",
    "CacheWatch",
    "interval_text",
    "relative",
    "say_bad_cases",
    "say_diff",
    "say_finding",
    "say_next",
    "say_notes",
    "say_opened",
    "say_reports",
    "say_spent",
    "say_verdict",
    "times",
]


SECONDS = "Seconds are of all calls, added up. Where several run at once, you wait less."
"""Said below a table of what calls took or will take."""
_MOST_SHOWN = 5  # examples


class CacheWatch:
    """Counts new problems of a model's reply cache."""

    def __init__(self, model: LM) -> None:
        self._model, self._before = model, model.cache_trouble

    def to_json(self) -> dict[str, int]:
        """Return the counts for `--json`."""
        corrupt, lost = (now - then for now, then in zip(self._model.cache_trouble, self._before, strict=True))
        return {"corrupt": corrupt, "lost_writes": lost}

    def notes(self) -> tuple[str, ...]:
        """Return a sentence for each kind of problem."""
        found = self.to_json()
        texts = []
        if count := found["corrupt"]:
            texts.append(
                f"{count} cached {'reply was' if count == 1 else 'replies were'} damaged and asked for again; see "
                "`tunesmith cache verify`."
            )
        if count := found["lost_writes"]:
            texts.append(
                f"{counted(count, 'reply', 'replies')} could not be stored: the same command will pay for "
                "them again. Check that the cache's disk has free space and is writable."
            )
        return tuple(texts)


def say_reports(rows: Sequence[tuple[str, Report]], title: str = "program") -> None:
    """Write a table of reports: mean, 95 % interval, n, errors."""
    cells = [(title, "mean", "95 % interval", "n", "errors")]
    for name, report in rows:
        mean = "-" if report.mean is None else f"{report.mean:.3f}"
        cells.append((name, mean, interval_text(report.interval), str(report.n), str(report.errors)))
    say_table(cells, numbers=4)
    for score in {f"{report.worst:g}": None for _, report in rows if report.errors and report.worst}:
        say(f"An error counts as {score}, the lowest score.")


def interval_text(interval: Interval) -> str:
    """Return text such as `0.512 to 0.648`, or `-` without an interval."""
    if interval.low is None or interval.high is None:
        return "-"
    return f"{interval.low:.3f} to {interval.high:.3f}"


def say_verdict(result: CompileResult) -> None:
    """Write the verdict of a compile with its sentence, and how often the test split was opened."""
    validation = result.report.gain
    if result.gain is None and result.report.improved and validation.mean is not None:
        say(
            f"Compiling changed the validation score by {validation.mean:+.3f} on {validation.n} examples "
            f"(95 % interval {interval_text(validation)}), which flatters: the best of {len(result.report.trials)} was "
            "chosen there."
        )
    say_finding(result.finding)
    say_opened(result.opened)


def say_finding(finding: Finding) -> None:
    """Write the finding on a test split."""
    say(f"Verdict `{finding.verdict}`. {finding.sentence}")


def say_opened(count: int | None) -> None:
    """Write how often a test split was opened, because each time makes it weaker as a test."""
    if count is not None:
        say(f"This test split was looked at {times(count)} so far.")


def say_spent(charged: Any, paid: Any) -> None:
    """Write charged and paid usage, and the meaning of the two words."""
    rows = [("", "calls", "tokens", "seconds")]
    for name, spend in (("charged", charged), ("paid now", paid)):
        rows.append((name, f"{spend.calls:,}", f"{spend.tokens:,}", f"{spend.seconds:,.1f}"))
    say_table(rows, numbers=3)
    say("Charged: each distinct call once, as if nothing were cached. Paid now: calls that reached the model.")
    say(SECONDS)


def say_bad_cases(found: BadCasesReport | None) -> None:
    """Write the inputs of bad cases that are still wrong, and of validation examples that broke."""
    if found is None:
        return
    for title, examples in (("Bad cases that are still wrong", found.still_wrong), ("What broke", found.broken)):
        if examples:
            heading(title)
            for example in examples[:_MOST_SHOWN]:
                say(", ".join(f"{name}: {shown(value, 100)}" for name, value in example.inputs().items()))
            if len(examples) > _MOST_SHOWN:
                say(f"and {len(examples) - _MOST_SHOWN} more")


def say_diff(diff: str, unchanged_because: str) -> None:
    """Write the changes of the compile, or why there are none."""
    heading("What compiling changed")
    say(diff if diff.strip() else f"Nothing: {unchanged_because}.")


def say_notes(notes: Sequence[str]) -> None:
    """Write the notes on automatic decisions."""
    for text in notes:
        say(f"Note: {text}")


def say_next(path: Path, inputs: str) -> None:
    """Write the artifact's path and the next commands, with `inputs` for a first prediction."""
    shown = relative(path)
    heading("Next")
    say(f"The artifact is in {shown}")
    say(f"  tunesmith show {shlex.quote(shown)}")
    say(f"  tunesmith predict {shlex.quote(shown)} {inputs}")
    say(f"  tunesmith report {shlex.quote(relative(path.parent))}")


def times(count: int) -> str:
    """Return how often something was done, in words."""
    return "once" if count == 1 else f"{count} times"


def relative(path: Path) -> str:
    """Return a path relative to the current folder, if it is below it."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)
