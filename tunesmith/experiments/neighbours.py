"""The rival without a model: a vote of the nearest training examples."""

import math
import re
from collections import Counter
from collections.abc import Sequence

from tunesmith.data import example_key
from tunesmith.errors import UsageError
from tunesmith.evaluation import Report, Row
from tunesmith.signatures import Example

__all__ = ["nearest_neighbour_vote"]

_WORD = re.compile(r"\b\w\w+\b")


def nearest_neighbour_vote(
    train: Sequence[Example],
    test: Sequence[Example],
    *,
    field: str,
    label: str,
    neighbours: int = 5,
) -> Report:
    """Return how a tf-idf nearest-neighbour vote scores on `test`, by exact match.

    Texts are lower-cased words of two characters and more, weighted by term count times smoothed inverse document
    frequency, log((1+N)/(1+df))+1, normalised to length 1 and compared by cosine, as scikit-learn's `TfidfVectorizer`
    does by default. The most frequent label among the nearest wins; a tie goes to the label with the higher summed
    similarity.

    Args:
        train: examples to look among, at least one.
        test: examples to label.
        field: the text compared.
        label: the field voted on.
        neighbours: how many vote.

    Raises:
        UsageError: there is nothing to look among.
    """
    if not train:
        raise UsageError("A nearest-neighbour vote needs training examples. Given: none.")
    texts = [_words(example[field]) for example in train]
    frequency = Counter(word for words in texts for word in words)
    weight = {w: math.log((1 + len(train)) / (1 + n)) + 1 for w, n in frequency.items()}
    known = [(_vector(words, weight), example[label]) for words, example in zip(texts, train, strict=True)]
    rows = []
    for example in test:
        vector = _vector(_words(example[field]), weight)
        near = sorted(((_dot(vector, other), i) for i, (other, _) in enumerate(known)), key=lambda p: (-p[0], p[1]))[
            :neighbours
        ]
        votes: Counter[str] = Counter()
        closeness: dict[str, float] = {}
        for similarity, index in near:
            name = known[index][1]
            votes[name] += 1
            closeness[name] = closeness.get(name, 0.0) + similarity
        winner = max(votes, key=lambda name: (votes[name], closeness[name]))
        score = float(winner == example[label])
        rows.append(Row(example_key(example), {label: winner}, score))
    return Report(tuple(rows))


def _words(text: str) -> Counter[str]:
    return Counter(_WORD.findall(text.lower()))


def _vector(words: Counter[str], weight: dict[str, float]) -> dict[str, float]:
    found = {word: count * weight[word] for word, count in words.items() if word in weight}
    length = math.sqrt(sum(value * value for value in found.values()))
    return {word: value / length for word, value in found.items()} if length else {}


def _dot(a: dict[str, float], b: dict[str, float]) -> float:
    return sum(value * b.get(word, 0.0) for word, value in a.items())
