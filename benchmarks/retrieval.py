"""Search in 100,000 passages of 100 words: time, memory and quality against the libraries that people use.

    nice -n 10 python benchmarks/retrieval.py

The texts are drawn from 30,000 made-up words by Zipf's law, so every query has very common words in it. Time is CPU
time of the process, and both sides take turns. Prints a line for each figure and its limit, and writes
benchmarks/retrieval.json. Exit code 1 if one does not hold. Takes about five minutes of CPU time and 2 GB of memory.
"""

import random
import re
import sys
import time
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any

import bm25s
import numpy as np
from measure import Row, child, in_turn, medians, ratio, report, spread
from rank_bm25 import BM25Okapi

import tunesmith as ts
from tunesmith.modules import VectorIndex, words_of

OUT = Path(__file__).with_suffix(".json")
PASSAGES, WORDS, QUERY, DEPTH = 100_000, 100, 12, 10
WIDTH, NODES = 384, 20_000


@cache
def vocabulary() -> tuple[list[str], list[float]]:
    rng = random.Random(1)
    words = ["".join(rng.choices("abcdefghijklmnop", k=rng.randint(2, 9))) for _ in range(30_000)]
    return words, [1 / rank for rank in range(1, len(words) + 1)]


def drawn(seed: int, count: int, length: int) -> list[str]:
    rng, (words, weights) = random.Random(seed), vocabulary()
    return [" ".join(rng.choices(words, weights, k=length)) for _ in range(count)]


def timed(work: Callable[[], Any]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def seconds_each(search: Callable[[str], Any], asked: list[str]) -> float:
    return timed(lambda: [search(query) for query in asked]) / len(asked)


def build_theirs(texts: list[str]) -> bm25s.BM25:
    index = bm25s.BM25()
    index.index(bm25s.tokenize(texts, stopwords=None, show_progress=False), show_progress=False)
    return index


def build_ours(texts: list[str]) -> ts.BM25:
    index = ts.BM25(texts)
    index("the first search makes the tables")
    return index


def building() -> Row:
    texts, rounds = drawn(0, PASSAGES, WORDS), iter(range(100))

    def fresh(build: Callable[[list[str]], Any]) -> float:
        given = [*texts, f"round {next(rounds)}"]  # tables of the same texts are kept
        return timed(lambda: build(given))

    found = in_turn({"bm25s": partial(fresh, build_theirs), "tunesmith": partial(fresh, build_ours)}, 3)
    return Row(
        "bm25_build",
        "CPU of BM25 from texts to the first answer, tunesmith / bm25s",
        ratio(found, "tunesmith", "bm25s"),
        1.2,
        details={"seconds": medians(found), "rounds": spread(found, "tunesmith", "bm25s")},
    )


def memory() -> float:
    """Return the most MB that a process had which does nothing but make the texts and the index."""
    index = build_ours(drawn(0, PASSAGES, WORDS))
    assert len(index.corpus) == PASSAGES
    # Linux only; `ru_maxrss` begins with the most that the process had which started this one.
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\s*(\d+)", status)[1]) / 2**10  # of KB


def searching() -> list[Row]:
    texts, asked = drawn(0, PASSAGES, WORDS), drawn(2, 300, QUERY)
    ours = build_ours(texts)
    theirs = BM25Okapi([text.split() for text in texts])
    sides = {
        "tunesmith": lambda: seconds_each(partial(ours, k=DEPTH), asked),
        "rank-bm25": lambda: seconds_each(lambda query: theirs.get_top_n(query.split(), texts, DEPTH), asked[:3]),
    }
    found = in_turn(sides, 3)
    rate = 1 / (medians(found, 1e6)["tunesmith"] / 1e6)
    return [
        Row("bm25_queries", f"queries a second of {QUERY} words on one core", rate, 500, at_most=False),
        Row(
            "bm25_rank_bm25",
            "queries a second, tunesmith / rank-bm25",
            ratio(found, "rank-bm25", "tunesmith"),
            10,
            at_most=False,
            details={"milliseconds": medians(found, 1e3, 3)},
        ),
    ]


def equal() -> Row:
    """Compare with bm25s on the same words: passages of one score may stand in any order."""
    texts, asked = drawn(3, 10_000, WORDS), drawn(4, 300, QUERY)
    ours, theirs = build_ours(texts), bm25s.BM25()
    theirs.index([words_of(text) for text in texts], show_progress=False)
    same = 0
    for query in asked:
        scores = theirs.get_scores([word for word in dict.fromkeys(words_of(query)) if word in theirs.vocab_dict])
        found = ours(query, k=DEPTH)
        best = np.sort(scores)[::-1][:DEPTH]
        same += np.allclose([one.score for one in found], best[best > 0], rtol=1e-4)
    return Row("bm25_equal", "queries with the ten best scores of bm25s", same / len(asked), 1.0, at_most=False)


@cache
def vectors() -> Any:
    found = np.random.default_rng(0).standard_normal((PASSAGES, WIDTH), dtype=np.float32)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def exact() -> Row:
    rows = vectors()
    number = {str(position): position for position in range(PASSAGES)}
    index = VectorIndex(list(number), lambda texts: rows[[number[text] for text in texts]])
    asked = [str(position) for position in range(50)]
    for query in asked:
        assert index.search(query, 1)[0][0] == int(query)
    sides = {
        "numpy": lambda: seconds_each(lambda query: rows @ rows[number[query]], asked),
        "tunesmith": lambda: seconds_each(lambda query: index.search(query, DEPTH), asked),
    }
    found = in_turn(sides)
    return Row(
        "vectors_exact",
        f"CPU of an exact search in {PASSAGES:,} x {WIDTH}, tunesmith / numpy's product alone",
        ratio(found, "tunesmith", "numpy"),
        1.3,
        details={"milliseconds": medians(found, 1e3, 2), "rounds": spread(found, "tunesmith", "numpy")},
    )


def graph() -> list[Row]:
    """Compare a graph of vectors in clusters with an exact search; the queries are other vectors of the clusters."""
    rng = np.random.default_rng(1)
    centres = rng.standard_normal((NODES // 50, WIDTH), dtype=np.float32)
    made = centres[rng.integers(0, len(centres), NODES + 100)]
    made += rng.standard_normal(made.shape, dtype=np.float32)
    texts, asked = [str(n) for n in range(NODES)], [str(n) for n in range(NODES, NODES + 100)]
    sides = {how: VectorIndex(texts, lambda given: made[list(map(int, given))], index=how) for how in ("exact", "hnsw")}
    answers = {how: [{p for p, _ in index.search(query, DEPTH)} for query in asked] for how, index in sides.items()}
    recall = sum(len(a & b) for a, b in zip(*answers.values(), strict=True)) / (DEPTH * len(asked))
    found = in_turn(
        {
            how: lambda index=index: seconds_each(lambda query: index.search(query, DEPTH), asked)
            for how, index in sides.items()
        }
    )
    return [
        Row("hnsw_recall", f"recall@{DEPTH} of hnsw in {NODES:,} x {WIDTH}", recall, 0.95, at_most=False),
        Row(
            "hnsw_queries",
            "CPU of a query, hnsw / exact",
            ratio(found, "hnsw", "exact"),
            0.5,
            details={"milliseconds": medians(found, 1e3, 2)},
        ),
    ]


def main() -> int:
    if sys.argv[1:] == ["memory"]:
        print(memory())
        return 0
    return report(measured(), OUT)


def measured() -> Iterator[Row]:
    yield building()
    yield Row("bm25_memory", "most MB of a process with texts, corpus and index", child(__file__, "memory"), 600)
    yield from searching()
    yield equal()
    yield exact()
    yield from graph()


if __name__ == "__main__":
    sys.exit(main())
