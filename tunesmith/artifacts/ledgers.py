"""What two runs say of their artifacts, example by example."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tunesmith.artifacts.artifact import Artifact
from tunesmith.data import content_key
from tunesmith.errors import LedgerError, UsageError, brief
from tunesmith.evaluation import Flips, Interval, Report, Row, RunInfo, paired_scores, read_entries

__all__ = ["SplitChanges", "split_changes"]

_OTHERS = "others"


@dataclass(frozen=True, slots=True, repr=False)
class SplitChanges:
    """How two programs did on the same examples.

    Attributes:
        split: `test`, `validation`, or `others` for examples that are in different splits or in none of the two.
        gain: the paired gain with its 95 % interval.
        flips: the answers that became right or wrong.
    """

    split: str
    gain: Interval
    flips: Flips

    def __repr__(self) -> str:
        return brief(self, self.split, str(self.gain), repr(self.flips))

    def __str__(self) -> str:
        gain = self.gain
        known = gain.mean is not None and gain.low is not None and gain.high is not None
        text = f"{gain.mean:+.3f} (95 % interval {gain.low:+.3f} to {gain.high:+.3f})" if known else "unknown"
        named = "On other examples" if self.split == _OTHERS else f"On the {self.split} split"
        return f"{named}: paired gain {text}. {self.flips}"

    def to_json(self) -> dict[str, Any]:
        """Return the changes as JSON values."""
        return {"split": self.split, "gain": self.gain.to_json(), **self.flips.to_json()}


def split_changes(before: Artifact, after: Artifact) -> tuple[tuple[SplitChanges, ...], str | None]:
    """Compare the evaluations of both artifacts in the ledgers beside them; also return why nothing can be compared.

    The test split comes first.
    """
    try:
        one, other = _Evaluations.of(before), _Evaluations.of(after)
    except (LedgerError, UsageError) as error:
        return (), str(error)
    if one.metric != other.metric:
        return (), "The runs scored with different metrics, or different versions of one."
    shared = [key for key in one.rows if key in other.rows]
    if not shared:
        return (), "No example was scored in both runs."
    keys: dict[str, list[str]] = {"test": [], "validation": [], _OTHERS: []}
    for key in shared:
        split = one.splits.get(key, _OTHERS)
        keys[split if split == other.splits.get(key) else _OTHERS].append(key)
    return tuple(_compared(split, found, one.rows, other.rows) for split, found in keys.items() if found), None


def _compared(split: str, keys: Sequence[str], one: Mapping[str, Row], other: Mapping[str, Row]) -> SplitChanges:
    before, after = (tuple(rows[key] for key in keys) for rows in (one, other))
    gain = paired_scores(Report(before), Report(after)).interval()
    return SplitChanges(split, gain, Flips.of(before, after))


@dataclass(frozen=True, slots=True)
class _Evaluations:
    """The rows of one artifact's candidate by example, the split of each example, and the metric."""

    rows: Mapping[str, Row]
    splits: Mapping[str, str]
    metric: Any

    @classmethod
    def of(cls, artifact: Artifact) -> "_Evaluations":
        folder = artifact.path.parent
        if not (folder / "run.json").exists():
            raise UsageError(f"{str(artifact.path)!r} is not in the folder of its run, so it has no ledger.")
        info = RunInfo.of(folder)
        if info.ledger is None:
            raise UsageError(f"The run {str(folder)!r} has no ledger.")
        candidate, metric = content_key(artifact.candidate_json, escaped=True), info.identity.get("metric")
        entries = [
            entry
            for entry in read_entries(info.ledger, candidate)
            if (entry.key.kind, entry.key.mode, entry.key.metric, entry.key.rollout) == ("row", "eval", metric, 0)
        ]
        if not entries:
            raise UsageError(f"The ledger of the run {str(folder)!r} has no evaluation of its artifact.")
        last = entries[-1].key  # a run that began with the rows of another may have those of another model
        rows = {
            entry.key.example: entry.row
            for entry in entries
            if (entry.key.program, entry.key.lm) == (last.program, last.lm)
        }
        return cls(rows, _splits(info.notes.get("splits")), metric)


def _splits(noted: Any) -> dict[str, str]:
    """Return the split of each example by key; what is damaged counts as unknown."""
    found = dict[str, str]()
    for split in ("validation", "test"):
        keys = noted.get(split) if isinstance(noted, dict) else None
        found |= {key: split for key in keys if isinstance(key, str)} if isinstance(keys, list) else {}
    return found
