"""`tunesmith label`: decide about the rows of a data file on a page."""

import secrets
from pathlib import Path

from tunesmith.cli.choosing import current_project
from tunesmith.cli.failures import DONE
from tunesmith.cli.fields import advising_options, columns_of
from tunesmith.cli.output import emit, note, say
from tunesmith.data import DataFile, Labeling
from tunesmith.errors import UsageError, counted
from tunesmith.evaluation import RunInfo, run_path
from tunesmith.experiments import HardExample, Project, RunRecord, find_signature, places_by_hardness
from tunesmith.modules import program_inputs
from tunesmith.signatures import Signature, field_names

__all__ = ["run"]

_HOST = "127.0.0.1"
_ANSWERS = 3  # of candidates that a remark names


@advising_options()
def run(
    *,
    file: Path,
    signature: str | None,
    out: Path | None,
    decisions: Path | None,
    hard: str | None,
    by: str,
    changed: bool,
    write_only: bool,
    port: int,
    columns: tuple[str, ...],
    delimiter: str | None,
    encoding: str | None,
    force: bool,
    as_json: bool,
) -> int:
    """Serve the page for FILE until a signal, and write the result."""
    project = current_project()
    source = DataFile.read(file, columns=columns_of(columns), delimiter=delimiter, encoding=encoding)
    kind = _of_project(project, source) if signature is None else find_signature(signature, project.root)
    given = Labeling(source, journal=decisions, out=out, signature=kind, changed=changed, force=force)
    with given as labeling:
        for problem in labeling.file.wrong:
            note(f"warning: a row is left out: {problem}")
        if labeling.lost:
            note(f"warning: {labeling.lost} decisions are about rows that {file} no longer has.")
        if not write_only:
            _serve(labeling, port, _hard(labeling, hard, by, project))
        written = labeling.write()
        _say(labeling, written, as_json=as_json)
    return DONE


def _of_project(project: Project, source: DataFile) -> type[Signature] | None:
    """Return the signature of the project's program if the file has its inputs."""
    if project.settings.program is None:
        return None
    found = program_inputs(project.program()).signature
    return found if found is not None and set(field_names(found).inputs) <= set(source.fields) else None


def _hard(labeling: Labeling, name: str | None, by: str, project: Project) -> dict[int, HardExample]:
    if name is None:
        return {}
    record = RunRecord.of(RunInfo.of(run_path(name, project.root)))
    rows = [labeling.values(place) for place in range(len(labeling.file.rows))]
    return places_by_hardness(record, rows, by=by)


def _serve(labeling: Labeling, port: int, hard: dict[int, HardExample]) -> None:
    try:
        from tunesmith.serve import LabelService, Log, names_of, run_server
    except ImportError as error:
        raise UsageError(f"The page needs {error.name}. Run `pip install 'tunesmith[serve]'`.") from error
    token = secrets.token_urlsafe(24)
    remarks = {place: _remark(one) for place, one in hard.items()}
    service = LabelService(labeling, token=token, hosts=names_of(_HOST, None), order=list(hard), remarks=remarks)

    def started(url: str) -> None:
        done = sum(labeling.counts.values())
        note(f"{done} of {len(labeling.file.rows)} rows are decided. Ctrl-C ends it and writes {labeling.out}.")
        # What is behind the # stays in the browser: it is in no log and no header of a request.
        note(f"Open {url}/#{token}")

    run_server(service, host=_HOST, port=port, log=Log(), started=started)


def _remark(one: HardExample) -> str:
    answers = ", ".join(f"{answer} x {number}" for answer, number in list(one.answers.items())[:_ANSWERS])
    failed = f", {one.failed} failed" if one.failed else ""
    return f"mean score {one.score:.2f} of {one.candidates} candidates{failed}; their answers: {answers or 'none'}"


def _say(labeling: Labeling, written: Path | None, *, as_json: bool) -> None:
    counts = {name: labeling.counts.get(name, 0) for name in ("accept", "fix", "reject")}
    if as_json:
        emit(
            {
                "file": str(labeling.file.path),
                "decisions": str(labeling.journal),
                "written": None if written is None else str(written),
                "rows": len(labeling.file.rows),
                **counts,
                "left": labeling.left,
            }
        )
        return
    accepted = counted(counts["accept"], "row")
    say(f"{accepted} accepted, {counts['fix']} fixed, {counts['reject']} rejected, {labeling.left} left")
    if written is None:
        say("Nothing is decided yet, so nothing was written.")
    else:
        say(f"wrote {written}: {counted(counts['accept'] + counts['fix'], 'row')}")
