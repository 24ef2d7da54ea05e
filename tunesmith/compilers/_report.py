"""What a compile returns: the candidates that were compared, what was chosen, and what the test split says."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from tunesmith.compilers._bad_cases import BadCasesReport
from tunesmith.compilers._verdict import Finding
from tunesmith.errors import brief
from tunesmith.evaluation import Interval, Report
from tunesmith.lm import Spend
from tunesmith.modules import Candidate, Module
from tunesmith.notebook import changes_html, details_html, paragraphs_html, table_html

__all__ = ["CompileReport", "CompileResult", "SavedArtifact", "TrialRecord", "untried"]


@dataclass(frozen=True, slots=True)
class TrialRecord:
    """One candidate as it was compared.

    Attributes:
        number: 0 is the program as given.
        candidate: what was tried.
        origin: where it came from, in words.
        mean: mean score on the validation examples it was seen on; `None` if it has no score.
        n: how many those were.
    """

    number: int
    candidate: Candidate
    origin: str
    mean: float | None
    n: int

    def __repr__(self) -> str:
        mean = None if self.mean is None else round(self.mean, 4)
        return brief(self, str(self.number), self.origin, mean=mean, n=self.n)


@dataclass(frozen=True, slots=True)
class CompileReport:
    """What a search found, decided on validation alone.

    Attributes:
        compiler: the compiler's name.
        baseline: the program as given, on validation.
        compiled: what is returned, on validation.
        candidate: what is returned.
        baseline_candidate: the program as given.
        gain: paired gain on validation with its 95 % interval; flattering, because the best of many was selected.
        trials: every candidate that was compared, best first.
        notes: what was decided for the caller, in words.
        charged, paid: what the search cost.
        seed: of every draw.

    Example:
        >>> import dspy
        >>> import tunesmith as ts
        >>> rows = [{"text": f"{word} {n}", "label": word} for n in range(20) for word in ("good", "bad")]
        >>> data = ts.Dataset.load(rows, signature=ts.Signature("text -> label"))
        >>> lm = ts.FunctionLM(lambda seen: "bad" if "bad" in seen.text and len(seen.messages) > 1 else "good")
        >>> compiler = ts.LabeledFewShot(2, metric=ts.metrics.exact_match("label"))
        >>> with dspy.context(lm=lm):
        ...     report = compiler.compile(ts.Predict("text -> label"), trainset=data).compile_report
        >>> report.improved, report.charged.calls
        (True, 32)
    """

    compiler: str
    baseline: Report
    compiled: Report
    candidate: Candidate
    baseline_candidate: Candidate
    gain: Interval
    trials: tuple[TrialRecord, ...]
    notes: tuple[str, ...]
    charged: Spend
    paid: Spend
    seed: int

    def __repr__(self) -> str:
        return brief(self, self.compiler, f"{_scores(self)} on validation", f"{len(self.trials)} candidates")

    def __str__(self) -> str:
        change = f"Why nothing changed: {self.unchanged_because}." if self.unchanged_because else ""
        spent = f"{self.charged.calls:,} calls, {self.charged.tokens:,} tokens charged"
        lines = [f"{self.compiler}: {_scores(self)} on validation, {len(self.trials)} candidates, {spent}", change]
        return "\n".join([line for line in lines if line] + [f"Note: {note}" for note in self.notes])

    def __deepcopy__(self, memo: dict[int, Any]) -> "CompileReport":
        return self  # frozen, and it travels with copies of the compiled program

    @property
    def improved(self) -> bool:
        """Whether something better than the program as given was found."""
        return self.candidate != self.baseline_candidate

    @property
    def unchanged_because(self) -> str:
        """Why the program as given is returned, as a clause; empty if it is not."""
        if self.improved:
            return ""
        return untried(self.trials, self.baseline_candidate, self.baseline.n) or (
            "no candidate beat the program as given on validation"
        )


class SavedArtifact(Protocol):
    """The folder that a compile saved, and the sha256 of its content."""

    @property
    def path(self) -> Path:
        """The folder."""

    @property
    def sha256(self) -> str:
        """The identity of its content."""


@dataclass(frozen=True, slots=True)
class CompileResult:
    """What `ts.compile` returns.

    Attributes:
        program: the compiled program, or a copy of the given one if nothing better was found.
        report: what the search found, decided on validation.
        baseline: the program as given, on the test split; on validation if it was not tested, with a note that says so.
        compiled: the compiled program, on the same.
        tested: whether both are on the test split.
        finding: what the test split says: verdict, gain, how many more examples would settle it, one sentence.
        artifact: the saved artifact, `None` without `run`.
        charged, paid: what the whole compile cost, test included.
        roles: what was charged by role: `task`, `prompt`, `teacher`, `judge`.
        bad_cases: what became of the bad cases and what broke, `None` without any.
        opened: how many runs looked at this test split so far, `None` without one.
        notes: what was decided for the caller, in words.
        seed: of every draw.

    Example:
        >>> import tunesmith as ts
        >>> rows = [{"text": f"{word} {n}", "label": word} for n in range(20) for word in ("good", "bad")]
        >>> data = ts.Dataset.load(rows, signature=ts.Signature("text -> label"))
        >>> lm = ts.FunctionLM(lambda seen: "bad" if "bad" in seen.text else "good")
        >>> metric = ts.metrics.exact_match("label")
        >>> ts.compile(ts.Predict("text -> label"), metric=metric, trainset=data, lm=lm).verdict
        'untested'
    """

    program: Module
    report: CompileReport
    baseline: Report
    compiled: Report
    tested: bool
    finding: Finding
    artifact: SavedArtifact | None
    charged: Spend
    paid: Spend
    opened: int | None
    bad_cases: BadCasesReport | None
    notes: tuple[str, ...]
    seed: int
    roles: Mapping[str, Spend] = field(default_factory=dict)

    def __repr__(self) -> str:
        path = None if self.artifact is None else str(self.artifact.path)
        return brief(self, self.verdict, self._scores(), artifact=path)

    def _repr_html_(self) -> str:
        split = "test" if self.tested else "validation"
        rows = [["", f"score on {split}, 95 % interval", "n", "errors"]]
        for name, one in (("program as given", self.baseline), ("compiled program", self.compiled)):
            rows.append([name, _ends(one.interval), str(one.n), str(one.errors)])
        if self.gain is not None:
            rows.append(["gain", _ends(self.gain), str(self.gain.n), ""])
        spent = (
            f"{self.charged.calls:,} calls and {self.charged.tokens:,} tokens charged, {self.paid.calls:,} calls paid"
        )
        said = [f"{self.verdict}. {self.finding.sentence}"]
        after = [spent, "" if self.artifact is None else f"Artifact: {self.artifact.path}", *self.notes]
        changed = self.report.baseline_candidate.diff(self.report.candidate)
        diff = details_html("What compiling changed", changes_html(changed)) if changed else ""
        return paragraphs_html(said) + table_html(rows) + diff + paragraphs_html(after)

    def __str__(self) -> str:
        spent = f"{self.charged.calls:,} calls and {self.charged.tokens:,} tokens charged"
        lines = [
            f"{self.verdict}: {self._scores()}",
            self.finding.sentence,
            f"{spent}, {self.paid.calls:,} calls paid now",
            "" if self.artifact is None else f"Artifact: {self.artifact.path}",
        ]
        return "\n".join([line for line in lines if line] + [f"Note: {note}" for note in self.notes])

    def _scores(self) -> str:
        split = "test" if self.tested else "validation"
        return f"{self.baseline.interval} -> {self.compiled.interval} of {split}"

    @property
    def verdict(self) -> str:
        """`ship`, `no evidence`, `regression` or `untested`."""
        return self.finding.verdict

    @property
    def gain(self) -> Interval | None:
        """Paired gain on the test split with its 95 % interval, `None` without one."""
        return self.finding.gain

    def to_json(self) -> dict[str, Any]:
        """Return the result as JSON values: what `result.json` holds."""
        found = self.report.gain if self.gain is None else self.gain
        return {
            "split": "test" if self.tested else "validation",
            "baseline": self.baseline.summary(),
            "compiled": self.compiled.summary(),
            "gain": found.to_json(),
            **self.finding.to_json(),
            "validation": {
                "baseline": self.report.baseline.summary(),
                "compiled": self.report.compiled.summary(),
                "gain": self.report.gain.to_json(),
            },
            "improved": self.report.improved,
            "candidates": len(self.report.trials),
            "calls": {"charged": self.charged.calls, "paid": self.paid.calls},
            "tokens": {"charged": self.charged.tokens, "paid": self.paid.tokens},
            "seconds": {
                "charged": round(self.charged.seconds, 2),
                "paid": round(self.paid.seconds, 2),
            },
            "roles": {name: {"calls": one.calls, "tokens": one.tokens} for name, one in self.roles.items()},
            "test_opened": self.opened,
            **({} if self.bad_cases is None else {"bad_cases": self.bad_cases.to_json()}),
            "notes": list(self.notes),
            "seed": self.seed,
            "artifact": None
            if self.artifact is None
            else {"path": str(self.artifact.path), "sha256": self.artifact.sha256},
        }


def _ends(interval: Interval) -> str:
    if interval.mean is None:
        return ""
    return f"{interval.mean:.3f} [{interval.low:.3f}, {interval.high:.3f}]"


def untried(trials: Iterable[TrialRecord], given: Candidate, whole: int) -> str:
    """Return as a clause that nothing was compared with the program as given; empty if something was."""
    others: Sequence[TrialRecord] = [trial for trial in trials if trial.candidate != given]
    if not others:
        return "no candidate was tried"
    return "no candidate was scored on all validation examples" if all(trial.n < whole for trial in others) else ""


def _scores(report: CompileReport) -> str:
    before, after = (one.interval for one in (report.baseline, report.compiled))
    return f"{before.mean if before.mean is None else format(before.mean, '.3f')} -> " + (
        "no scores" if after.mean is None else f"{after.mean:.3f}"
    )
