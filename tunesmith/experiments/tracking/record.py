"""A finished run as parameters, metrics by step and files, which is what every tracker of experiments keeps."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunesmith.errors import UsageError, brief
from tunesmith.evaluation import RunInfo
from tunesmith.experiments.report import RunRecord, write_report

__all__ = ["Tracked", "TrackedRun", "files_of"]

_SCORES = ("mean", "low", "high", "n")


@dataclass(frozen=True, slots=True)
class Tracked:
    """Where a run was written.

    Attributes:
        id: of the run there.
        place: its URI or folder, without the password.
        next: what to do to look at it.
    """

    id: str
    place: str
    next: str


@dataclass(frozen=True, slots=True)
class TrackedRun:
    """What a tracker gets.

    Attributes:
        name: of the run.
        params: what the run was of, by name, as text.
        steps: for each candidate that was scored on validation, in order: its score there, on how many examples, the
            calls of evaluations until then, and the best score of those on all examples.
        summary: the numbers of the result.
        tags: the verdict with its sentence, and what made this.
        started, ended: seconds since 1970.
    """

    name: str
    params: Mapping[str, str]
    steps: tuple[Mapping[str, float], ...]
    summary: Mapping[str, float]
    tags: Mapping[str, str]
    started: float
    ended: float

    def __repr__(self) -> str:
        return brief(self, self.name, f"{len(self.steps)} steps")

    @classmethod
    def of(cls, info: RunInfo) -> "TrackedRun":
        """Read the run.

        Raises:
            UsageError: it has not ended.
            LedgerError: its ledger cannot be read.
        """
        result = info.result
        if result is None:
            raise UsageError(
                f"The run {info.path.name!r} has no result: it is {info.state}. Let it end first; `tunesmith runs "
                "resume` goes on with one that was stopped."
            )
        record = RunRecord.of(info, texts="none")
        tags = {"tunesmith.verdict": info.verdict or "", "tunesmith.sentence": str(result.get("sentence", ""))}
        return cls(
            info.path.name,
            dict(_params(info, record)),
            tuple(_steps(record)),
            dict(_summary(result)),
            {name: text for name, text in tags.items() if text},
            (info.path / "run.json").stat().st_mtime,
            info.changed,
        )


def files_of(info: RunInfo, folder: Path) -> list[tuple[Path, str]]:
    """Return the files of the run, each with the folder that it belongs in; the report is made in `folder`."""
    found = [(write_report(info, folder / "report.html"), "")]
    found += [(info.path / name, "") for name in ("result.json",) if (info.path / name).is_file()]
    artifact = info.path / "artifact"
    found += [
        (file, str(Path("artifact", *file.relative_to(artifact).parts[:-1])))
        for file in sorted(artifact.rglob("*"))
        if file.is_file() and not file.is_symlink()
    ]
    return found


def _params(info: RunInfo, record: RunRecord) -> Iterator[tuple[str, str]]:
    for name in ("program", "metric", "model", "examples"):
        if name in record.about:
            yield name, _text(record.about[name])
    yield "seed", _text(info.identity.get("seed"))
    compiler = info.identity.get("compiler")
    for name, value in compiler.items() if isinstance(compiler, dict) else ():
        yield ("compiler" if name == "name" else f"compiler.{name}"), _text(value)
    for name, limit in info.budget.items():
        yield f"budget.{name}", _text(limit)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _steps(record: RunRecord) -> Iterator[dict[str, float]]:
    size = max((one.validation.n for one in record.tried), default=0)
    best: float | None = None
    for one in record.by_time:
        mean = one.validation.mean
        if mean is None:
            continue
        if one.validation.n == size:
            best = mean if best is None else max(best, mean)
        found = {
            "validation.score": mean,
            "validation.n": float(one.validation.n),
            "validation.errors": float(one.validation.errors),
            "calls": float(one.ended),
        }
        yield found if best is None else {**found, "validation.best": best}


def _summary(result: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    for side in ("baseline", "compiled", "gain"):
        found = result.get(side)
        scores = found if isinstance(found, dict) else {}
        for name in _SCORES:
            if _is_number(scores.get(name)):
                yield f"{result.get('split', 'test')}.{side}.{name}", float(scores[name])
    for name in ("calls", "tokens", "seconds"):
        spent = result.get(name)
        for kind, value in spent.items() if isinstance(spent, dict) else ():
            if _is_number(value):
                yield f"{kind}.{name}", float(value)
    if _is_number(result.get("candidates")):
        yield "candidates", float(result["candidates"])


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
