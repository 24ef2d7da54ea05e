"""`tunesmith verify`: check everything about an artifact that can be checked."""

from contextlib import nullcontext
from pathlib import Path

from tunesmith.cli.choosing import chosen_artifact, chosen_lm, current_project
from tunesmith.cli.failures import DONE, GATE
from tunesmith.cli.output import emit, note, say, say_table
from tunesmith.cli.progress import shown_progress
from tunesmith.cli.reports import say_spent
from tunesmith.experiments import verify_artifact

__all__ = ["run"]


def run(
    *,
    artifact: Path,
    trusted: tuple[Path, ...],
    data: Path | None,
    metric: str | None,
    spec: str | None,
    slots: int | None,
    no_store: bool,
    allow: tuple[str, ...],
    as_json: bool,
    quiet: bool,
) -> int:
    """Verify ARTIFACT."""
    project = current_project().changed(metric=metric)
    asked = spec is not None or data is not None
    # Only an evaluation may stop where a server is down, and go on later: without one that is a check that fails.
    with nullcontext() if data is None else shown_progress(quiet=quiet) as tell:
        found = verify_artifact(
            artifact,
            trusted=trusted or None,
            program=(lambda: chosen_artifact(artifact, allow)) if allow else None,
            lm=(lambda: chosen_lm(spec, project, slots=slots, store=not no_store, artifact=artifact))
            if asked
            else None,
            data=None if data is None else lambda program: project.read(data, program),
            metric=None if data is None else project.metric(),
            slots=slots,
            progress=tell,
        )
    if as_json:
        emit({"artifact": str(artifact), **found.to_json()})
    else:
        say_table([("check", "", ""), *((check.name, check.status, check.text) for check in found.checks)])
        if found.report is not None:
            say()
            say_spent(found.report.charged, found.report.paid)
    if not found.passed:
        note(f"error: {len(found.failed)} of {len(found.checks)} checks failed: {', '.join(found.failed)}.")
        return GATE
    return DONE
