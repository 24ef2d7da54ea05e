"""Literals and choices among many texts in a grammar."""

from hypothesis import given
from hypothesis import strategies as st

from tests.formats.gbnf import allows
from tests.scale import scaled
from tunesmith.signatures.gbnfchoice import choice_body

_WORDS = st.text("ab", max_size=9)


def test_few_texts_are_listed_in_their_order() -> None:
    assert choice_body(["b", "a", 'say "a"']) == '"b" | "a" | "say \\"a\\""'


@given(st.lists(st.text(min_size=1, max_size=4), min_size=1, max_size=20), st.text(max_size=4))
def test_many_texts_in_groups_are_exactly_those_texts(some: list[str], other: str) -> None:
    texts = [*some, *(f"{number:b}" for number in range(300))]
    found = f"root ::= {choice_body(texts)}"

    assert all(allows(found, text) for text in some)
    assert allows(found, other) == (other in texts)


@given(_WORDS)
def test_a_text_that_begins_another_is_held_too(word: str) -> None:
    texts = ["a" * length for length in range(1, scaled(400))] + [f"b{at}" for at in range(300)]

    assert allows(f"root ::= {choice_body(texts)}", word) == (word in texts)


def test_groups_are_not_nested_deeper_than_a_parser_can_follow() -> None:
    body = choice_body(["a" * length for length in range(1, 1000)])
    deepest = depth = 0
    for char in body:
        depth += (char == "(") - (char == ")")
        deepest = max(deepest, depth)

    assert deepest < 50
