"""How far a judge can be trusted: its agreement with given labels."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tunesmith.data import content_key, example_key
from tunesmith.errors import UsageError, brief, shown
from tunesmith.evaluation.evaluator import as_model, evaluate
from tunesmith.evaluation.report import Row
from tunesmith.evaluation.statistics import Interval, wilson
from tunesmith.lm import LM, BaseLM, Meter, role
from tunesmith.metrics import Judge, metric_fingerprint
from tunesmith.signatures import Example

__all__ = ["Agreement", "agreement"]

_OTHER = {"first": "second", "second": "first"}
_NONE = Interval(None, None, None, 0)


@dataclass(frozen=True, slots=True)
class Agreement:
    """What judging labelled examples found.

    Attributes:
        judge: fingerprint of the judge, without its baseline.
        model: fingerprint of the model that judged, with the options of its requests.
        labels: fingerprint of the labelled examples.
        agreement: share of the examples judged as labelled, with Wilson's 95 % interval. A pair counts 1 where both
            orders give the labelled answer, 0.5 where one does: as it scores. (With halves, Wilson's interval is wider
            than need be.)
        kappa: Cohen's kappa of all single verdicts with their labels: 0 is no better than chance. `None` where verdicts
            and labels are all the same, so that there is nothing chance could not do.
        flips: of pairs, the share of which another order changes the winner; `None` for single outputs.
        steady: of pairs, the agreement where the order changes nothing; `None` for single outputs.
        errors: examples on which the judge failed; they are in no figure above.
    """

    judge: str
    model: str
    labels: str
    agreement: Interval
    kappa: float | None
    flips: Interval | None
    steady: Interval | None
    errors: int

    @property
    def n(self) -> int:
        """How many examples the agreement is over."""
        return self.agreement.n

    def to_json(self) -> dict[str, Any]:
        """Return everything as JSON values; what `Judge.remember` takes."""
        return {
            "judge": self.judge,
            "model": self.model,
            "labels": self.labels,
            "agreement": self.agreement.to_json(),
            "kappa": self.kappa,
            "flips": None if self.flips is None else self.flips.to_json(),
            "steady": None if self.steady is None else self.steady.to_json(),
            "errors": self.errors,
        }

    def __repr__(self) -> str:
        return brief(self, str(self))

    def __str__(self) -> str:
        found = self.agreement
        if found.mean is None:
            return f"no verdicts ({self.errors} errors)"
        text = f"agreement {found.mean:.3f} [{found.low:.3f}, {found.high:.3f}] on {found.n} examples"
        text += "" if self.kappa is None else f", kappa {self.kappa:.2f}"
        if self.flips is not None and self.flips.mean is not None:
            text += f", {self.flips.mean:.1%} flips"
        return text + (f", {self.errors} errors" if self.errors else "")


def agreement(
    judge: Judge,
    labelled: Sequence[Example],
    *,
    lm: BaseLM | None = None,
    slots: int | None = None,
    meter: Meter | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Agreement:
    """Judge labelled examples and return how far the judge agrees with the labels; the judge remembers it.

    Pairs are judged in both orders (Zheng et al. 2023, "Judging LLM-as-a-Judge", section 4.2, who count a flip as a
    tie; here it counts half). Kappa is Cohen's (1960).

    Args:
        judge: what `metrics.judge` made.
        labelled: examples as `Judge.labelled` makes them.
        lm: the model, where the judge has none of its own; default `dspy.settings.lm`.
        slots: as `evaluate`.
        meter: as `evaluate`; calls are counted under the role `judge`.
        progress: as `evaluate`.

    Raises:
        UsageError: no judge, no examples, or examples for another kind of judge.
        ModelUnavailable, ModelMissing, BudgetExceeded, Interrupted: as `evaluate`; replies are in the cache.
    """
    if not isinstance(judge, Judge):
        raise UsageError(f"A judge is what `metrics.judge(...)` makes. Given: {shown(judge)}.")
    _check(judge, labelled)
    asked = list(labelled)
    own = as_model(judge.verdict.lm if lm is None else lm)
    if judge.pairwise:
        asked = [turned for example in labelled for turned in (example, _swapped(example))]
    with role("judge"):
        report = evaluate(judge, asked, _as_labelled, lm=own, slots=slots, meter=meter, progress=progress)
    found = _summed(judge, own, labelled, asked, report.rows)
    judge.remember(found.to_json())
    return found


def _check(judge: Judge, labelled: Sequence[Example]) -> None:
    if not isinstance(labelled, Sequence) or isinstance(labelled, str):
        raise UsageError(
            f"Labelled examples are a list, as `judge.labelled(...)` makes them. Given: {shown(labelled)}."
        )
    if not labelled:
        raise UsageError("The list of labelled examples is empty: there is nothing to judge. Pass at least one.")
    wanted = {"verdict", *judge.inputs}
    verdicts = judge.verdicts
    for index, example in enumerate(labelled):
        names = set(example.keys()) if isinstance(example, Example) else set()
        if not wanted <= names:
            raise UsageError(
                f"Example {index} lacks {', '.join(sorted(wanted - names))}. Given: {shown(example)}. "
                "Make labelled examples with `judge.labelled(example, output, verdict=...)`."
            )
        if example["verdict"] not in verdicts:
            raise UsageError(
                f"The verdict of example {index} is {shown(example['verdict'])}. This judge says one of "
                f"{', '.join(map(str, verdicts))}."
            )
        if getattr(example, "_input_keys", None) is None:
            raise UsageError(
                f"Example {index} does not say which fields are inputs. Given: {shown(example)}. Make labelled "
                "examples with `judge.labelled(example, output, verdict=...)`."
            )


def _swapped(example: Example) -> Example:
    turned = {"first": example["second"], "second": example["first"], "verdict": _OTHER[example["verdict"]]}
    return Example(**{**dict(example.items()), **turned}).with_inputs(*example.inputs().keys())


def _as_labelled(example: Example, prediction: Any, trace: object = None) -> bool:
    return bool(example["verdict"] == prediction["verdict"])


def _summed(judge: Judge, lm: LM, labelled: Sequence[Example], asked: list[Example], rows: Sequence[Row]) -> Agreement:
    width = len(asked) // len(labelled)
    groups = [rows[at : at + width] for at in range(0, len(rows), width)]
    whole = [[row.score for row in group if row.score is not None] for group in groups]
    whole = [scores for scores in whole if len(scores) == width]
    judged = [(e["verdict"], row.outputs["verdict"]) for e, row in zip(asked, rows, strict=True) if row.outputs]
    steady = [scores[0] for scores in whole if len(set(scores)) == 1]
    return Agreement(
        judge=metric_fingerprint(judge.alone()),
        model=judge.model_key(lm),
        labels=content_key([example_key(example) for example in labelled]),
        agreement=_share(sum(sum(scores) / width for scores in whole), len(whole)),
        kappa=_kappa(judged),
        flips=_share(len(whole) - len(steady), len(whole)) if judge.pairwise else None,
        steady=_share(sum(steady), len(steady)) if judge.pairwise else None,
        errors=len(labelled) - len(whole),
    )


def _share(count: float, n: int) -> Interval:
    return wilson(count, n) if n else _NONE


def _kappa(pairs: Sequence[tuple[Any, Any]]) -> float | None:
    """Return Cohen's kappa (1960) of labels and verdicts."""
    n = len(pairs)
    if n == 0:
        return None
    observed = sum(label == verdict for label, verdict in pairs) / n
    labels, verdicts = (Counter(side) for side in zip(*pairs, strict=True))
    chance = sum(count * verdicts[value] for value, count in labels.items()) / n**2
    return None if chance == 1 else (observed - chance) / (1 - chance)
