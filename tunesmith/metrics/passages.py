"""What a search found, and what an answer cites: recall, precision, ranks, citations."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, ClassVar, Literal, get_args

from tunesmith.data import Score
from tunesmith.errors import MetricError, UsageError, shown
from tunesmith.metrics.metric import Scorer, factory
from tunesmith.metrics.values import MISSING, checked_fields, given, items_of, label_of, listed, missing, plain, text_of
from tunesmith.metrics.wording import holds_text
from tunesmith.signatures import Example

__all__ = [
    "AnswerInPassages",
    "CitationCorrectness",
    "NdcgAt",
    "PrecisionAt",
    "RecallAt",
    "ReciprocalRank",
    "answer_in_passages",
    "citation_correctness",
    "ndcg_at",
    "precision_at",
    "recall_at",
    "reciprocal_rank",
]

By = Literal["id", "source", "text"]
Measure = Literal["f1", "precision", "recall"]
Matches = Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True)
class _OfPassages(Scorer):
    """A metric that compares passages with what is relevant. A subclass implements `of`."""

    relevant: str
    k: int | None
    by: str
    field: str
    metric_version: ClassVar[int] = 1

    def __post_init__(self) -> None:
        checked_fields((self.relevant, self.field))
        _check_k(self.k)
        if self.by not in get_args(By):
            raise UsageError(f"`by` must be one of: {', '.join(get_args(By))}. Given: {shown(self.by)}.")
        self.check_settings()

    def check_settings(self) -> None:
        """Raise `UsageError` for a wrong setting of a subclass."""

    @property
    def metric_name(self) -> str:
        """The name for reports: `recall@5(sources)`."""
        name = self.made_by.removesuffix("_at")
        return f"{name}{'' if self.k is None else f'@{self.k}'}({self.relevant})"

    @property
    def labels(self) -> tuple[str, ...]:
        """The field with what is relevant."""
        return (self.relevant,)

    @property
    def outputs(self) -> tuple[str, ...]:
        """The field with the passages."""
        return (self.field,)

    def listed(self, prediction: object) -> Any:
        """Return the passages, or `MISSING`."""
        return given(prediction, self.field)

    def of(self, matches: Matches, grades: Mapping[str, float]) -> float:
        """Return the score.

        Args:
            matches: of each passage, in order, what is relevant and matches it.
            grades: the grade of all that is relevant; not empty.
        """
        raise NotImplementedError

    def score(self, example: Example, prediction: object, trace: object = None) -> Score:
        """Return how good the passages are."""
        grades = self._grades(label_of(example, self.relevant))
        got = self.listed(prediction)
        if got is MISSING:
            return missing(self.field, prediction)
        passages = (items_of(got) or [])[: self.k]
        if not grades:
            return Score(float(not passages), f"{self.field}: nothing is relevant; {len(passages)} passages")
        matches = [_matches(passage, grades, self.by) for passage in passages]
        found = set(chain(*matches))
        lacking = [item for item in grades if item not in found]
        words = f"{self.field}: {len(found)} of {len(grades)} in {len(passages)} passages"
        return Score(self.of(matches, grades), f"{words}; missing {listed(lacking, 5)}" if lacking else words)

    def _grades(self, label: Any) -> dict[str, float]:
        """Return what is relevant with its grade: that of a mapping, else 1. Grade 0 is not relevant."""
        value = plain(label)
        items = items_of(value)
        pairs = list(value.items()) if isinstance(value, Mapping) else [(one, 1) for one in items or [value]]
        texts = [] if items == [] else [(text_of(item), _grade(grade)) for item, grade in pairs]
        if any(text is None or not text.strip() or grade is None for text, grade in texts):
            raise MetricError(
                f"The label `{self.relevant}` must be a list of what is relevant (each the {self.by} of a passage), "
                f"or a mapping to grades. Given: {shown(label)}."
            )
        return {text: grade for text, grade in texts if text and grade}


@dataclass(frozen=True, slots=True)
class RecallAt(_OfPassages):
    """The metric that `recall_at` makes."""

    made_by: ClassVar[str] = "recall_at"

    def of(self, matches: Matches, grades: Mapping[str, float]) -> float:
        """Return the share of what is relevant that was found."""
        return _recall(matches, grades)


@factory
def recall_at(relevant: str = "relevant", *, k: int | None = None, by: By = "id", field: str = "passages") -> RecallAt:
    """Return a metric: the share of what is relevant that is among the first `k` passages, 0 to 1.

    Manning, Raghavan and Schütze 2008, "Introduction to Information Retrieval", section 8.3. If nothing is relevant,
    the score is 1 for no passage, else 0; so in all metrics of passages.

    Args:
        relevant: the label: a list of what is relevant, or a mapping to grades, of which 0 is not relevant.
        k: how many passages count; `None`: all.
        by: what the label names: the `id` or the `source` of passages, or a `text` that a passage holds.
        field: the predicted passages.

    Raises:
        UsageError: an unknown `by`, or a wrong `k`.
        MetricError: the label is absent or something else; raised when scoring.

    Example:
        >>> import dspy
        >>> import tunesmith as ts
        >>> example = dspy.Example(relevant=["a.md", "b.md"])
        >>> found = dspy.Prediction(passages=ts.BM25({"b.md": "one", "c.md": "one two"})("one"))
        >>> ts.metrics.recall_at(by="source")(example, found).value
        0.5
    """
    return RecallAt(relevant, k, by, field)


@dataclass(frozen=True, slots=True)
class PrecisionAt(_OfPassages):
    """The metric that `precision_at` makes."""

    made_by: ClassVar[str] = "precision_at"

    def of(self, matches: Matches, grades: Mapping[str, float]) -> float:
        """Return the share of the passages that are relevant."""
        return sum(map(bool, matches)) / (self.k or len(matches) or 1)


@factory
def precision_at(
    relevant: str = "relevant", *, k: int | None = None, by: By = "id", field: str = "passages"
) -> PrecisionAt:
    """Return a metric: the share of the first `k` passages that are relevant, 0 to 1.

    Manning, Raghavan and Schütze 2008, section 8.4, "precision at k". Fewer than `k` passages are divided by `k` all
    the same, as trec_eval does; without `k` all passages count.

    Args:
        relevant: the label, as in `recall_at`.
        k: how many passages count; `None`: all.
        by: what the label names: `id`, `source` or `text`.
        field: the predicted passages.

    Raises:
        UsageError: an unknown `by`, or a wrong `k`.
        MetricError: the label is absent or something else; raised when scoring.

    Example:
        >>> import dspy
        >>> import tunesmith as ts
        >>> example = dspy.Example(relevant=["b.md"])
        >>> found = dspy.Prediction(passages=ts.BM25({"b.md": "one", "c.md": "one two"})("one"))
        >>> ts.metrics.precision_at(k=2, by="source")(example, found).value
        0.5
    """
    return PrecisionAt(relevant, k, by, field)


@dataclass(frozen=True, slots=True)
class ReciprocalRank(_OfPassages):
    """The metric that `reciprocal_rank` makes."""

    made_by: ClassVar[str] = "reciprocal_rank"

    def of(self, matches: Matches, grades: Mapping[str, float]) -> float:
        """Return 1 divided by the place of the first passage that is relevant."""
        return next((1 / place for place, found in enumerate(matches, 1) if found), 0.0)


@factory
def reciprocal_rank(
    relevant: str = "relevant", *, k: int | None = None, by: By = "id", field: str = "passages"
) -> ReciprocalRank:
    """Return a metric: 1 divided by the place of the first passage that is relevant, 0 without one.

    Its mean over a dataset is MRR (Voorhees 1999, "The TREC-8 Question Answering Track Report").

    Args:
        relevant: the label, as in `recall_at`.
        k: how many passages count; `None`: all.
        by: what the label names: `id`, `source` or `text`.
        field: the predicted passages.

    Raises:
        UsageError: an unknown `by`, or a wrong `k`.
        MetricError: the label is absent or something else; raised when scoring.

    Example:
        >>> import dspy
        >>> import tunesmith as ts
        >>> example = dspy.Example(relevant=["c.md"])
        >>> found = dspy.Prediction(passages=ts.BM25({"b.md": "one", "c.md": "one two"})("one"))
        >>> ts.metrics.reciprocal_rank(by="source")(example, found).value
        0.5
    """
    return ReciprocalRank(relevant, k, by, field)


@dataclass(frozen=True, slots=True)
class NdcgAt(_OfPassages):
    """The metric that `ndcg_at` makes."""

    made_by: ClassVar[str] = "ndcg_at"

    def of(self, matches: Matches, grades: Mapping[str, float]) -> float:
        """Return the discounted gain, divided by that of the best order."""
        left = dict(grades)  # what was found before gains nothing
        gains = [sum(left.pop(item, 0.0) for item in found) for found in matches]
        best = sorted(grades.values(), reverse=True)[: self.k]
        return min(1.0, _discounted(gains) / _discounted(best))


@factory
def ndcg_at(relevant: str = "relevant", *, k: int | None = None, by: By = "id", field: str = "passages") -> NdcgAt:
    """Return a metric: the normalised discounted cumulative gain of the first `k` passages, 0 to 1.

    Järvelin and Kekäläinen 2002, "Cumulated Gain-Based Evaluation of IR Techniques": the sum of grade / log2(rank + 1),
    ranks from 1, divided by that of the best order of all that is relevant. Grades count as they are, as in trec_eval
    and scikit-learn.

    Args:
        relevant: the label: a mapping to grades, or a list of what is relevant, each with grade 1.
        k: how many passages count; `None`: all.
        by: what the label names: `id`, `source` or `text`.
        field: the predicted passages.

    Raises:
        UsageError: an unknown `by`, or a wrong `k`.
        MetricError: the label is absent or something else; raised when scoring.

    Example:
        >>> import dspy
        >>> import tunesmith as ts
        >>> example = dspy.Example(relevant={"c.md": 2, "b.md": 1})
        >>> found = dspy.Prediction(passages=ts.BM25({"b.md": "one", "c.md": "one two"})("one"))
        >>> round(ts.metrics.ndcg_at(by="source")(example, found).value, 3)
        0.86
    """
    return NdcgAt(relevant, k, by, field)


@dataclass(frozen=True, slots=True)
class CitationCorrectness(_OfPassages):
    """The metric that `citation_correctness` makes."""

    measure: str
    made_by: ClassVar[str] = "citation_correctness"

    def check_settings(self) -> None:
        """Refuse an unknown measure."""
        if self.measure not in get_args(Measure):
            raise UsageError(f"`measure` must be one of: {', '.join(get_args(Measure))}. Given: {shown(self.measure)}.")

    def listed(self, prediction: object) -> Any:
        """Return what is cited. A number of no passage is a citation of nothing."""
        cited, wrong = given(prediction, self.field), given(prediction, "wrong_citations")
        return cited if cited is MISSING else [*(items_of(cited) or []), *(items_of(wrong) or [])]

    def of(self, matches: Matches, grades: Mapping[str, float]) -> float:
        """Return precision, recall, or their harmonic mean."""
        recall, precision = _recall(matches, grades), sum(map(bool, matches)) / (len(matches) or 1)
        both = recall + precision
        return {"recall": recall, "precision": precision, "f1": 2 * recall * precision / both if both else 0.0}[
            self.measure
        ]


@factory
def citation_correctness(
    relevant: str = "relevant", *, measure: Measure = "f1", by: By = "id", field: str = "citations"
) -> CitationCorrectness:
    """Return a metric: whether an answer cites what it should and nothing else, 0 to 1.

    The citation precision and recall of Gao et al. 2023, "Enabling Large Language Models to Generate Text with
    Citations" (arXiv 2305.14627), section 3. Difference: labels say which passages support the answer, in place of a
    model of entailment. A number of no passage (`wrong_citations` of `ts.RAG`) counts as a wrong citation.

    Args:
        relevant: the label: a list of what supports the answer.
        measure: `precision` (the share of citations that support it), `recall` (the share of what supports it that is
            cited), or `f1`, their harmonic mean.
        by: what the label names: `id`, `source` or `text`.
        field: the predicted citations.

    Raises:
        UsageError: an unknown `by` or `measure`.
        MetricError: the label is absent or something else; raised when scoring.

    Example:
        >>> import dspy
        >>> import tunesmith as ts
        >>> example = dspy.Example(relevant=["b.md"])
        >>> found = dspy.Prediction(citations=ts.BM25({"b.md": "one"})("one"), wrong_citations=[7])
        >>> ts.metrics.citation_correctness(by="source", measure="precision")(example, found).value
        0.5
    """
    return CitationCorrectness(relevant, None, by, field, measure)


@dataclass(frozen=True, slots=True)
class AnswerInPassages(Scorer):
    """The metric that `answer_in_passages` makes."""

    answer: str
    k: int | None
    field: str
    metric_version: ClassVar[int] = 1
    made_by: ClassVar[str] = "answer_in_passages"

    def __post_init__(self) -> None:
        checked_fields((self.answer, self.field))
        _check_k(self.k)

    @property
    def labels(self) -> tuple[str, ...]:
        """The field with the answer."""
        return (self.answer,)

    @property
    def outputs(self) -> tuple[str, ...]:
        """The field with the passages."""
        return (self.field,)

    def score(self, example: Example, prediction: object, trace: object = None) -> Score:
        """Return 1 if a passage holds an answer, else 0."""
        label = label_of(example, self.answer)
        given_texts = [text_of(one) for one in items_of(label) or [label]]
        answers = [text for text in given_texts if text]
        if len(answers) < len(given_texts):
            raise MetricError(f"The label `{self.answer}` must be a text or a list of texts. Given: {shown(label)}.")
        got = given(prediction, self.field)
        if got is MISSING:
            return missing(self.field, prediction)
        texts = [_part(passage, "text") for passage in (items_of(got) or [])[: self.k]]
        for place, text in enumerate(texts, 1):
            if text is not None and any(holds_text(answer, text) for answer in answers):
                return Score(1.0, f"{self.field}: number {place} holds the answer")
        return Score(0.0, f"{self.field}: none of {len(texts)} holds {listed(answers, 5)}")


@factory
def answer_in_passages(answer: str = "answer", *, k: int | None = None, field: str = "passages") -> AnswerInPassages:
    """Return a metric: 1 if one of the first `k` passages holds the answer of the label, else 0.

    The top-k accuracy of retrieval in Karpukhin et al. 2020, "Dense Passage Retrieval for Open-Domain Question
    Answering" (arXiv 2004.04906), section 5. Texts are compared as in `contains`.

    Args:
        answer: the label: a text, or a list of texts of which one is enough.
        k: how many passages count; `None`: all.
        field: the predicted passages.

    Raises:
        UsageError: a wrong `k`.
        MetricError: the label is absent or no text; raised when scoring.

    Example:
        >>> import dspy
        >>> import tunesmith as ts
        >>> found = dspy.Prediction(passages=["Rome is in Italy.", "Oslo is in Norway."])
        >>> ts.metrics.answer_in_passages(k=1)(dspy.Example(answer="Norway"), found).value
        0.0
    """
    return AnswerInPassages(answer, k, field)


def _check_k(k: object) -> None:
    if k is not None and (type(k) is not int or k < 1):
        raise UsageError(f"`k` must be a whole number of at least 1, or None for all. Given: {shown(k)}.")


def _grade(grade: object) -> float | None:
    """Return a grade, `None` if it is none."""
    is_number = isinstance(grade, int | float) and not isinstance(grade, bool)
    return float(grade) if is_number and 0 <= grade < math.inf else None  # type: ignore[arg-type, operator]


def _recall(matches: Matches, grades: Mapping[str, float]) -> float:
    return len(set(chain(*matches))) / len(grades)


def _discounted(gains: Sequence[float]) -> float:
    return sum(gain / math.log2(rank + 1) for rank, gain in enumerate(gains, 1))


def _part(passage: Any, name: str) -> str | None:
    """Return the id, source or text of a passage; a text stands for any of them."""
    value: Any = plain(passage)
    return text_of(value.get(name)) if isinstance(value, Mapping) else text_of(value)


def _matches(passage: Any, relevant: Mapping[str, float], by: str) -> list[str]:
    """Return what is relevant and in a passage: of the same name, or a text that it holds, apart from white space."""
    part = _part(passage, by)
    if part is None:
        return []
    if by != "text":
        return [part] if part in relevant else []
    text = _folded(part)
    return [item for item in relevant if _folded(item) in text]


def _folded(text: str) -> str:
    return " ".join(text.split()).casefold()
