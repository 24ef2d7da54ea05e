"""Texts that are nearly the same."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.each import each
from tunesmith.data.similar import near_groups, similar_texts, words_of
from tunesmith.errors import UsageError

TEXTS = st.lists(st.lists(st.sampled_from("abcdef"), max_size=7).map(" ".join), max_size=12)


def test_case_punctuation_and_blanks_do_not_count() -> None:
    assert similar_texts(["The bed was hard.", "the  bed was HARD!", "Nice view."]).classes == ((0, 1), (2,))


def test_one_changed_word_of_twenty_is_near_and_one_of_five_is_not() -> None:
    words = [f"word{number}" for number in range(20)]
    changed = ["other", *words[1:]]
    assert similar_texts([" ".join(words), " ".join(changed)]).pairs[0][:2] == (0, 1)
    assert similar_texts([" ".join(words[:5]), " ".join(changed[:5])]).pairs == ()


def test_a_character_of_a_script_without_blanks_is_a_word() -> None:
    assert words_of("床很硬 OK") == ["床", "很", "硬", "ok"]


def test_texts_without_words_equal_only_themselves() -> None:
    assert similar_texts(["?", "!", "?"]).classes == ((0, 2), (1,))


@given(TEXTS, st.sampled_from([0.3, 0.5, 0.8, 1.0]))
def test_every_pair_that_is_similar_enough_is_found(texts: list[str], near: float) -> None:
    found = similar_texts(texts, near)
    features = [_features(texts[members[0]]) for members in found.classes]
    wanted = {
        (one, other)
        for one, other in itertools.combinations(range(len(features)), 2)
        if len(features[one] & features[other]) / (len(features[one] | features[other]) or 1) >= near
    }
    assert {pair[:2] for pair in found.pairs} == wanted


def _features(text: str) -> set[str]:
    words = text.split()
    return {*words, *map(" ".join, itertools.pairwise(words))}


@given(TEXTS)
def test_a_group_holds_what_is_near_by_way_of_others(texts: list[str]) -> None:
    groups, found = near_groups(texts, 0.5), similar_texts(texts, 0.5)
    assert all(len({groups[place] for place in members}) == 1 for members in found.classes)
    first = [members[0] for members in found.classes]
    assert all(groups[first[one]] == groups[first[other]] for one, other, _ in found.pairs)


@each("near", [0, -1, 1.5, True, "0.8"])
def test_a_similarity_out_of_range_is_refused(near: object) -> None:
    with pytest.raises(UsageError, match=r"above 0 and up to 1"):
        similar_texts([], near)  # type: ignore[arg-type]
