"""Verify an artifact: its files, its signature, its program, its model, and whether its score holds."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tunesmith.artifacts import Artifact, Check, inspect_files, load
from tunesmith.compilers import count_evaluation
from tunesmith.data import Dataset
from tunesmith.errors import ArtifactError, ModelError, UsageError, brief
from tunesmith.evaluation import Interval, Report, evaluate
from tunesmith.experiments.gates import refuse_selected_on
from tunesmith.lm import LM
from tunesmith.metrics import Metric, metric_name
from tunesmith.modules import Module

__all__ = ["Verification", "verify_artifact"]

_BROKEN = "The artifact is not whole."
_NUMBERS = ("mean", "low", "high", "n")


@dataclass(frozen=True, slots=True, repr=False)
class Verification:
    """What a verification found.

    Attributes:
        checks: in order: `files`, `manifest`, `state`, `signature`, `program`, `model`, `score`.
        report: the evaluation of the check `score`, `None` if it was not made.
    """

    checks: tuple[Check, ...]
    report: Report | None = None

    @property
    def passed(self) -> bool:
        """Whether no check fails; one that was not made does not fail."""
        return not self.failed

    @property
    def failed(self) -> tuple[str, ...]:
        """The names of the checks that fail."""
        return tuple(check.name for check in self.checks if check.status == "fail")

    def __repr__(self) -> str:
        return brief(self, "passed" if self.passed else f"failed: {', '.join(self.failed)}")

    def __str__(self) -> str:
        return "\n".join(map(str, self.checks))

    def to_json(self) -> dict[str, Any]:
        """Return the checks as JSON values, and the score without rows."""
        report = None if self.report is None else self.report.summary()
        return {"passed": self.passed, "checks": [check.to_json() for check in self.checks], "report": report}


def verify_artifact(
    path: str | os.PathLike[str],
    *,
    trusted: Sequence[str | os.PathLike[str]] | None = None,
    program: Callable[[], Module] | None = None,
    lm: LM | Callable[[], LM] | None = None,
    data: Dataset | Callable[[Module], Dataset] | None = None,
    metric: Metric | None = None,
    slots: int | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> Verification:
    """Check everything about an artifact that can be checked with what is given; a check that fails raises nothing.

    Args:
        path: the artifact's folder.
        trusted: files with public keys, one of which must have signed it.
        program: loads its program, as `ts.load` with `allow` or `program`; by default no code of others is imported.
        lm: the model, which must be there and have the artifact's weights; or a function that returns it.
        data: examples to measure the score on again, or a function that reads them for the loaded program; needs `lm`
            and `metric`. On the test split of the compile, the mean must be in the interval that the artifact states;
            on other examples, the two intervals must overlap.
        metric: the metric that the artifact names.
        slots: concurrent examples; default from the LM.
        progress: called with what goes on, and how many of how many examples are done.

    Raises:
        ArtifactError: there is no artifact at `path`.
        UsageError: a key cannot be used, `metric` is another one than the artifact's, or the artifact was selected on
            an example of `data`.
        MetricError, ModelUnavailable, Interrupted: as `evaluate`.
    """
    if data is not None and (lm is None or metric is None):
        raise UsageError("To measure a score, `data` needs `lm` and `metric` beside it.")
    checks, artifact = inspect_files(path, trusted)
    if artifact is None:
        rest = (Check(name, "not checked", _BROKEN) for name in ("program", "model", "score"))
        return Verification((*checks, *rest))
    loaded, loading = _program(artifact, program, needed=data is not None)
    model, found = _model(artifact, lm)
    checks = (*checks, loading, model)
    if data is None or metric is None:
        return Verification((*checks, Check("score", "not checked", "No examples were given.")))
    if loaded is None or found is None or model.status == "fail":
        return Verification((*checks, Check("score", "not checked", "The program or the model cannot be used.")))
    score, report = _measured(artifact, loaded, data, metric, found, slots, progress)
    return Verification((*checks, score), report)


def _measured(
    artifact: Artifact,
    program: Module,
    data: Dataset | Callable[[Module], Dataset],
    metric: Metric,
    lm: LM,
    slots: int | None,
    progress: Callable[[str, int, int], None] | None,
) -> tuple[Check, Report | None]:
    stated = _stated(artifact)
    if stated is None:
        return Check("score", "fail", "The artifact states no score on a test split, so none can be compared."), None
    if artifact.manifest["metric"] != metric_name(metric):
        raise UsageError(
            f"The artifact was scored by {artifact.manifest['metric']}, and the metric here is {metric_name(metric)}. "
            "Give the same metric, on the command line with --metric."
        )
    examples = data if isinstance(data, Dataset) else data(program)
    refuse_selected_on(artifact, examples)

    def tell(done: int, total: int) -> None:
        if progress is not None:
            progress("artifact", done, total)

    report = evaluate(program, examples, metric, lm=lm, slots=slots, progress=tell)
    count_evaluation(examples.fingerprint, program, metric, lm)
    same = artifact.manifest["datasets"].get("testset") == examples.fingerprint
    return _score(stated, report.interval, same=same), report


def _program(artifact: Artifact, loads: Callable[[], Module] | None, *, needed: bool) -> tuple[Module | None, Check]:
    # Without the caller's leave no code is imported, so it is no fault of the artifact that it cannot be loaded.
    manifest = artifact.manifest
    needs_more = loads is None and (not manifest["program"]["rebuildable"] or manifest["adapter"] is not None)
    try:
        found = load(artifact.path) if loads is None else loads()
    except ArtifactError as error:
        return None, Check("program", "not checked" if needs_more and not needed else "fail", str(error))
    return found, Check("program", "pass", f"{artifact.program_class} can be loaded and takes the prompts.")


def _model(artifact: Artifact, given: LM | Callable[[], LM] | None) -> tuple[Check, LM | None]:
    if given is None:
        return Check("model", "not checked", "No model was given."), None
    try:
        lm = given if isinstance(given, LM) else given()
        return _weights(artifact.lm, lm.identity.to_json()), lm
    except ModelError as error:
        return Check("model", "fail", str(error)), None


def _weights(wanted: Mapping[str, Any], found: Mapping[str, Any]) -> Check:
    if wanted.get("digest") is None:
        return Check("model", "not checked", "The artifact does not state the weights of its model.")
    if found["digest"] is None:
        return Check("model", "not checked", f"{found['model']} is there, but nothing tells what weights it has.")
    if found["digest"] != wanted["digest"]:
        text = f"{found['model']} has other weights: {found['digest'][:12]}, wanted {wanted['digest'][:12]}"
        return Check("model", "fail", f"{text}, those of {wanted['model']}.")
    text = f"{found['model']} has the weights {found['digest'][:12]}."
    others = _differences(wanted, found)
    return Check("model", "pass", text if not others else f"{text} Replies may differ all the same: {others}.")


def _differences(wanted: Mapping[str, Any], found: Mapping[str, Any]) -> str:
    one, other = ({"backend": side["backend"], **side["details"]} for side in (wanted, found))
    names = [name for name in dict.fromkeys([*one, *other]) if one.get(name) != other.get(name)]
    return ", ".join(f"{name} is {other.get(name)}, was {one.get(name)}" for name in names)


def _stated(artifact: Artifact) -> Interval | None:
    """Return the score on the test split, or `None`."""
    found = artifact.scores.get("compiled")
    if artifact.scores.get("split") != "test" or not isinstance(found, Mapping):
        return None
    if not all(isinstance(found.get(name), int | float) for name in _NUMBERS):
        return None
    return Interval(found["mean"], found["low"], found["high"], found["n"])


def _score(stated: Interval, found: Interval, *, same: bool) -> Check:
    if found.mean is None or found.low is None or found.high is None or stated.low is None or stated.high is None:
        return Check("score", "fail", "The metric gave no score.")
    holds = stated.low <= found.mean <= stated.high if same else found.low <= stated.high and stated.low <= found.high
    wanted = "the mean within that interval" if same else "overlapping intervals, because these are other examples"
    text = f"Measured {found}, stated {stated}"
    return Check("score", "pass", f"{text}.") if holds else Check("score", "fail", f"{text}; wanted {wanted}.")
