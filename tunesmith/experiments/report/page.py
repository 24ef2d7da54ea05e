"""One HTML page of a run that opens without a network: verdict first, then what led to it."""

import difflib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from tunesmith.atomic import write_atomically
from tunesmith.compilers import OBJECTIVES, cost_per_example, importances, pareto_front
from tunesmith.errors import UsageError, counted, refusal_advice
from tunesmith.evaluation import Interval, Report, Row, RunInfo
from tunesmith.experiments.report.charts import bars, intervals, points
from tunesmith.experiments.report.groups import scores_by_group
from tunesmith.experiments.report.prompts import shown_prompts
from tunesmith.experiments.report.record import RunRecord, Shown, Tried
from tunesmith.lazy import lazy_module

if TYPE_CHECKING:
    import jinja2
else:
    jinja2 = lazy_module("jinja2")

__all__ = ["report_page", "write_report"]

_TEMPLATE = "page.html.jinja"
_MOST_FLIPS = 40  # shown per direction
_MOST_ROWS = 150  # candidates in the table and the map
_MOST_COLUMNS = 400  # examples of the map
_MOST_LABELS = 20  # of a confusion matrix
_LONGEST, _LONGEST_LINE = 600, 160  # characters of a shown value, and of a line of a change
_LEVELS = "·░▒▓█"  # a score from 0 to 1
_UNITS = {"latency": ", seconds of the engine"}
_FAILED, _UNSEEN = "×", " "


def write_report(run: str | Path | RunInfo, out: str | Path | None = None, *, allow: Sequence[str] = ()) -> Path:
    """Write the page of a run and return its path.

    Args:
        run: the run's folder, such as `runs/first`.
        out: where to write; default `report.html` in the run's folder.
        allow: classes of yours, as `module:class`, that the artifact may import, so that its prompt can be shown.

    Raises:
        UsageError: there is no run, or the file cannot be written.
        LedgerError: the run's ledger cannot be read.

    Example:
        >>> import tempfile
        >>> import tunesmith as ts
        >>> rows = [{"text": f"{word} {n}", "label": word} for n in range(20) for word in ("good", "bad")]
        >>> data = ts.Dataset.load(rows, signature=ts.Signature("text -> label"))
        >>> lm = ts.FunctionLM(lambda seen: "bad" if "bad" in seen.text else "good")
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     run = f"{folder}/first"
        ...     metric = ts.metrics.exact_match("label")
        ...     _ = ts.compile(ts.Predict("text -> label"), metric=metric, trainset=data, lm=lm, run=run)
        ...     write_report(run).name
        'report.html'
    """
    info = run if isinstance(run, RunInfo) else RunInfo.of(Path(run))
    path = info.path / "report.html" if out is None else Path(out)
    page = report_page(RunRecord.of(info, texts="ends"), allow=allow)
    try:
        write_atomically(path, page)
    except OSError as error:
        raise UsageError(
            f"The report {str(path)!r} cannot be written: {error.strerror}. {refusal_advice(path, error)}, or name "
            "another file with --out."
        ) from error
    return path


def report_page(record: RunRecord, *, allow: Sequence[str] = ()) -> str:
    """Return the page of a run as HTML; `allow` is that of `write_report`."""
    folder = Path(__file__).parent
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.ChainableUndefined,
    )
    environment.filters |= {"score": _score, "value": _value, "number": _number, "counted": counted}
    return environment.get_template(_TEMPLATE).render(_Page(record, allow).values())


class _Cell(NamedTuple):
    text: str
    kind: str  # the class of its colour


class _Page:
    """Everything that the template shows of a run."""

    def __init__(self, record: RunRecord, allow: Sequence[str]) -> None:
        self._record, self._result, self._allow = record, record.info.result or {}, allow
        self._given, self._chosen, self._parents = record.given, record.chosen, record.parents()

    def values(self) -> dict[str, Any]:
        record, info = self._record, self._record.info
        return {
            "name": info.path.name,
            "state": info.state,
            "about": record.about,
            "compiler": _compiler(info),
            "result": self._result,
            "roles": (roles := self._roles()),
            "all_tokens": sum(spent.get("tokens") or 0 for spent in roles.values()),
            "notes": [
                *([] if info.lost is None else [info.lost]),
                *(notes if isinstance(notes := self._result.get("notes"), list) else []),
            ],
            "scores": self._scores(),
            "history": self._history(),
            "tried": [self._line(one) for one in record.tried[:_MOST_ROWS]],
            "hidden": max(0, len(record.tried) - _MOST_ROWS),
            "tree": self._tree(),
            "origins": self._origins(),
            "importance": self._importance(),
            "front": self._front(),
            "map": self._map(),
            "flips": self._flips(),
            "most_flips": _MOST_FLIPS,
            "errors": self._errors(),
            "confusion": [found for found in map(self._confusion, self._ends()) if found],
            "groups": self._groups(),
            "prompt": self._prompt(),
        }

    def _roles(self) -> dict[str, dict[str, Any]]:
        """Return what each role was charged; empty for a result that does not say."""
        roles = self._result.get("roles")
        return (
            {role: spent for role, spent in roles.items() if isinstance(spent, dict)} if isinstance(roles, dict) else {}
        )

    def _ends(self) -> list[Tried]:
        found = [one for one in (self._given, self._chosen) if one is not None]
        return found[:1] if len(found) == 2 and found[0] == found[1] else found

    def _scores(self) -> dict[str, Any]:
        """Return the scores of both programs on both splits, as rows and as a chart."""
        rows = []
        for split in ("test", "validation"):
            for one in self._ends():
                title = "compiled program" if one.chosen and not one.given else "program as given"
                found = self._interval(one, split)
                if found.mean is not None and found.low is not None and found.high is not None:
                    rows.append((f"{title}, {split}", found, _side(one, split).errors))
        if not rows:
            return {}
        text = "; ".join(
            f"{name}: {found.mean:.3f}, 95 % interval {found.low:.3f} to {found.high:.3f}" for name, found, _ in rows
        )
        drawn = [(name, found.low or 0.0, found.mean or 0.0, found.high or 0.0) for name, found, _ in rows]
        return {"rows": rows, "svg": intervals(drawn, x="mean score, with its 95 % interval", text=text)}

    def _interval(self, one: Tried, split: str) -> Interval:
        """Return the mean of a candidate: of the result as it was written, so that both say the same."""
        sides = self._result if split == self._result.get("split") else self._result.get(split)
        name = "baseline" if one.given else "compiled"
        kept = sides.get(name) if isinstance(sides, dict) and (one.given or one.chosen) else None
        values = [kept.get(end) for end in ("mean", "low", "high", "n")] if isinstance(kept, dict) else []
        if values and all(isinstance(value, int | float) for value in values):
            return Interval(*values)  # type: ignore[arg-type]
        return _side(one, split).interval

    def _history(self) -> str:
        """Draw each candidate where its evaluation ended, and the best that was scored on all examples until then."""
        size = len(self._record.examples["validation"]) or max((o.validation.n for o in self._record.tried), default=0)
        whole, part = list[tuple[float, float, str]](), list[tuple[float, float, str]]()
        line = list[tuple[float, float]]()
        best: float | None = None
        for one in self._record.by_time:
            mean = one.validation.mean
            if mean is None:
                continue
            label = f"{_called(one)}: {mean:.3f} on {one.validation.n} examples"
            (whole if one.validation.n >= size else part).append((float(one.ended), mean, label))
            if one.validation.n >= size and (best is None or mean > best):
                line += [] if best is None else [(float(one.ended), best)]
                line.append((float(one.ended), mean))
                best = mean
        if best is not None and self._record.tried:
            line.append((float(max(one.ended for one in self._record.tried)), best))
        if not whole and not part:
            return ""
        text = f"Score on validation against calls: {len(whole)} candidates on all examples, {len(part)} on some."
        series = {"on all examples": whole, "on some examples": part}
        return points(
            {name: found for name, found in series.items() if found},
            line=line,
            line_name="best so far",
            x="LM calls for evaluations (a shared reply counts each time)",
            y="mean score on validation",
            text=text + ("" if best is None else f" The best is {best:.3f}."),
        )

    def _line(self, one: Tried) -> dict[str, Any]:
        rows = one.validation.rows + one.test.rows
        return {
            "key": one.key,
            "title": _called(one),
            "chosen": one.chosen,
            "differs": "" if one.given else one.differs,
            "origin": one.origin,
            "validation": self._interval(one, "validation"),
            "test": self._interval(one, "test"),
            "errors": one.validation.errors + one.test.errors,
            "calls": one.calls,
            "tokens": sum(row.tokens for row in rows),
            "seconds": sum(row.seconds for row in rows) / len(rows) if rows else 0.0,
            "diff": self._diff(one),
        }

    def _diff(self, one: Tried) -> list[_Cell]:
        """Return what changed from the candidate it grew from, as the lines of a unified diff."""
        parent = self._parents.get(one.key)
        if parent is None:
            return []
        names = _called(parent), _called(one)
        lines = difflib.unified_diff(parent.lines(), one.lines(), *names, lineterm="", n=1)
        kinds = {"+": "added", "-": "removed", "@": "place"}
        return [_Cell(_cut(line, _LONGEST_LINE), kinds.get(line[:1], "")) for line in lines]

    def _tree(self) -> list[dict[str, Any]]:
        """Return the candidates as nested lists, each under the one that it differs least from."""
        children: dict[str | None, list[Tried]] = {}
        for one in self._record.by_time[:_MOST_ROWS]:
            if one.content is not None:
                parent = self._parents.get(one.key)
                children.setdefault(None if parent is None else parent.key, []).append(one)

        def nested(key: str | None) -> list[dict[str, Any]]:
            return [
                {
                    "title": _called(one),
                    "key": one.key,
                    "differs": one.differs,
                    "mean": self._interval(one, "validation"),
                    "chosen": one.chosen,
                    "children": nested(one.key),
                }
                for one in children.get(key, ())
            ]

        return nested(None)

    def _origins(self) -> list[dict[str, Any]]:
        """Return what the candidates of each origin cost, and the best gain on examples that both have seen."""
        given, found = self._given, dict[str, list[Tried]]()
        for one in self._record.by_time:
            if not one.given and one.origin:
                found.setdefault(one.origin.rstrip("0123456789 ") or one.origin, []).append(one)
        rows = []
        for name, members in found.items():
            calls = sum(row.calls for one in members for row in one.validation.rows)
            gains = [gain for one in members if given and (gain := _gain(given, one)) is not None]
            best = max(gains, default=None)
            per = None if best is None or not calls else 100 * max(best, 0.0) / calls
            rows.append({"origin": name, "count": len(members), "calls": calls, "gain": best, "per": per})
        return rows

    def _importance(self) -> str:
        tried = [one for one in self._record.tried if one.content is not None and one.validation.mean is not None]
        found = importances([one.choices() for one in tried], [one.validation.mean or 0.0 for one in tried])
        shown = dict(list(found.items())[:12])
        text = "; ".join(f"{name}: {share:.0%}" for name, share in shown.items())
        return bars(shown, x="share of the differences in score", text=text) if shown else ""

    def _front(self) -> list[dict[str, Any]]:
        """Return a chart for each further objective, with the candidates that no other one beats."""
        compiler = self._record.info.identity.get("compiler")
        names = compiler.get("objectives") if isinstance(compiler, dict) else None
        names = [name for name in names if isinstance(name, str)] if isinstance(names, list) else []
        charts = []
        for name in [name for name in names if name in OBJECTIVES and name != "score"]:
            found = [
                (cost_per_example(one.validation.rows, name), one.validation.mean, one)
                for one in self._record.tried
                if one.validation.rows and one.validation.mean is not None
            ]
            best = set(pareto_front([{name: cost, "score": mean} for cost, mean, _ in found], ["score", name]))
            front = [(cost, mean, _called(one)) for at, (cost, mean, one) in enumerate(found) if at in best]
            rest = [(cost, mean, _called(one)) for at, (cost, mean, one) in enumerate(found) if at not in best]
            series = {"no other is better in both": front, **({"others": rest} if rest else {})}
            text = f"Score against {name} per example. On the front: {', '.join(title for *_, title in front)}."
            charts.append(
                {
                    "name": name,
                    "svg": points(series, x=f"{name} per example{_UNITS.get(name, '')}", y="mean score", text=text),
                }
            )
        return charts

    def _map(self) -> dict[str, Any] | None:
        """Return a row of characters per candidate and a column per validation example, the hardest first."""
        tried = [one for one in self._record.tried if one.validation.rows][:_MOST_ROWS]
        scores: dict[str, list[float]] = {}
        for one in tried:
            for key, value in _values(one.validation).items():
                scores.setdefault(key, []).append(value)
        order = sorted(scores, key=lambda key: (sum(scores[key]) / len(scores[key]), key))
        if not order:
            return None
        known = {shown.key: shown for shown in self._record.examples["validation"]}
        hardest = [
            {
                "column": column,
                "shown": known.get(key, Shown(key)),
                "mean": sum(scores[key]) / len(scores[key]),
                "count": len(scores[key]),
            }
            for column, key in enumerate(order[:10], 1)
        ]
        rows = [{"title": _called(one), "cells": list(_runs(one.validation, order[:_MOST_COLUMNS]))} for one in tried]
        text = (
            f"Scores of {len(rows)} candidates on {len(order)} validation examples. The candidate with the most full "
            f"scores is {max(tried, key=_full).name or 'unnamed'}, with {_full(max(tried, key=_full))}."
        )
        return {
            "rows": rows,
            "text": text,
            "columns": len(order),
            "shown": min(len(order), _MOST_COLUMNS),
            "hardest": hardest,
        }

    def _flips(self) -> dict[str, Any] | None:
        """Return the test examples that one of both programs does better, or those of validation without a test."""
        given, chosen = self._given, self._chosen
        if given is None or chosen is None or given == chosen:
            return None
        split = "test" if given.test.rows and chosen.test.rows else "validation"
        known = {shown.key: shown for shown in self._record.examples[split]}
        after = {row.key: row for row in _side(chosen, split).rows}
        earlier, later = _values(_side(given, split)), _values(_side(chosen, split))
        better, worse = list[dict[str, Any]](), list[dict[str, Any]]()
        for before in _side(given, split).rows:
            then, key = after.get(before.key), before.key
            if then is None or key not in earlier or key not in later or earlier[key] == later[key]:
                continue
            flip = {"shown": _inputs(known.get(key, Shown(key)), before), "before": before, "after": then}
            (better if later[key] > earlier[key] else worse).append(flip)
        return {"split": split, "better": better, "worse": worse, "n": len(after)}

    def _errors(self) -> list[dict[str, Any]]:
        found: Counter[tuple[str, str]] = Counter()
        example = dict[tuple[str, str], str]()
        for one in self._record.tried:
            for row in one.validation.rows + one.test.rows:
                if row.failure is not None:
                    kind = row.failure.fault, row.failure.kind
                    found[kind] += 1
                    example.setdefault(kind, row.failure.message)
        return [
            {"fault": fault, "kind": kind, "count": count, "message": example[fault, kind]}
            for (fault, kind), count in found.most_common()
        ]

    def _confusion(self, one: Tried) -> dict[str, Any] | None:
        """Return how often each label was answered with which, if there are few labels and one field holds them."""
        split = "test" if one.test.rows else "validation"
        wanted = {shown.key: shown.labels for shown in self._record.examples[split]}
        rows = [row for row in _side(one, split).rows if row.key in wanted]
        fields = {name for row in rows for name in (row.outputs or {}) if name in wanted[row.key]}
        if len(fields) != 1:
            return None
        field = fields.pop()
        pairs = Counter(
            (str(wanted[row.key].get(field)), "failed" if row.outputs is None else str(row.outputs.get(field)))
            for row in rows
        )
        labels = sorted({label for label, _ in pairs})
        if not 2 <= len(labels) <= _MOST_LABELS or any(len(label) > 40 for label in labels):
            return None
        others = any(answer not in labels for _, answer in pairs)
        columns = [*labels, *(["other"] if others else [])]
        table = []
        for label in labels:
            total = sum(count for (wanted_one, _), count in pairs.items() if wanted_one == label)
            counts = [pairs[label, answer] for answer in labels]
            counts += [total - sum(counts)] if others else []
            shades = [count / total if total else 0.0 for count in counts]
            table.append({"label": label, "cells": list(zip(counts, shades, columns, strict=True)), "total": total})
        return {"title": _called(one), "field": field, "split": split, "columns": columns, "rows": table}

    def _groups(self) -> list[dict[str, Any]]:
        split = "test" if self._given is not None and self._given.test.rows else "validation"
        return scores_by_group(self._record.examples[split], [_side(one, split) for one in self._ends()])

    def _prompt(self) -> dict[str, Any]:
        """Return the prompts of the artifact for the first example."""
        examples = [shown for split in ("test", "validation") for shown in self._record.examples[split] if shown.inputs]
        folder = self._record.info.path / "artifact"
        return shown_prompts(folder, examples[0].inputs if examples else None, self._allow)


def _side(one: Tried, split: str) -> Report:
    return one.test if split == "test" else one.validation


def _full(one: Tried) -> int:
    return sum(row.score is not None and row.score >= 1 for row in one.validation.rows)


def _called(one: Tried) -> str:
    return one.name or one.key[:12]


def _compiler(info: RunInfo) -> dict[str, Any]:
    found = info.identity.get("compiler")
    return found if isinstance(found, dict) else {}


def _gain(given: Tried, other: Tried) -> float | None:
    before = _values(given.validation)
    both = [(before[key], value) for key, value in _values(other.validation).items() if key in before]
    return sum(after - first for first, after in both) / len(both) if both else None


def _values(report: Report) -> dict[str, float]:
    """Return the score of each example as it counts: a failure of the program is the least, one of the metric none."""
    pairs = zip(report.rows, report.values(), strict=True)
    return {row.key: value for row, value in pairs if value is not None}


def _inputs(shown: Shown, row: Row) -> Shown:
    """Return the example with inputs from its first step if the run's notes do not keep them."""
    return shown if shown.inputs or not row.steps else Shown(shown.key, row.steps[0].inputs, shown.labels, shown.group)


def _runs(report: Report, order: Sequence[str]) -> Iterator[_Cell]:
    """Yield the characters of a row, those of one kind together."""
    rows = {row.key: row for row in report.rows}
    text, kind = "", ""
    for key in order:
        cell = _cell(rows.get(key))
        if cell.kind != kind and text:
            yield _Cell(text, kind)
            text = ""
        text, kind = text + cell.text, cell.kind
    if text:
        yield _Cell(text, kind)


def _cell(row: Row | None) -> _Cell:
    if row is None:
        return _Cell(_UNSEEN, "unseen")
    if row.score is None:
        return _Cell(_FAILED, "failed")
    level = min(4, max(0, int(row.score * 4 + 1e-9)))
    return _Cell(_LEVELS[level], f"level{level}")


def _score(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, int | float) else ""


def _number(value: object) -> str:
    return f"{value:,.2f}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else ""


def _value(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(_rounded(value), ensure_ascii=False, default=str)
    return _cut(text, _LONGEST)


def _rounded(value: Any) -> Any:
    """Return a value with its floats as people read them: log-probabilities have 16 digits."""
    if isinstance(value, float):
        return float(f"{value:.4g}")
    if isinstance(value, Mapping):
        return {name: _rounded(item) for name, item in value.items()}
    return [_rounded(item) for item in value] if isinstance(value, list | tuple) else value


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"
