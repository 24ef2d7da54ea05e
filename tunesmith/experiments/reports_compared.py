"""Reports of one program or of several on the same examples, side by side: of models, for instance."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tunesmith.errors import UsageError, brief
from tunesmith.evaluation import Report, leveled, paired_scores
from tunesmith.experiments.correction import Against, compared_with

__all__ = ["ComparedReport", "ReportComparison", "compare_reports"]


@dataclass(frozen=True, slots=True)
class ComparedReport(Against):
    """One report of a comparison.

    Attributes:
        name: of a model, for instance.
        report: the report.
        difference: this one minus the reference, paired; `None` for the reference.
        wins, ties, losses: examples on which it scores more than the reference, the same, less.
        p: two-sided chance of such a difference if both were equal (Wilcoxon's signed ranks); `None` for the reference.
        p_holm: the same, corrected for the number of comparisons (Holm 1979): of each with the reference if that was
            named, of every two if it is the best.
    """

    name: str
    report: Report

    def __repr__(self) -> str:
        return brief(self, self.name, str(self.report.interval))

    def to_json(self) -> dict[str, Any]:
        """Return everything but the rows as JSON values."""
        return {
            "name": self.name,
            **self.report.interval.to_json(),
            "errors": self.report.errors,
            "charged": self.report.charged.to_json(),
            "paid": self.report.paid.to_json(),
            **self.against_json(),
        }


@dataclass(frozen=True, slots=True)
class ReportComparison:
    """Reports side by side.

    Attributes:
        rows: the best first.
        reference: the name of the one that the others are compared with.
    """

    rows: tuple[ComparedReport, ...]
    reference: str

    def __repr__(self) -> str:
        return brief(self, *(f"{one.name} {one.report.mean}" for one in self.rows[:5]))

    def to_json(self) -> dict[str, Any]:
        """Return everything but the rows of the reports as JSON values."""
        return {"reference": self.reference, "rows": [one.to_json() for one in self.rows]}

    def cells(self, what: str = "name") -> list[list[str]]:
        """Return the table for people: a header, and a line per report; `what` says what they are of."""
        against = f"against {self.reference}"
        head = [what, "mean", "95 % interval", "n", "errors", "tokens", against, "win / tie / loss", "p (Holm)"]
        return [head, *(_line(one) for one in self.rows)]


def compare_reports(reports: Mapping[str, Report], *, reference: str | None = None) -> ReportComparison:
    """Compare reports of the same examples by the same metric, as of several models on one program.

    Each example is compared with itself. A failure of the program counts as the worst score of any report; examples on
    which the metric failed for either of two are left out of their difference. Where examples are related, groups are
    compared.

    Args:
        reports: by name.
        reference: the name of the one that the others are compared with; default the best.

    Raises:
        UsageError: there are fewer than two, they are not of the same examples, or none has this name.

    Example:
        >>> import tunesmith as ts
        >>> from tunesmith.experiments import compare_reports
        >>> rows = [{"text": f"{word} {n}", "label": word} for n in range(10) for word in ("good", "bad")]
        >>> data = ts.Dataset.load(rows, signature=ts.Signature("text -> label"))
        >>> program, metric = ts.Predict("text -> label"), ts.metrics.exact_match("label")
        >>> models = {word: ts.FunctionLM(lambda seen, word=word: word) for word in ("good", "fair")}
        >>> found = compare_reports({name: ts.evaluate(program, data, metric, lm=lm) for name, lm in models.items()})
        >>> [(row.name, row.report.mean, row.losses) for row in found.rows]
        [('good', 0.5, 0), ('fair', 0.0, 10)]
    """
    if len(reports) < 2:
        raise UsageError("Two or more are compared. Give at least two, each under a name of its own.")
    keys = {tuple(row.key for row in report.rows) for report in reports.values()}
    if len(keys) > 1:
        raise UsageError("The reports are of different examples, so their scores cannot be compared.")
    reports = dict(zip(reports, leveled(*reports.values()), strict=True))
    ordered = sorted(reports, key=lambda name: -(reports[name].mean or 0.0))
    against = ordered[0] if reference is None else reference
    if against not in reports:
        raise UsageError(f"There is no {against!r} among those that are compared: {', '.join(reports)}.")
    found = compared_with(
        against, ordered, lambda one, two: paired_scores(reports[one], reports[two]), is_best=reference is None
    )
    rows = [ComparedReport(against, reports[against])]
    rows += (ComparedReport(name, reports[name], **one.against_fields()) for name, one in found.items())
    return ReportComparison(tuple(sorted(rows, key=lambda one: ordered.index(one.name))), against)


def _line(one: ComparedReport) -> list[str]:
    report = one.report
    span = "-" if report.interval.low is None else f"{report.interval.low:.3f} to {report.interval.high:.3f}"
    return [
        one.name,
        "-" if report.mean is None else f"{report.mean:.3f}",
        span,
        str(report.n),
        str(report.errors),
        f"{report.charged.tokens:,}",
        *one.against_cells(),
    ]
