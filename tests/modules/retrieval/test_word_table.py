"""The scores of words are those of bm25s, which is installed for this comparison."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.heavy import bm25s
from tunesmith.modules.retrieval import words_of
from tunesmith.modules.retrieval.word_table import WordTable

TEXTS = st.lists(st.text(alphabet="ab cD é猫咪.1", max_size=30), min_size=1, max_size=12)


@settings(max_examples=50)
@given(TEXTS)
def test_scores_are_those_of_bm25s(texts: list[str]) -> None:
    table, theirs = WordTable(texts), bm25s.BM25()
    if not table.words:
        assert not table.scores([]).any()
        return
    theirs.index([words_of(text) for text in texts], show_progress=False)

    for words in [*([word] for word in table.words), list(table.words)]:
        assert np.allclose(table.scores(words), theirs.get_scores(words), rtol=1e-5)


def test_a_word_in_most_of_many_texts_is_added_like_any_other() -> None:
    texts = [f"the {number % 7}" for number in range(5000)]
    table, theirs = WordTable(texts), bm25s.BM25()
    theirs.index([words_of(text) for text in texts], show_progress=False)

    assert table._common.keys() == {table.words["the"]}
    assert np.allclose(table.scores(["the", "3"]), theirs.get_scores(["the", "3"]), rtol=1e-5)
