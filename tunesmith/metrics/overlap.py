"""Answers that are partly right: words in common."""

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from tunesmith.data import Score, tokens
from tunesmith.errors import MetricError, UsageError, shown
from tunesmith.metrics.field import FieldScorer
from tunesmith.metrics.metric import factory
from tunesmith.metrics.values import items_of, judged, plain, same, texts_of
from tunesmith.metrics.wording import same_text

__all__ = ["RougeL", "TokenF1", "rouge_l", "token_f1"]

_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class _Overlap(FieldScorer):
    """A metric of texts: how much of the label's words the prediction has. A subclass implements `of`."""

    measure: ClassVar[str]

    def of(self, expected: str, got: str) -> float:
        """Return the score of two texts, 0 to 1."""
        raise NotImplementedError

    def check_label(self, field: str, label: Any, got: Any) -> None:
        """Refuse a list without texts for a predicted text."""
        if items_of(label) is not None and items_of(got) is None and not _texts(label):
            raise MetricError(f"The label `{field}` must be text. Given: {shown(label)}.")

    def compare(self, field: str, label: Any, got: Any) -> Score:
        """Return the score of the best label."""
        wanted, have = _texts(label), _texts(got)
        both_texts = isinstance(plain(label), str) and isinstance(plain(got), str)
        if wanted is None or (not both_texts and same(label, got)):
            return judged(field, same(label, got), label, got)
        if have is None:
            return judged(field, 0, label, got, "no text; ")
        if items_of(got) is not None or items_of(label) is None:
            value = self.of(" ".join(wanted), " ".join(have))
        else:
            value = max(self.of(expected, have[0]) for expected in wanted)
        return judged(field, value, label, got, f"{self.measure} {value:.2f}; ")


@dataclass(frozen=True, slots=True)
class TokenF1(_Overlap):
    """The metric that `token_f1` makes."""

    metric_version: ClassVar[int] = 2
    made_by: ClassVar[str] = "token_f1"
    measure: ClassVar[str] = "F1"

    def of(self, expected: str, got: str) -> float:
        """Return the F1 of two texts."""
        wanted, have = tokens(expected), tokens(got)
        if not wanted or not have:
            return float(not wanted and same_text(expected, got))
        common = (Counter(wanted) & Counter(have)).total()
        return _f_measure(common / len(have), common / len(wanted), 1.0)


@factory
def token_f1(field: str | None = None) -> TokenF1:
    """Return a metric: the F1 of the words that prediction and label have in common, 0 to 1.

    This is the F1 of the official SQuAD script (Rajpurkar et al., 2016): words of `normalize_text`, repeated words
    counted. If the label is a list of texts and the prediction is a text, the best label counts. There are three
    differences. A label without words ("A", "?") scores 1 for the same text, else 0. If the prediction is a list or
    set, the words of all items count, in the prediction and in the label. A label without text (`None`, an object)
    scores 1 for an equal value, else 0.

    Args:
        field: the field to compare; default the only label that the prediction has.

    Raises:
        MetricError: the label is absent, or is a list without texts for a predicted text; raised when scoring.

    Example:
        >>> import dspy
        >>> import tunesmith as ts
        >>> example, prediction = dspy.Example(answer="red wine"), dspy.Prediction(answer="the red car")
        >>> ts.metrics.token_f1("answer")(example, prediction).value
        0.5
    """
    return TokenF1(field)


@dataclass(frozen=True, slots=True)
class RougeL(_Overlap):
    """The metric that `rouge_l` makes."""

    beta: float
    metric_version: ClassVar[int] = 2
    made_by: ClassVar[str] = "rouge_l"
    measure: ClassVar[str] = "ROUGE-L"

    def check_settings(self) -> None:
        """Refuse a beta that is not above zero."""
        beta = self.beta
        if isinstance(beta, bool) or not isinstance(beta, (int, float)) or not 0 < beta < math.inf:
            raise UsageError(f"`beta` must be a number above zero. Given: {shown(beta)}.")

    def of(self, expected: str, got: str) -> float:
        """Return the ROUGE-L of two texts."""
        wanted, have = _words(expected), _words(got)
        if not wanted or not have:
            return float(not wanted and same_text(expected, got))
        common = longest_common(wanted, have)
        return _f_measure(common / len(have), common / len(wanted), self.beta)


@factory
def rouge_l(field: str | None = None, *, beta: float = 1.0) -> RougeL:
    """Return a metric: ROUGE-L, from the longest common subsequence of words, 0 to 1.

    F = (1 + beta^2) R P / (R + beta^2 P). R and P are the length of the subsequence divided by the
    number of words in the label and in the prediction (Lin, 2004, "ROUGE: A Package for Automatic
    Evaluation of Summaries", section 3.1, the sentence level). Words are runs of letters, digits and
    underscores in lower case, in any script. There is no stemming and no stop list. Lists, sets and
    labels without text count as in `token_f1`; the items of a set are sorted by their text.

    Args:
        field: the field to compare; default the only label that the prediction has.
        beta: how much more recall counts than precision. 1.0 is the F1 of the `rouge-score` package,
            1.2 is used for COCO captions; Lin's ROUGE-1.5.5 favours recall.

    Raises:
        UsageError: `beta` is not above zero and finite.
        MetricError: the label is absent, or is a list without texts for a predicted text; raised when scoring.

    Example:
        >>> import dspy
        >>> import tunesmith as ts
        >>> example = dspy.Example(text="police killed the gunman")
        >>> prediction = dspy.Prediction(text="police kill the gunman")
        >>> ts.metrics.rouge_l("text")(example, prediction).value
        0.75
    """
    return RougeL(field, beta)


def longest_common(one: Sequence[str], other: Sequence[str]) -> int:
    """Return the length of the longest common subsequence.

    Bit-parallel (Hyyrö, 2004, "Bit-parallel LCS-length computation revisited"): one step per word of
    the longer text, on an integer with one bit per word of the shorter.
    """
    short, long = sorted((one, other), key=len)
    places: dict[str, int] = {}
    for index, word in enumerate(short):
        places[word] = places.get(word, 0) | (1 << index)
    full = (1 << len(short)) - 1
    row = full
    for word in long:
        hits = row & places.get(word, 0)
        if hits > 0:
            row = ((row + hits) | (row - hits)) & full
    return len(short) - row.bit_count()


def _texts(value: object) -> list[str] | None:
    """Return the text of a scalar, or the texts of a list or set of scalars; `None` for any other value."""
    texts = texts_of(value)
    found = [text for text in texts if text is not None]
    return found if len(found) == len(texts) else None


def _f_measure(precision: float, recall: float, beta: float) -> float:
    if precision == 0 or recall == 0:
        return 0.0
    square = beta * beta
    return (1 + square) * precision * recall / (recall + square * precision)


def _words(text: str) -> list[str]:
    return _WORD.findall(unicodedata.normalize("NFC", text).lower())
