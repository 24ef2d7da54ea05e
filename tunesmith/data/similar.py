"""Find texts that are nearly the same: equal but for case and punctuation, or with most of their words in common."""

import itertools
import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from tunesmith.errors import UsageError, shown

__all__ = ["NEAR", "Similar", "check_near", "near_groups", "similar_texts", "words_of"]

NEAR = 0.8
"""The default similarity above which two texts are nearly the same."""

# Chinese, Japanese and Korean are written without blanks, so there each character counts as a word.
_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|[^\W_\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]+")


@dataclass(frozen=True, slots=True)
class Similar:
    """Which texts are nearly the same.

    Attributes:
        classes: positions of the texts with the same words in the same order, each text in one class.
        pairs: two classes and their similarity, for each pair of classes that are nearly the same.
    """

    classes: tuple[tuple[int, ...], ...]
    pairs: tuple[tuple[int, int, float], ...]


def words_of(text: str) -> list[str]:
    """Return the words of a text in lower case, without punctuation.

    Example:
        >>> words_of("The bed was hard!")
        ['the', 'bed', 'was', 'hard']
    """
    return _WORD.findall(text.casefold())


def similar_texts(texts: Iterable[str], near: float = NEAR) -> Similar:
    """Return which of the texts are nearly the same.

    The similarity of two texts is the Jaccard index of their features: their words, and their pairs of neighbouring
    words. All pairs of at least `near` are found: two sets that similar share one of the rarest features of each, so
    only those are looked up (Bayardo, Ma and Srikant, 2007, "Scaling Up All Pairs Similarity Search").

    Args:
        texts: the texts.
        near: the smallest similarity of a pair, above 0 and up to 1.

    Raises:
        UsageError: `near` is out of range.

    Example:
        >>> similar_texts(["The bed was hard.", "the bed was hard", "Nice view."]).classes
        ((0, 1), (2,))
    """
    check_near(near)
    by_words: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for place, text in enumerate(texts):
        by_words[tuple(words_of(text)) or (text,)].append(place)  # a text without words equals only itself
    pairs = tuple(_pairs([_features(words) for words in by_words], near))
    return Similar(tuple(map(tuple, by_words.values())), pairs)


def near_groups(texts: Iterable[str], near: float) -> list[int]:
    """Return for each text the number of its group: nearly the same, also by way of others."""
    found = similar_texts(texts, near)
    group = list(range(len(found.classes)))

    def root(number: int) -> int:
        while group[number] != number:
            group[number] = group[group[number]]
            number = group[number]
        return number

    for one, other, _ in found.pairs:
        group[root(other)] = root(one)
    numbers = [0] * sum(map(len, found.classes))
    for number, places in enumerate(found.classes):
        for place in places:
            numbers[place] = root(number)
    return numbers


def check_near(near: object) -> None:
    """Raise `UsageError` if `near` is not a similarity above 0 and up to 1."""
    if isinstance(near, bool) or not isinstance(near, (int, float)) or not 0 < near <= 1:
        raise UsageError(f"`near` is a similarity, above 0 and up to 1, such as 0.8. Given: {shown(near)}.")


def _features(words: Sequence[str]) -> frozenset[str]:
    return frozenset((*words, *(f"{one} {other}" for one, other in itertools.pairwise(words))))


def _pairs(sets: Sequence[frozenset[str]], near: float) -> Iterator[tuple[int, int, float]]:
    counts = Counter(feature for found in sets for feature in found)
    rank = {feature: place for place, feature in enumerate(sorted(counts, key=lambda one: (counts[one], one)))}
    ordered = [sorted(rank[feature] for feature in found) for found in sets]
    index: dict[int, list[int]] = defaultdict(list)
    for here in sorted(range(len(sets)), key=lambda place: len(ordered[place])):
        features = ordered[here]
        least = math.ceil(near * len(features) - 1e-9)
        candidates: set[int] = set()
        for feature in features[: len(features) - least + 1]:
            candidates.update(index[feature])
            index[feature].append(here)
        for other in sorted(candidates):
            if len(ordered[other]) >= least:
                common = len(sets[here] & sets[other])
                similarity = common / (len(features) + len(ordered[other]) - common)
                if similarity >= near:
                    yield min(here, other), max(here, other), similarity
