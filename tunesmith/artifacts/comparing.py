"""What differs between two artifacts."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from tunesmith.artifacts.artifact import Artifact, verify
from tunesmith.artifacts.flattening import value_changes
from tunesmith.artifacts.folder import MANIFEST
from tunesmith.artifacts.ledgers import SplitChanges, split_changes
from tunesmith.errors import UsageError, brief, shown
from tunesmith.modules import Changes, ValueChange, same_json
from tunesmith.notebook import changes_html

__all__ = ["ArtifactDiff", "diff"]

_ARTIFACT = "artifact"  # in the folder of a run
# Shown by themselves, derived from the rest, or not part of the identity.
_APART = frozenset({"candidate", "sampling", "scores", "sha256", "state_sha256", "unhashed", "unhashed_sha256"})
_NUMBERS = ("mean", "low", "high", "n")


@dataclass(frozen=True, slots=True, repr=False)
class ArtifactDiff:
    """What differs between two artifacts.

    Attributes:
        before, after: the artifacts.
        candidate: instructions, demos, formats, offsets, request options and settings, of frozen parts too.
        values: everything else in the manifest but the scores, by place: `lm.digest`, `program.class`, ...
        scores: the scores that differ, by place: a number, or an object with `mean`, `low`, `high` and `n`.
        same_test: whether both were scored by the same metric on the same test split, so that scores can be compared.
        splits: the examples that both runs scored, if both ledgers are there; the test split comes first.
        no_ledgers: why `splits` is empty.

    Example:
        >>> import tunesmith as ts
        >>> old = ts.save("old", ts.Predict(ts.Signature("text -> label", "Name the label.")))
        >>> new = ts.save("new", ts.Predict(ts.Signature("text -> label", "Name the one label.")))
        >>> found = ts.diff("old", "new")
        >>> found.equal, len(found.candidate.parts)
        (False, 1)
    """

    before: Artifact
    after: Artifact
    candidate: Changes
    values: tuple[ValueChange, ...]
    scores: tuple[ValueChange, ...]
    same_test: bool
    splits: tuple[SplitChanges, ...]
    no_ledgers: str | None

    @property
    def equal(self) -> bool:
        """Whether nothing differs but times, paid calls, test openings, and the version of the manifest's file."""
        return not (self.candidate or self.values or self.scores)

    def __repr__(self) -> str:
        flips = sum(len(one.flips.wrong_now) + len(one.flips.right_now) for one in self.splits)
        return brief(self, "equal" if self.equal else "", repr(self.candidate), values=len(self.values), flips=flips)

    def __str__(self) -> str:
        header = [f"{sign} {one.path} ({one.sha256[:12]})" for sign, one in (("---", self.before), ("+++", self.after))]
        if self.equal:
            return "\n".join([*header, "The artifacts are equal."])
        blocks = ["\n".join(header), str(self.candidate)]
        blocks.append("\n".join(line for value in self.values for line in value.lines()))
        blocks.append("\n".join(line for one in self.scores for line in _score_lines(one)))
        if self.scores and not self.same_test:
            blocks[-1] += "\nThese scores are of different test splits or metrics: they cannot be compared."
        blocks += map(str, self.splits)
        if self.no_ledgers is not None:
            blocks.append(f"Single examples are not compared. {self.no_ledgers}")
        return "\n\n".join(filter(None, blocks))

    def _repr_html_(self) -> str:
        return changes_html(str(self))

    def to_json(self) -> dict[str, Any]:
        """Return the differences as JSON values."""
        sides = (("before", self.before), ("after", self.after))
        return {
            "equal": self.equal,
            **{name: {"path": str(one.path), "sha256": one.sha256} for name, one in sides},
            "candidate": self.candidate.to_json(),
            "values": [value.to_json() for value in self.values],
            "scores": [value.to_json() for value in self.scores],
            "same_test": self.same_test,
            "splits": [one.to_json() for one in self.splits],
            "no_ledgers": self.no_ledgers,
        }


def diff(before: str | os.PathLike[str] | Artifact, after: str | os.PathLike[str] | Artifact) -> ArtifactDiff:
    """Return what differs between two artifacts, each given as its folder, the folder of its run, or the artifact.

    If both are in the folders of their runs, the evaluations in the two ledgers are compared example by example.

    Raises:
        ArtifactError: an artifact is missing, damaged, inconsistent, or of another version.
        UsageError: an argument is neither a path nor an artifact.

    Example:
        >>> import tunesmith as ts
        >>> old = ts.save("old", ts.Predict(ts.Signature("text -> label", "Name the label.")))
        >>> new = ts.save("new", ts.Predict(ts.Signature("text -> label", "Name the one label.")))
        >>> print(ts.diff(old, new).candidate)
         [self]
         instruction: Name the {+one +}label.
    """
    one, other = _artifact(before), _artifact(after)
    splits, reason = ((), None) if one.sha256 == other.sha256 else split_changes(one, other)
    values = tuple(_values(*({**side.manifest, "program": _without_prompts(side)} for side in (one, other))))
    candidate = Changes.of(one.prompts_json, other.prompts_json)
    scores = tuple(_score_changes(one.scores, other.scores))
    if not (values or candidate or scores) and one.sha256 != other.sha256:
        # What DSPy wrote into `state.json` besides the program, such as the version of a library.
        values = tuple(value_changes(one.manifest["state_sha256"], other.manifest["state_sha256"], "state_sha256"))
    return ArtifactDiff(one, other, candidate, values, scores, _same_test(one, other), splits, reason)


def _artifact(given: Any) -> Artifact:
    if isinstance(given, Artifact):
        return given
    if not isinstance(given, str | os.PathLike):
        raise UsageError(
            f"`ts.diff(a, b)` takes two artifacts: their folders, or what `ts.verify` returns. Given: {shown(given)}."
        )
    folder = Path(given)
    inside = folder / _ARTIFACT
    return verify(inside if not (folder / MANIFEST).exists() and (inside / MANIFEST).exists() else folder)


def _without_prompts(artifact: Artifact) -> dict[str, Any]:
    """Return the manifest's program without the prompts and settings of its frozen parts, which are compared apart."""
    program = artifact.manifest["program"]
    rest = {
        path: {**entry, "candidate": {n: v for n, v in entry["candidate"].items() if n not in ("parts", "settings")}}
        for path, entry in program["frozen"].items()
    }
    return {**program, "frozen": rest}


def _values(before: Mapping[str, Any], after: Mapping[str, Any]) -> chain[ValueChange]:
    names = dict.fromkeys([*before, *after])
    return chain.from_iterable(
        value_changes(before.get(name), after.get(name), name) for name in names if name not in _APART
    )


def _score_changes(before: Any, after: Any, place: str = "") -> list[ValueChange]:
    """Return the scores that differ, an interval with its mean as one value."""
    if not (_has_scores(before) and _has_scores(after)):
        return [] if same_json(before, after) else [ValueChange(place, before, after)]
    one, other = before or {}, after or {}
    names = dict.fromkeys([*one, *other])
    found = (_score_changes(one.get(name), other.get(name), f"{place} {name}".strip()) for name in names)
    return list(chain.from_iterable(found))


def _has_scores(value: Any) -> bool:
    return value is None or (isinstance(value, Mapping) and "mean" not in value)


def _score_lines(change: ValueChange) -> list[str]:
    return ValueChange(f"score {change.name}", *map(_score_text, (change.before, change.after))).lines()


def _score_text(value: Any) -> Any:
    if not isinstance(value, Mapping) or not all(isinstance(value.get(name), int | float) for name in _NUMBERS):
        return value
    interval = f"{value['mean']:.3f} (95 % interval {value['low']:.3f} to {value['high']:.3f})"
    errors = f", {value['errors']} errors" if value.get("errors") else ""
    return f"{interval} on {value['n']} examples{errors}"


def _same_test(before: Artifact, after: Artifact) -> bool:
    one, other = ((found.manifest["metric"], found.manifest["datasets"].get("testset")) for found in (before, after))
    return one == other and None not in one
