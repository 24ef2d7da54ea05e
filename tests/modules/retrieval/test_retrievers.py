"""Every search keeps one protocol: passages, the best first, and none where nothing matches."""

import asyncio
import copy
from dataclasses import dataclass
from typing import Any

import dspy
import pytest

from tests.each import each
from tunesmith.errors import ModelError, UsageError
from tunesmith.modules import BM25, Corpus, Hybrid, Passage, Vectors, as_retriever, fused

TEXTS = ["Where is my card?", "Close my account.", "My card was stolen.", "我的卡在哪里", "A C++ course"]
WORDS = ("card", "account", "stolen", "course")


def count(texts: list[str]) -> list[list[float]]:
    """Return how often each text has each of four words."""
    return [[float(text.lower().count(word)) for word in WORDS] for text in texts]


def searches() -> dict[str, Any]:
    corpus = Corpus.of(TEXTS)
    return {
        "bm25": BM25(corpus),
        "vectors": Vectors(corpus, embed=count, min_score=0.1),
        "hybrid": Hybrid(BM25(corpus), Vectors(corpus, embed=count, min_score=0.1)),
        "function": as_retriever(lambda query, k: BM25(corpus)(query, k=k)),
    }


def texts(found: list[Passage]) -> list[str]:
    return [passage.text for passage in found]


@each("name", list(searches()))
def test_a_search_returns_passages_the_best_first_and_none_for_unknown_words(name: str) -> None:
    search = searches()[name]

    assert texts(search("stolen card", k=1)) == ["My card was stolen."]
    assert texts(search("stolen card", k=99)) == ["My card was stolen.", "Where is my card?"]
    assert [one.score for one in search("stolen card")] == sorted(
        (p.score for p in search("stolen card")), reverse=True
    )
    assert search("xyzzy") == search("") == search(" ") == []
    assert search("stolen card")[0].id == Corpus.of(TEXTS).ids[2]
    assert asyncio.run(search.acall("stolen card")) == search("stolen card") == copy.deepcopy(search)("stolen card")


@each("name", list(searches()))
def test_a_wrong_query_or_k_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="`query` must be a text"):
        searches()[name](None)
    for k in (0, -1, True, 2.5, None):
        with pytest.raises(UsageError, match="`k` must be a whole number"):
            searches()[name]("card", k=k)


def test_text_without_spaces_is_found_by_its_characters() -> None:
    assert texts(BM25(TEXTS)("哪里", k=2)) == ["我的卡在哪里"]


def test_a_text_is_embedded_once_and_another_corpus_asks_for_what_is_new() -> None:
    asked: list[str] = []

    def embed(given: list[str]) -> list[list[float]]:
        asked.extend(given)
        return count(given)

    first = Vectors(Corpus.of(["card", "account"]), embed=embed)
    first("stolen")
    assert texts(first.updated(Corpus.of(["account", "stolen"]))("stolen", k=1)) == ["stolen"]
    assert asked == ["card", "account", "stolen", "stolen", "stolen"]


@each("given", [None, "text", [[1.0], [1.0, 2.0]], [[1.0]] * 2, [[float("nan")]], [[]]])
def test_what_is_no_vector_is_refused_in_words(given: Any) -> None:
    with pytest.raises(ModelError, match="`embed` must return one list of finite numbers"):
        Vectors(["a"], embed=lambda _: given)("b")


def test_fusion_adds_the_weights_by_rank_from_one() -> None:
    a, b, c = (Passage(name, 1.0, name) for name in "abc")

    found = fused([[a, b], [b, c]])
    assert [(one.id, round(one.score, 6)) for one in found] == [
        ("b", round(1 / 62 + 1 / 61, 6)),
        ("a", round(1 / 61, 6)),
        ("c", round(1 / 62, 6)),
    ]
    assert [one.id for one in fused([[a, b], [b, c]], [1.0, 0.0])] == ["a", "b", "c"]
    assert [one.id for one in fused([[b], [a]])] == ["a", "b"]
    assert fused([[a, a, b]])[1].score == 1 / 62
    assert fused([]) == fused([[], []]) == []


@each(
    "given",
    [
        ["one", "two"],
        [("one", 2.0), ("two", 1.0)],
        [{"long_text": "one", "score": 3.0, "pid": 7}, {"text": "two"}],
        dspy.Prediction(passages=["one", "two"]),
        {"passages": ["one", "two"]},
        (Passage(text, 1.0, text) for text in ("one", "two", "three")),
    ],
)
def test_what_others_return_becomes_passages(given: Any) -> None:
    found = as_retriever(lambda query: given)("anything", k=2)

    assert texts(found) == ["one", "two"]
    assert all(isinstance(passage.id, str) and isinstance(passage.score, float) for passage in found)


def test_retrievers_of_dspy_fit() -> None:
    embedder = dspy.retrievers.Embeddings(corpus=TEXTS, embedder=lambda given: __import__("numpy").array(count(given)))
    assert texts(as_retriever(embedder)("stolen", k=1)) == ["My card was stolen."]

    with dspy.context(rm=lambda query, k, **_: [dspy.Example(long_text=f"{query} {n}") for n in range(k)]):
        assert texts(as_retriever(dspy.Retrieve(k=3))("card", k=2)) == ["card 0", "card 1"]


@each("given", ["a text", 3, [None], [object()]])
def test_what_is_no_passage_is_refused(given: Any) -> None:
    with pytest.raises(UsageError, match="must"):
        as_retriever(lambda query: given)("a")
    with pytest.raises(UsageError, match="must be callable"):
        as_retriever([])


def test_an_asynchronous_function_is_called_asynchronously() -> None:
    async def find(query: str) -> list[str]:
        return [query]

    search = as_retriever(find)
    assert texts(asyncio.run(search.acall("card"))) == ["card"]


def test_a_text_that_two_searches_find_is_one_passage() -> None:
    for given in (["Close my account."], [{"text": "Close my account."}], [("Close my account.", 0.5)]):
        found = Hybrid(BM25(TEXTS), lambda query, given=given: given)("my account")
        assert texts(found) == ["Close my account.", *texts(BM25(TEXTS)("my account"))[1:]]


@dataclass
class Document:
    """As those of LangChain."""

    page_content: str
    metadata: dict[str, str]
    id: str | None = None


def test_documents_of_other_libraries_become_passages() -> None:
    document = Document("Close my account.", {"source": "help.md"})
    for given in (document, (document, 0.5), {"content": "Close my account.", "metadata": {"file_path": "help.md"}}):
        (found,) = as_retriever(lambda query, given=given: [given])("anything")
        assert (found.text, found.source) == ("Close my account.", "help.md")
        assert found.id == Corpus.of([given]).ids[0] == Corpus.of({"help.md": "Close my account."}).ids[0]
    for wrong in ((document, None), {"text": "Close my account.", "score": "high"}):
        with pytest.raises(UsageError, match="score of a passage must be a number"):
            as_retriever(lambda query, wrong=wrong: [wrong])("anything")
    with pytest.raises(UsageError, match="such as `store"):
        as_retriever(document)
