"""Release gates: check an artifact against limits on new examples."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tunesmith.artifacts import Artifact
from tunesmith.compilers import Finding, count_evaluation, finding_of
from tunesmith.data import Dataset
from tunesmith.errors import UsageError, brief, shown
from tunesmith.evaluation import Flips, Report, evaluate, leveled, paired_scores
from tunesmith.lm import LM, Meter, Spend
from tunesmith.metrics import Metric
from tunesmith.modules import Candidate, Module

__all__ = ["CheckResult", "Gate", "Gates", "check_artifact"]

_SELECTED_ON = ("trainset", "valset")
_AS_GIVEN, _OLDER = "the program as given", "the older artifact"
_SAID = {
    "min-gain": "the gain over {} is",
    "min-score": "the mean score is",
    "max-latency": "the model needs",
    "max-errors": "the program fails on",
}


@dataclass(frozen=True, slots=True)
class Gates:
    """The limits of a check; `None` for none, and at least one must be given.

    Attributes:
        min_gain: the lower end of the 95 % interval of the paired gain over the program as given, or over an older
            artifact, must be above it. With 0 that is the verdict `ship`; below 0 it is how much worse would still do.
        min_score: the mean score must reach it.
        max_latency: seconds that the model may need for 95 of 100 examples.
        max_errors: how many examples the program may fail on.

    Raises:
        UsageError: no limit is given, or one cannot be used.
    """

    min_gain: float | None = None
    min_score: float | None = None
    max_latency: float | None = None
    max_errors: int | None = None

    def __post_init__(self) -> None:
        limits = {name: getattr(self, name) for name in self.__slots__}
        if all(limit is None for limit in limits.values()):
            names = ", ".join(f"`{name}`" for name in limits)
            raise UsageError(
                f"A check without a gate always passes. Give at least one of {names}, on the command line as "
                "in `--min-gain 0`."
            )
        for name, limit in limits.items():
            if limit is not None and not math.isfinite(limit):
                raise UsageError(f"`{name}` must be a finite number. Given: {shown(limit)}.")
        for name in ("max_latency", "max_errors"):
            if limits[name] is not None and limits[name] < 0:
                raise UsageError(f"`{name}` cannot be below 0. Given: {shown(limits[name])}.")


@dataclass(frozen=True, slots=True)
class Gate:
    """One gate and what was found.

    Attributes:
        name: as the option, such as `min-gain`.
        wanted, found: in words with the numbers.
        limit: what was asked.
        value: what it was compared with, `None` if there is no such number.
        passed: whether the gate holds; without a number it does not.
        over: what a gain is measured over.
    """

    name: str
    wanted: str
    found: str
    limit: float
    value: float | None
    passed: bool
    over: str = _AS_GIVEN

    @property
    def sentence(self) -> str:
        """What was found, and what was wanted if the gate fails, as a part of a sentence."""
        return f"{_SAID[self.name].format(self.over)} {self.found}" + ("" if self.passed else f", wanted {self.wanted}")

    def to_json(self) -> dict[str, Any]:
        """Return the gate as JSON values."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What a check found.

    Attributes:
        gates: one per limit that was asked for.
        compiled: the artifact on the examples.
        baseline: the older artifact, or the program as given; `None` if neither was needed.
        finding: what both say, `None` likewise.
        flips: the answers that are right or wrong other than the baseline's, `None` likewise.
        latency: seconds of the model per example: `median`, `p95`, `max`.
        charged, paid: what both evaluations cost together.
        opened: how often this test split was looked at so far, `None` if that cannot be known.
        notes: what a reader of the numbers has to know.
    """

    gates: tuple[Gate, ...]
    compiled: Report
    baseline: Report | None
    finding: Finding | None
    flips: Flips | None
    latency: Mapping[str, float]
    charged: Spend
    paid: Spend
    opened: int | None
    notes: tuple[str, ...]

    def __repr__(self) -> str:
        held = sum(gate.passed for gate in self.gates)
        return brief(self, f"{held} of {len(self.gates)} gates hold", str(self.compiled.interval))

    def __str__(self) -> str:
        gates = [f"{gate.name}: {gate.found}, wanted {gate.wanted}" for gate in self.gates]
        return "\n".join([self.sentence, *gates])

    @property
    def passed(self) -> bool:
        """Whether every gate holds."""
        return all(gate.passed for gate in self.gates)

    @property
    def sentence(self) -> str:
        """The result in one sentence."""
        failed = [gate for gate in self.gates if not gate.passed]
        parts = "; ".join(gate.sentence for gate in failed or self.gates)
        return f"{'Failed' if failed else 'Passed'}: on {len(self.compiled.rows)} examples {parts}."

    def to_json(self) -> dict[str, Any]:
        """Return the result as JSON values, without rows."""
        return {
            "passed": self.passed,
            "sentence": self.sentence,
            "gates": [gate.to_json() for gate in self.gates],
            "compiled": self.compiled.summary(),
            "baseline": None if self.baseline is None else self.baseline.summary(),
            "gain": None if self.finding is None or self.finding.gain is None else self.finding.gain.to_json(),
            "finding": None if self.finding is None else self.finding.to_json(),
            "flips": None if self.flips is None else self.flips.to_json(),
            "latency": {name: round(value, 4) for name, value in self.latency.items()},
            "metric_errors": self.compiled.metric_errors,
            "charged": self.charged.to_json(),
            "paid": self.paid.to_json(),
            "test_opened": self.opened,
            "notes": list(self.notes),
        }


def check_artifact(
    program: Module,
    artifact: Artifact,
    data: Dataset,
    metric: Metric,
    *,
    gates: Gates,
    lm: LM,
    against: tuple[Module, Artifact] | None = None,
    slots: int | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> CheckResult:
    """Score an artifact on examples that did not select it, and hold the numbers against `gates`.

    The older artifact is scored too if there is one, else the program as given if a gate is about the gain; replies
    that are in the cache are not paid for again. It counts as an opening of this test split, once for the same
    artifact, metric and model.

    Args:
        program: the loaded artifact.
        artifact: the same, as it lies on disk.
        data: the test examples.
        metric: judges one prediction.
        gates: what is asked.
        lm: the model.
        against: an older artifact, loaded and as it lies on disk; a gain is measured over it.
        slots: examples on the way at once; default what the LM says.
        progress: is told what goes on, and how many of how many examples are done.

    Raises:
        UsageError: `data` holds an example that one of the artifacts was selected on.
        MetricError, ModelUnavailable, ModelMissing, Interrupted: as `evaluate`.
    """
    refuse_selected_on(artifact, data)
    meter = Meter()

    def scored(label: str, candidate: Module) -> Report:
        def tell(done: int, total: int) -> None:
            if progress is not None:
                progress(label, done, total)

        return evaluate(candidate, data, metric, lm=lm, slots=slots, meter=meter, progress=tell)

    if against is None:
        before = None if gates.min_gain is None else _baseline(artifact, program)
        changed, over = artifact.baseline_json != artifact.candidate_json, _AS_GIVEN
    else:
        refuse_selected_on(against[1], data)
        before, over = against[0], _OLDER
        changed = against[1].prompts_json != artifact.prompts_json
    compiled = scored("artifact", program)
    baseline, finding, flips, notes = None, None, None, [*compiled.notes]
    if before is not None:
        baseline = scored(over.removeprefix("the "), before)
        baseline, compiled = leveled(baseline, compiled)
        finding = finding_of(
            paired_scores(baseline, compiled),
            changed=changed,
            subject="the artifact",
            reference=over,
            unchanged_because=f"it has the prompts and settings of {over}",
        )
        flips = Flips.of(baseline, compiled, data)
        if finding.gain is not None and finding.gain.n < len(data):
            notes.append(f"The gain is over {finding.gain.n} different examples of {len(data)}.")
    latency = _latency(compiled)
    cached = sum(row.cached for row in compiled.rows)
    if gates.max_latency is not None and cached:
        notes.append(f"{cached} of {len(compiled.rows)} replies came from the cache, with the latency they had then.")
    return CheckResult(
        _held(gates, compiled, finding, latency, over),
        compiled,
        baseline,
        finding,
        flips,
        latency,
        meter.charged,
        meter.paid,
        count_evaluation(data.fingerprint, program, metric, lm),
        tuple(notes),
    )


def refuse_selected_on(artifact: Artifact, data: Dataset) -> None:
    datasets = artifact.manifest["datasets"]
    for name in _SELECTED_ON:
        if datasets.get(name) == data.fingerprint:
            raise UsageError(
                f"`{data.name}` is the {name} the artifact was compiled on: its score there flatters, so it proves "
                "nothing. Give examples that did not take part, such as the test split."
            )
    known = artifact.known(data)
    if known:
        where = " and ".join(f"{count} in its {split}" for split, count in known.items())
        raise UsageError(
            f"Of the {len(data)} examples of `{data.name}` the artifact was compiled on {where}, by their inputs: its "
            "score there flatters, so it proves nothing. Leave them out, or give examples that did not take part."
        )


def _baseline(artifact: Artifact, program: Module) -> Module:
    before = artifact.baseline_json
    if before is None:
        raise UsageError(
            "The artifact does not say what the program was before, so the gain is unknown: it was "
            "saved without a `baseline`. Leave the gate `min-gain` out and use `min-score`."
        )
    signatures = {path: predictor.signature for path, predictor in program.named_predictors()}
    return Candidate.from_json(before, signatures).apply(program)


def _latency(report: Report) -> dict[str, float]:
    """Return the nearest-rank quantiles of the engine's seconds per example."""
    seconds = sorted(row.seconds for row in report.rows)
    rank = {"median": 0.5, "p95": 0.95, "max": 1.0}
    return {name: seconds[math.ceil(share * len(seconds)) - 1] for name, share in rank.items()}


def _held(
    gates: Gates, compiled: Report, finding: Finding | None, latency: Mapping[str, float], over: str
) -> tuple[Gate, ...]:
    held = []
    if gates.min_gain is not None:
        held.append(_gain_gate(gates.min_gain, finding, over))
    if gates.min_score is not None:
        found = "unknown: no example has a score" if compiled.mean is None else f"{compiled.mean:.3f}"
        passed = compiled.mean is not None and compiled.mean >= gates.min_score
        held.append(
            Gate("min-score", f"at least {gates.min_score:g}", found, gates.min_score, compiled.mean, passed),
        )
    if gates.max_latency is not None:
        limit, value = gates.max_latency, latency["p95"]
        found = f"{value:.3f} s for 95 of 100 examples"
        held.append(Gate("max-latency", f"at most {limit:g} s", found, limit, value, value <= limit))
    if gates.max_errors is not None:
        count, most = compiled.errors, gates.max_errors
        found = f"{count} of {len(compiled.rows)} examples"
        held.append(Gate("max-errors", f"at most {most}", found, most, count, count <= most))
    return tuple(held)


def _gain_gate(limit: float, finding: Finding | None, over: str) -> Gate:
    gain = None if finding is None else finding.gain
    wanted = f"a lower end above {limit:g}"
    if gain is None or gain.low is None or gain.mean is None:
        return Gate("min-gain", wanted, "unknown: no example has a score", limit, None, passed=False, over=over)
    found = f"{gain.mean:+.3f} (95 % interval {gain.low:+.3f} to {gain.high:+.3f})"
    return Gate("min-gain", wanted, found, limit, gain.low, gain.low > limit, over)
