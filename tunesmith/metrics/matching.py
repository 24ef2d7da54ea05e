"""Answers that are right or wrong."""

import re
from dataclasses import dataclass
from typing import Any, ClassVar

from tunesmith.data import Score
from tunesmith.errors import MetricError, UsageError, shown
from tunesmith.metrics.field import FieldScorer
from tunesmith.metrics.metric import Scorer, factory, named
from tunesmith.metrics.values import (
    MISSING,
    checked_fields,
    common_fields,
    given,
    items_of,
    judged,
    label_of,
    missing,
    same,
    texts_of,
)
from tunesmith.metrics.wording import holds_text
from tunesmith.signatures import Example

__all__ = [
    "Contains",
    "ExactMatch",
    "OneOf",
    "RegexMatch",
    "contains",
    "exact_match",
    "one_of",
    "regex_match",
]


@dataclass(frozen=True, slots=True)
class ExactMatch(Scorer):
    """The metric that `exact_match` makes."""

    fields: tuple[str, ...]
    normalize: bool
    metric_version: ClassVar[int] = 2
    made_by: ClassVar[str] = "exact_match"

    def __post_init__(self) -> None:
        checked_fields(self.fields)

    @property
    def labels(self) -> tuple[str, ...]:
        """The named fields; empty if none is named."""
        return self.fields

    def score(self, example: Example, prediction: object, trace: object = None) -> Score:
        """Return 1 if all fields match, else 0 with the differences as feedback."""
        scores = [
            self._field(example, prediction, field) for field in self.fields or common_fields(example, prediction)
        ]
        wrong = [score.feedback for score in scores if score.value < 1]
        if wrong:
            return Score(0.0, "; ".join(text for text in wrong if text is not None))
        return Score(1.0, "; ".join(score.feedback or "" for score in scores))

    def _field(self, example: Example, prediction: object, field: str) -> Score:
        expected, got = label_of(example, field), given(prediction, field)
        if got is MISSING:
            return missing(field, prediction)
        return judged(field, same(expected, got, normalize=self.normalize), expected, got)


@factory
def exact_match(*fields: str, normalize: bool = True) -> ExactMatch:
    """Return a metric: 1 if every field equals its label, else 0.

    Args:
        *fields: the fields to compare. Default: every label of the example (each field that is not an
            input) that the prediction has too; if it has none of them, the score is 0.
        normalize: compare texts like SQuAD's exact match (`normalize_text`; Rajpurkar et al., 2016),
            with three differences. Texts that are numbers are compared as numbers. Texts with
            different numbers, or with different signs after a word ("C++", "A-"), never match. A label
            that the normalisation would empty ("A") keeps its articles or punctuation. `False`
            compares texts exactly.

    Numbers, booleans, dates, URLs and similar types, and Enum members are compared by value; their text also matches.
    Lists are compared in order; mappings, models and dataclasses field by field.

    Raises:
        UsageError: a field name is not text.
        MetricError: a label is absent; raised when scoring.

    Example:
        >>> import dspy
        >>> import tunesmith as ts
        >>> example, prediction = dspy.Example(answer="The Louvre"), dspy.Prediction(answer="louvre")
        >>> ts.metrics.exact_match("answer")(example, prediction).value
        1.0
    """
    return ExactMatch(fields, normalize)


@dataclass(frozen=True, slots=True)
class Contains(FieldScorer):
    """The metric that `contains` makes."""

    normalize: bool
    metric_version: ClassVar[int] = 2
    made_by: ClassVar[str] = "contains"

    def check_label(self, field: str, label: Any, got: Any) -> None:
        """Refuse a blank text."""
        if any(text is not None and text.strip() == "" for text in texts_of(label)):
            raise MetricError(f"The label `{field}` must be text. Given: {shown(label)}.")

    def compare(self, field: str, label: Any, got: Any) -> Score:
        """Return 1 if the predicted text contains the label, else 0."""
        texts = texts_of(label)
        if None in texts or not texts:
            return judged(field, same(label, got, normalize=self.normalize), label, got)
        found = all(self._holds(got, text) for text in texts if text is not None)
        return judged(field, found, label, got, "not contained; ")

    def _holds(self, got: object, expected: str) -> bool:
        texts = [text for text in texts_of(got) if text is not None]
        return any(holds_text(expected, text) if self.normalize else expected in text for text in texts)


@factory
def contains(field: str | None = None, *, normalize: bool = True) -> Contains:
    """Return a metric: 1 if the predicted text contains the label as whole words, else 0.

    If the label is a list or set, the prediction must contain every item. If the prediction is a list, any item may
    contain the label. A label without text (`None`, an object, an empty list) must be equal.

    Args:
        field: the field to compare; default the only label that the prediction has.
        normalize: compare like `exact_match`; "no" is not in "know", "5" is not in "15".
            `False` searches for the exact label, anywhere.

    Raises:
        UsageError: a field name is not text.
        MetricError: the label is absent or blank; raised when scoring.

    Example:
        >>> import dspy
        >>> import tunesmith as ts
        >>> example, prediction = dspy.Example(answer="Paris"), dspy.Prediction(answer="It is Paris, I think.")
        >>> ts.metrics.contains("answer")(example, prediction).value
        1.0
    """
    return Contains(field, normalize)


@dataclass(frozen=True, slots=True)
class OneOf(Scorer):
    """The metric that `one_of` makes."""

    field: str
    accepted_field: str
    normalize: bool
    metric_version: ClassVar[int] = 2
    made_by: ClassVar[str] = "one_of"

    def __post_init__(self) -> None:
        checked_fields((self.field, self.accepted_field))

    @property
    def labels(self) -> tuple[str, ...]:
        """The field that lists the accepted answers."""
        return (self.accepted_field,)

    @property
    def outputs(self) -> tuple[str, ...]:
        """The predicted field."""
        return (self.field,)

    def score(self, example: Example, prediction: object, trace: object = None) -> Score:
        """Return 1 if the predicted value is an accepted one, else 0."""
        label, got = label_of(example, self.accepted_field), given(prediction, self.field)
        accepted = items_of(label)
        if not accepted:
            raise MetricError(
                f"The label `{self.accepted_field}` is a list of accepted answers with at least "
                f"one. Given: {shown(label)}."
            )
        if got is MISSING:
            return missing(self.field, prediction)
        found = any(same(value, got, normalize=self.normalize) for value in (*accepted, label))
        return judged(self.field, found, accepted, got, "none of those accepted; ")


@named
def one_of(field: str, *, accepted_field: str | None = None, normalize: bool = True) -> OneOf:
    """Return a metric: 1 if the predicted value equals an accepted one, or is the whole list of them, else 0.

    Args:
        field: the predicted field.
        accepted_field: the label that lists the accepted values; by default `field`.
        normalize: as in `exact_match`.

    Raises:
        UsageError: a field name is not text.
        MetricError: the label is absent, empty or not a list; raised when scoring.

    Example:
        >>> import dspy
        >>> import tunesmith as ts
        >>> example, prediction = dspy.Example(answer=["NYC", "New York"]), dspy.Prediction(answer="new york")
        >>> ts.metrics.one_of("answer")(example, prediction).value
        1.0
    """
    return OneOf(field, field if accepted_field is None else accepted_field, normalize)


@dataclass(frozen=True, slots=True)
class RegexMatch(Scorer):
    """The metric that `regex_match` makes."""

    pattern: str
    field: str
    metric_version: ClassVar[int] = 2
    made_by: ClassVar[str] = "regex_match"

    def __post_init__(self) -> None:
        checked_fields((self.field,))
        try:
            re.compile(self.pattern)
        except (re.error, TypeError, RecursionError, OverflowError) as error:
            raise UsageError(f"Not a regular expression: {error}. Given: {shown(self.pattern)}.") from error

    @property
    def outputs(self) -> tuple[str, ...]:
        """The predicted field."""
        return (self.field,)

    def score(self, example: Example, prediction: object, trace: object = None) -> Score:
        """Return 1 if the predicted text has a match of the pattern, else 0."""
        got = given(prediction, self.field)
        if got is MISSING:
            return missing(self.field, prediction)
        texts = texts_of(got)
        found = bool(texts) and all(text is not None and re.search(self.pattern, text) for text in texts)
        return judged(self.field, found, f"text with /{self.pattern}/", got)


def regex_match(pattern: str, field: str) -> RegexMatch:
    r"""Return a metric: 1 if `re.search(pattern, text)` finds something, else 0.

    It needs no label. Anchor the pattern (`^...$`, `\A...\Z`) to match the whole text. If the prediction is a list or
    set, every item must match, and there must be at least one.

    Raises:
        UsageError: `pattern` is not a Python regular expression.

    Example:
        >>> import dspy
        >>> import tunesmith as ts
        >>> example, prediction = dspy.Example(), dspy.Prediction(code="AB-123")
        >>> ts.metrics.regex_match(r"^[A-Z]+-[0-9]+$", "code")(example, prediction).value
        1.0
    """
    return RegexMatch(pattern, field)
