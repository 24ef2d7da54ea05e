"""`tunesmith check`: check an artifact against thresholds, as a step of CI."""

import os
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tunesmith.artifacts import Artifact, verify
from tunesmith.cli.choosing import chosen_artifact, chosen_lm, current_project
from tunesmith.cli.failures import DONE, GATE
from tunesmith.cli.junit import check_writable, junit_xml, write_junit
from tunesmith.cli.output import emit, note, say, say_table
from tunesmith.cli.progress import shown_progress
from tunesmith.cli.reports import say_finding, say_notes, say_opened, say_reports, say_spent
from tunesmith.data import Dataset
from tunesmith.errors import UsageError
from tunesmith.experiments import CheckResult, Gates, Project, check_artifact
from tunesmith.lm import LM
from tunesmith.metrics import Metric, metric_name
from tunesmith.modules import Module

__all__ = ["run"]

_AS_GIVEN = "program as given"


def run(
    *,
    artifact: Path,
    data: Path | None,
    against: Path | None,
    metric: str | None,
    junit: Path | None,
    spec: str | None,
    slots: int | None,
    no_store: bool,
    allow: tuple[str, ...],
    as_json: bool,
    quiet: bool,
    **limits: Any,
) -> int:
    """Check ARTIFACT against gates on examples that were not used for selection."""
    if junit is not None:
        check_writable(junit)
    when, start = datetime.now(UTC), time.monotonic()
    try:
        gates = Gates(**limits)
        project = current_project().changed(metric=metric)
        judge = project.metric()
        found = verify(artifact)
        model = chosen_lm(spec, project, slots=slots, store=not no_store, artifact=artifact)
        program = chosen_artifact(artifact, allow, model)
        older = None if against is None else (chosen_artifact(against, allow, model), verify(against))
        examples = _examples(project, program, data)
        with shown_progress(quiet=quiet) as tell:
            result = check_artifact(
                program, found, examples, judge, gates=gates, lm=model, against=older, slots=slots, progress=tell
            )
    except (Exception, SystemExit) as error:
        if junit is not None:
            took = time.monotonic() - start
            write_junit(junit, junit_xml(str(artifact), (), properties={}, when=when, seconds=took, error=error))
        raise
    about = _about(found, examples, judge, model) | {"against": None if older is None else _identity(older[1])}
    if junit is not None:
        took, figures, text = time.monotonic() - start, _properties(about, result), result.sentence
        write_junit(
            junit,
            junit_xml(str(artifact), result.gates, properties=figures, when=when, seconds=took, text=text),
        )
    if as_json:
        emit({**about, **result.to_json()})
    else:
        _say(result, examples, metric_name(judge), _AS_GIVEN if older is None else "older artifact")
    if not result.passed:
        failed = [gate.name for gate in result.gates if not gate.passed]
        note(f"error: {len(failed)} of {len(result.gates)} gates failed: {', '.join(failed)}.")
        return GATE
    return DONE


def _examples(project: Project, program: Module, data: Path | None) -> Dataset:
    if data is not None:
        return project.read(data, program)
    found = project.data(program).test
    if found is None:
        raise UsageError("There is no test split. Pass --data FILE, or name one under [data] in tunesmith.toml.")
    return found


def _about(artifact: Artifact, examples: Dataset, metric: Metric, model: LM) -> dict[str, Any]:
    return {
        "artifact": _identity(artifact),
        "data": {"name": examples.name, "fingerprint": examples.fingerprint, "examples": len(examples)},
        "metric": metric_name(metric),
        "lm": model.identity.to_json(),
    }


def _identity(artifact: Artifact) -> dict[str, str]:
    return {"path": os.fspath(artifact.path), "sha256": artifact.sha256}


def _properties(about: dict[str, Any], result: CheckResult) -> dict[str, object]:
    """Return the results as JUnit properties."""
    gain = None if result.finding is None else result.finding.gain
    found: dict[str, object] = {
        "artifact.sha256": about["artifact"]["sha256"],
        "against.sha256": None if about["against"] is None else about["against"]["sha256"],
        "data.fingerprint": about["data"]["fingerprint"],
        "metric": about["metric"],
        "lm": about["lm"].get("model"),
        "score.mean": result.compiled.mean,
        "score.low": result.compiled.low,
        "score.high": result.compiled.high,
        "score.n": result.compiled.n,
        "errors": result.compiled.errors,
        "latency.median": result.latency["median"],
        "latency.p95": result.latency["p95"],
        "test_opened": result.opened,
    }
    if result.baseline is not None and gain is not None and result.finding is not None:
        found |= {
            "baseline.mean": result.baseline.mean,
            "gain.mean": gain.mean,
            "gain.low": gain.low,
            "gain.high": gain.high,
            "gain.n": gain.n,
            "verdict": result.finding.verdict,
            "more_examples": result.finding.more_examples,
        }
    for gate in result.gates:
        found[f"gate.{gate.name}.limit"] = gate.limit
        found[f"gate.{gate.name}.value"] = gate.value
    return found


def _say(result: CheckResult, examples: Dataset, metric: str, baseline: str) -> None:
    reports = [("artifact", result.compiled)]
    if result.baseline is not None:
        reports.insert(0, (baseline, result.baseline))
    say_reports(reports, title=f"{metric} on {examples.name}")
    say()
    rows = [("gate", "wanted", "found", "")]
    rows += [(gate.name, gate.wanted, gate.found, "holds" if gate.passed else "fails") for gate in result.gates]
    say_table(rows)
    say()
    say(result.sentence)
    if result.finding is not None:
        say_finding(result.finding)
    if result.flips is not None:
        say(result.flips.sentence if baseline == _AS_GIVEN else str(result.flips))
    say_opened(result.opened)
    say()
    say_spent(result.charged, result.paid)
    say_notes(result.notes)
