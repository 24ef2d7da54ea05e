"""What a run has evaluated, for fine-tuning: rows without the test split, and the program that they are of."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tunesmith.artifacts.artifact import Artifact
from tunesmith.artifacts.export._source import Source
from tunesmith.errors import UsageError
from tunesmith.evaluation import Entry, RunInfo, read_entries, run_path
from tunesmith.modules import Candidate, Module, with_default_formats

__all__ = ["RunRows", "run_rows"]

_ARTIFACT = "artifact"
_TEST, _FAILED, _WITHOUT = "of the test split", "without a score", "without inputs and outputs"
_OTHER, _METRIC = "of other candidates", "of another program or metric"


@dataclass(frozen=True)
class RunRows:
    """Rows of a run that may be trained on.

    Attributes:
        name: of the run.
        model: that the run asked.
        program: its messages are exported.
        rows: with scores and steps, in an order that depends on their content alone.
        chosen: key of the candidate that the compile chose.
        skipped: how many rows were left out, by reason.
    """

    name: str
    model: str
    program: Module
    rows: tuple[Entry, ...]
    chosen: str | None
    skipped: Mapping[str, int] = field(default_factory=dict)


def run_rows(source: Source, *, prompt: str, replies: str) -> RunRows:
    """Return the rows of the run that `source` names.

    Args:
        source: the run's folder, its name, or its artifact.
        prompt: `compiled` for the messages of the compiled program, `given` for those of the program before.
        replies: `compiled` for rows of the compiled program alone, `all` for those of every candidate.

    Raises:
        UsageError: there is no such run, it has not ended, or nobody knows which rows are of its test split.
        ArtifactError: the artifact cannot be loaded.
        LedgerError: the ledger cannot be read.
    """
    info = _run_of(source)
    notes = info.notes
    test = _test_keys(info)
    if info.ledger is None:
        raise UsageError(f"The run {str(info.path)!r} has no ledger: nothing was evaluated. Resume it first.")
    program = _program(info, source, prompt)
    known = {key for key in (notes.get("given"), notes.get("chosen")) if isinstance(key, str)}
    entries = [entry for entry in read_entries(info.ledger) if entry.key.kind == "row"]
    programs = {entry.key.program for entry in entries if entry.key.candidate in known}
    skipped: Counter[str] = Counter()
    rows = []
    for entry in entries:
        reason = _reason(entry, info, test, programs)
        if reason is None and replies == "compiled" and entry.key.candidate != notes.get("chosen"):
            reason = _OTHER
        if reason is None:
            rows.append(entry)
        else:
            skipped[reason] += 1
    rows.sort(key=_order)
    chosen = notes.get("chosen")
    model = str(notes.get("about", {}).get("model", "unknown"))
    return RunRows(info.path.absolute().name, model, program, tuple(rows), chosen, skipped)


def _order(entry: Entry) -> tuple[str, ...]:
    key = entry.key  # not `seq`: threads finish in any order
    return (key.example, key.candidate, key.lm, key.mode, f"{key.rollout:06d}")


def _reason(entry: Entry, info: RunInfo, test: frozenset[str], programs: set[str]) -> str | None:
    """Return why a row is not trained on, `None` if it is."""
    if entry.key.example in test:
        return _TEST
    if entry.key.program not in programs or entry.key.metric != info.identity.get("metric"):
        return _METRIC
    if entry.row.score is None:
        return _FAILED
    return None if entry.row.steps else _WITHOUT


def _run_of(source: Source) -> RunInfo:
    given: Any = source.given
    if isinstance(given, Module):
        given = getattr(given, "artifact", given)
    if isinstance(given, Module):
        raise UsageError(
            f"Fine-tuning data comes from what a run has evaluated. Given: a program ({type(given).__name__}). Compile "
            "it with `run='first'`, and export `runs/first`."
        )
    path = given.path if isinstance(given, Artifact) else Path(given)
    if path.name == _ARTIFACT and path.parent.name:
        path = path.parent
    try:
        return RunInfo.of(path)
    except UsageError:
        if len(path.parts) != 1:
            raise
    return RunInfo.of(run_path(path.name))


def _test_keys(info: RunInfo) -> frozenset[str]:
    """Return the keys of the examples of the test split.

    Raises:
        UsageError: there is a test split, and it is not known what is in it.
    """
    found = info.notes.get("splits", {}).get("test")
    if isinstance(found, list):
        return frozenset(map(str, found))
    if info.problem is None and info.identity.get("testset") is None and "testset" in info.identity:
        return frozenset()
    raise UsageError(
        f"Which rows of the run {str(info.path)!r} are of its test split is not known: "
        f"{info.problem or 'its candidates.json is gone or damaged'}. Test examples must not be trained on. Repeat the "
        "command that made the run: it calls no model again, and writes the file."
    )


def _program(info: RunInfo, source: Source, prompt: str) -> Module:
    place = info.path / _ARTIFACT
    if place.exists():
        inner = Source(place, source.made, source.allow)
        program = inner.program
        return program if prompt == "compiled" else _before(program, inner.artifact, info)
    if source.made is None:
        done = info.state == "done"
        state = "kept no artifact" if done else "has not ended"
        advice = "Pass" if done else f"End it with `tunesmith runs resume {info.path.name}`, or pass"
        raise UsageError(
            f"The run {str(info.path)!r} {state}, so which messages its program sends is not known. {advice} the "
            "compiled program as `program=` in Python."
        )
    if prompt != "compiled":
        raise UsageError(f"The run {str(info.path)!r} has no artifact, which `prompt='given'` reads.")
    return with_default_formats(source.made if isinstance(source.made, Module) else source.made())


def _before(program: Module, artifact: Artifact | None, info: RunInfo) -> Module:
    baseline = None if artifact is None else artifact.baseline_json
    if baseline is None:
        raise UsageError(
            f"The artifact of {str(info.path)!r} does not hold the program before the compile. Use `prompt='compiled'`."
        )
    signatures = {path: predictor.signature for path, predictor in program.named_predictors()}
    return with_default_formats(Candidate.from_json(baseline, signatures).apply(program))
