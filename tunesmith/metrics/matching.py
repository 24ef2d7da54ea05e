"""Answers that are right or wrong."""

import re
from dataclasses import dataclass
from typing import ClassVar

from tunesmith.data import Score
from tunesmith.errors import MetricError, UsageError, shown
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
    one_field,
    same,
    text_of,
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

    def __post_init__(self) -> None:
        checked_fields(self.fields)

    @property
    def labels(self) -> tuple[str, ...]:
        """The fields, if they are named."""
        return self.fields

    @property
    def metric_name(self) -> str:
        """The name for reports."""
        return f"exact_match({', '.join(self.fields)})" if self.fields else "exact_match"

    def score(self, example: Example, prediction: object, trace: object = None) -> Score:
        """Return 1 where all fields match, else 0 with what was wrong."""
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
    """Return a metric: 1 where every field equals its label, else 0.

    Args:
        *fields: the fields to compare. By default every label of the example (each field that is no
            input) that the prediction has as well; where it has none of them, the score is 0.
        normalize: compare texts as SQuAD's exact match does (`normalize_text`; Rajpurkar et al.,
            2016), with these differences: texts that are numbers are compared as numbers, texts
            whose numbers differ, or the signs behind a word ("C++", "A-"), never match, and a label
            that the normalisation would empty ("A") keeps its articles or punctuation. `False`
            compares texts as they are.

    Numbers, booleans, dates, URLs and the like, and Enum members are compared by value, also with their text; lists in
    order, mappings, models and dataclasses field by field.

    Raises:
        UsageError: a field name that is no text.
        MetricError: when scoring, where a label is absent.

    Example:
        >>> import dspy
        >>> import tunesmith as ts
        >>> example, prediction = dspy.Example(answer="The Louvre"), dspy.Prediction(answer="louvre")
        >>> ts.metrics.exact_match("answer")(example, prediction).value
        1.0
    """
    return ExactMatch(fields, normalize)


@dataclass(frozen=True, slots=True)
class Contains(Scorer):
    """The metric that `contains` makes."""

    field: str | None
    normalize: bool
    metric_version: ClassVar[int] = 2

    def __post_init__(self) -> None:
        checked_fields(() if self.field is None else (self.field,))

    @property
    def labels(self) -> tuple[str, ...]:
        """The field, if it is named."""
        return () if self.field is None else (self.field,)

    @property
    def metric_name(self) -> str:
        """The name for reports."""
        return "contains" if self.field is None else f"contains({self.field})"

    def score(self, example: Example, prediction: object, trace: object = None) -> Score:
        """Return 1 where the predicted text contains the label, else 0."""
        field = one_field(example, prediction, self.field)
        label, got = label_of(example, field), given(prediction, field)
        wanted = items_of(label)
        texts = [text_of(item) for item in ([label] if wanted is None else wanted)]
        if any(text is not None and text.strip() == "" for text in texts):
            raise MetricError(f"The label `{field}` is no text to look for. Given: {shown(label)}.")
        if got is MISSING:
            return missing(field, prediction)
        if None in texts or not texts:
            return judged(field, same(label, got, normalize=self.normalize), label, got)
        found = all(self._holds(got, text) for text in texts if text is not None)
        return judged(field, found, label, got, "not contained; ")

    def _holds(self, got: object, expected: str) -> bool:
        items = items_of(got)
        texts = [text_of(item) for item in ([got] if items is None else items)]
        return any(
            holds_text(expected, text) if self.normalize else expected in text for text in texts if text is not None
        )


@factory
def contains(field: str | None = None, *, normalize: bool = True) -> Contains:
    """Return a metric: 1 where the predicted text contains the label as whole words, else 0.

    Of a label that is a list or set every item must be contained; of a predicted list any item may contain it. A label
    that has no text (`None`, an object, an empty list) must be the same.

    Args:
        field: the field to compare; by default the only label that the prediction has.
        normalize: compare as `exact_match` does; "no" is not in "know", "5" is not in "15".
            `False` looks for the label as it stands, anywhere.

    Raises:
        UsageError: a field name that is no text.
        MetricError: when scoring, if the label is absent or blank.

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

    def __post_init__(self) -> None:
        checked_fields((self.field, self.accepted_field))

    @property
    def labels(self) -> tuple[str, ...]:
        """The field that lists what is accepted."""
        return (self.accepted_field,)

    @property
    def outputs(self) -> tuple[str, ...]:
        """The predicted field."""
        return (self.field,)

    @property
    def metric_name(self) -> str:
        """The name for reports."""
        return f"one_of({self.field})"

    def score(self, example: Example, prediction: object, trace: object = None) -> Score:
        """Return 1 where the predicted value is one of those accepted, else 0."""
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
    """Return a metric: 1 where the predicted value equals any of the accepted ones, or is the list of them, else 0.

    Args:
        field: the predicted field.
        accepted_field: the label that lists the accepted values; by default `field`.
        normalize: as in `exact_match`.

    Raises:
        UsageError: a field name that is no text.
        MetricError: when scoring, where the label is absent, empty or no list.

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

    @property
    def metric_name(self) -> str:
        """The name for reports."""
        return f"regex_match({self.field})"

    def score(self, example: Example, prediction: object, trace: object = None) -> Score:
        """Return 1 where the pattern is found in the predicted text, else 0."""
        got = given(prediction, self.field)
        if got is MISSING:
            return missing(self.field, prediction)
        items = items_of(got)
        texts = [text_of(item) for item in ([got] if items is None else items)]
        found = bool(texts) and all(text is not None and re.search(self.pattern, text) for text in texts)
        return judged(self.field, found, f"text with /{self.pattern}/", got)


def regex_match(pattern: str, field: str) -> RegexMatch:
    r"""Return a metric: 1 where `re.search(pattern, text)` finds something, else 0.

    No label is needed. Anchor the pattern (`^...$`, `\A...\Z`) to match the whole text. Every item of a predicted list
    or set must match, and there must be one.

    Raises:
        UsageError: `pattern` is no regular expression of Python.

    Example:
        >>> import dspy
        >>> import tunesmith as ts
        >>> example, prediction = dspy.Example(), dspy.Prediction(code="AB-123")
        >>> ts.metrics.regex_match(r"^[A-Z]+-[0-9]+$", "code")(example, prediction).value
        1.0
    """
    return RegexMatch(pattern, field)
