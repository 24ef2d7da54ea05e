"""What a test split says about a compile, and how often it was asked."""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunesmith.atomic import write_atomically
from tunesmith.data import content_key
from tunesmith.errors import UsageError, brief
from tunesmith.evaluation import (
    LEAST_CHANGED,
    Interval,
    PairedScores,
    examples_needed,
    lm_key,
    minimum_detectable_effect,
    program_key,
)
from tunesmith.lazy import lazy_module
from tunesmith.lm import LM, home
from tunesmith.metrics import Metric, metric_fingerprint
from tunesmith.modules import Candidate, Module

if TYPE_CHECKING:
    import filelock
    import numpy as np
else:
    filelock = lazy_module("filelock")
    np = lazy_module("numpy")

__all__ = ["VERDICTS", "Finding", "count_evaluation", "count_opening", "finding_of", "is_test_split", "verdict_of"]

VERDICTS = ("ship", "no evidence", "regression", "untested")

POWER = 0.8
"""The chance with which `Finding.more_examples` settle it, if the true gain is the one that was seen."""

_COUNTS = "test-splits.json"


@dataclass(frozen=True, slots=True)
class Finding:
    """What a test split says.

    Attributes:
        verdict: one of `VERDICTS`.
        gain: the paired gain with its 95 % interval, `None` if nothing was tested.
        observations: how many observations that rests on: groups of related examples if there are any.
        more_examples: how many more examples would settle it in 4 of 5 cases, were the true gain the one that was seen;
            0 if it is settled, `None` if unknown. An estimate, as is the gain that was seen.
        detectable: the smallest true gain that as many examples show in 4 of 5 cases; `None` if unknown.
        sentence: all of that in one sentence.
    """

    verdict: str
    gain: Interval | None
    observations: int
    more_examples: int | None
    detectable: float | None
    sentence: str

    def __repr__(self) -> str:
        return brief(self, self.verdict, gain=None if self.gain is None else str(self.gain))

    def __str__(self) -> str:
        return f"{self.verdict}: {self.sentence}"

    def to_json(self) -> dict[str, Any]:
        """Return everything but the gain as JSON values."""
        return {
            "verdict": self.verdict,
            "observations": self.observations,
            "more_examples": self.more_examples,
            "detectable_gain": self.detectable,
            "sentence": self.sentence,
        }


def verdict_of(gain: Interval | None) -> str:
    """Return the verdict on a paired gain on the test split.

    `ship` if the lower end of its 95 % interval is above zero, `regression` if the upper end is below zero,
    `no evidence` in between, `untested` without a test split.
    """
    if gain is None or gain.low is None or gain.high is None:
        return "untested"
    if gain.low > 0:
        return "ship"
    return "regression" if gain.high < 0 else "no evidence"


def finding_of(
    scores: PairedScores | None,
    *,
    changed: bool = True,
    subject: str = "the compiled program",
    reference: str = "the program as given",
    unchanged_because: str = "no candidate beat the program as given on validation",
) -> Finding:
    """Return what the scores of both programs on the test split say.

    Args:
        scores: of the program as given, or what `reference` names, and the other; `None` if nothing was tested.
        changed: whether the other program is another one at all.
        subject: what the sentence calls the other.
        reference: what it is compared with.
        unchanged_because: why the other program is the same one, as a clause.
    """
    gain = None if scores is None else scores.interval()
    verdict = verdict_of(gain)
    if scores is None or gain is None or gain.mean is None:
        why = "no test split was looked at" if scores is None else "the metric failed on every test example"
        return Finding(verdict, gain, 0, None, None, f"Nothing is known about new examples: {why}.")
    spread = scores.spread
    detectable = None if spread is None else minimum_detectable_effect(gain.n, spread, power=POWER)
    more = _more_examples(scores, gain, spread) if verdict == "no evidence" else 0
    if not changed:
        more, detectable = None, None
        text = f"There is nothing to ship: {unchanged_because}, so it is as it was."
    else:
        text = _sentence(verdict, gain, scores, more, detectable, (subject, reference))
    return Finding(verdict, gain, scores.observations, more, detectable, text)


def _more_examples(scores: PairedScores, gain: Interval, spread: float | None) -> int | None:
    """Return how many more examples put zero outside the interval of a gain like this one."""
    if spread is None or not gain.mean:
        return None
    wanted = examples_needed(abs(gain.mean), spread, power=POWER)
    if wanted is None:
        return None
    # An interval of few changed examples reaches to zero whatever their spread, see `paired_gain`.
    wanted = max(wanted, math.ceil(LEAST_CHANGED * gain.n / max(1, _changed(scores))))
    return max(1, wanted - gain.n)


def _changed(scores: PairedScores) -> int:
    differences = np.asarray(scores.after) - np.asarray(scores.before)
    if scores.groups is None:
        return int(np.count_nonzero(differences))
    return len({group for group, apart in zip(scores.groups, differences, strict=True) if apart})


def _sentence(
    verdict: str,
    gain: Interval,
    scores: PairedScores,
    more: int | None,
    detectable: float | None,
    names: tuple[str, str],
) -> str:
    subject, reference = names
    mean = 0.0 if gain.mean is None else gain.mean
    apart = f"{abs(mean):.3f} {'more' if mean > 0 else 'less'} than" if mean else "the same as"
    related = "" if scores.groups is None else f" in {scores.observations} groups"
    seen = (
        f"{subject} scores {apart} {reference} on {gain.n} test examples{related} "
        f"(95 % interval {gain.low:+.3f} to {gain.high:+.3f})"
    )
    if verdict == "ship":
        return f"Ship it: {seen}."
    if verdict == "regression":
        return f"Do not ship it: {seen}, which is worse by more than chance explains."
    if more is not None:
        return (
            f"Not shown to be better yet: {seen}, which may be chance; about {_rounded_up(more)} more examples would "
            "settle a difference of this size."
        )
    if not _changed(scores):
        return f"Not shown to be better: {seen}; no example scores other than before."
    if detectable is None:
        return f"Not shown to be better yet: {seen}, which is too few to say anything."
    return (
        f"Not shown to be better: {seen}; as many examples would most likely have shown a gain of {detectable:.3f} or "
        "more."
    )


def _rounded_up(count: int) -> str:
    """Return a count with two digits that count: it is an estimate."""
    step = 10 ** max(0, len(str(count)) - 2)
    return f"{-(-count // step) * step:,}"


def count_opening(fingerprint: str, run: str) -> int | None:
    """Note that `run` looks at the test split `fingerprint`, and return by how many runs it was opened so far.

    Replaying a run is not another opening. The counts are in `TUNESMITH_HOME/test-splits.json`; if that cannot be
    written the answer is `None`: a compile is not lost over it.

    Args:
        fingerprint: of the test split.
        run: identity of the run, by content.
    """
    try:
        path = home() / _COUNTS
        with filelock.FileLock(path.with_suffix(".lock")):
            known = _read(path)
            runs = known.setdefault(fingerprint, [])
            if run not in runs:
                runs.append(run)
                write_atomically(path, json.dumps(known, indent=1) + "\n")
            return len(runs)
    except (OSError, UsageError):
        return None


def count_evaluation(fingerprint: str, program: Module, metric: Metric, lm: LM) -> int | None:
    """Note that `program` was scored on the test split `fingerprint`; see `count_opening`.

    Scoring the same program by the same metric and model again is a replay.
    """
    identity = [program_key(program), Candidate.of(program).key, metric_fingerprint(metric), lm_key(lm, program)]
    return count_opening(fingerprint, content_key(identity, escaped=True))


def is_test_split(fingerprint: str) -> bool:
    """Return whether a dataset was opened as a test split before."""
    try:
        return fingerprint in _read(home() / _COUNTS)
    except UsageError:
        return False


def _read(path: Path) -> dict[str, list[str]]:
    """Return the runs by split; what is damaged counts as absent."""
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {split: runs for split, runs in known.items() if isinstance(runs, list)} if isinstance(known, dict) else {}
