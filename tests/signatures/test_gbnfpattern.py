"""A text that the grammar of a pattern allows is matched by the pattern; as plain text and within JSON."""

import random
from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, StringConstraints, TypeAdapter, ValidationError

from tests.each import each
from tests.formats.gbnf import allows, written
from tests.scale import scaled
from tests.signatures.strategies import EVIL_PATTERNS, signature_of
from tunesmith.errors import ParseError
from tunesmith.signatures import grammar, is_held_as_json_alone, output_grammar, parse_json, parse_text, validate_output
from tunesmith.signatures.regex import read_regex

HELD = [
    r"^[A-Z]{3}$", r"^INV-\d+$", r"^\w+@\w+\.com$", "a+", "^(yes|no)$", r"^\d{4}-\d{2}$", "^[^aeiou]+$", r"^\s*x\s*$",
    "^.{5}$", "^.*$", "^#[0-9a-f]{6}$", r"^<b>\w+</b>$", r'^"\w+"$', "^(?:[A-Z][a-z]+ ?){2,3}$", r"^\+?[1-9]\d{1,14}$",
    r"^\D+$", r"^\S+$", r"^\W$", r"^[\w.-]+$", "^(a|b|c)+$", "^a|b$", "^é+$", "^[à-é]$", r"^\\d$", r"^[\s\S]+$",
    "^(?P<x>ab)+$", "^[a-z]+?$", "^x*$", r"^[^\s]+$", r"^[^\d]+$", r"^[^\w]+$", r"^(\w+ )+\w+$", "^[|~]+$", r"^\x41B$",
    "^[a&b]$", r"^[\]\[]+$", r"^\[x\]$", "^a{2,}b{0,2}$", r"\d",
    "(?i)^[a-f]{3}$", "(?i)^yes|no$", "(?i)^[^aks]+$", r"(?i)^\w+é$", "(?i)x",
]  # fmt: skip
SIZED: list[tuple[str, int, int]] = [
    ("^[a-z]+$", 2, 5),
    (r"^[A-Z]+-\d+$", 0, 10),
    (r"^\w+$", 20, 30),
    ("^[A-Z]{2,4}[0-9]{0,9}x?$", 4, 6),
    ("^[a-z ]*$", 1, 3),
    ("^a|b$", 0, 3),
]
NOT_HELD = ["^(?i)a$", "(?i)^[^é]+$", "(?s)^a$", r"\bfoo\b", r"^\p{L}+$", "^$", "^a{5000}$", r"^\t$"]


def _texts(kind: Any, *, json: bool) -> list[str]:
    """Return values that the grammar allows a model to write."""
    signature = signature_of(kind)
    found = output_grammar(signature) if json else grammar(signature, "o0")
    assert found is not None
    values = []
    for at in range(scaled(160)):
        reply = written(found, random.Random(at))
        try:
            if json:
                values.append(validate_output(signature, "o0", parse_json(reply)["o0"], raw=reply))
            else:
                values.append(parse_text(signature, "o0", reply, raw=reply))
        except ParseError as error:
            if error.reason != "truncated":  # else it fills a bound of ours
                raise
    return values


@each("pattern", HELD)
def test_what_the_grammar_allows_the_pattern_matches(pattern: str) -> None:
    assert _texts(Annotated[str, Field(pattern=pattern)], json=False)
    # With a length, which no schema says beside a pattern, the whole object goes out as a grammar.
    assert _texts(Annotated[str, Field(pattern=pattern, max_length=900)], json=True)


@each(("pattern", "least", "most"), SIZED)
def test_a_length_is_kept_beside_a_pattern(pattern: str, least: int, most: int) -> None:
    kind = Annotated[str, StringConstraints(pattern=pattern, min_length=least, max_length=most)]

    sizes = {len(text) for json in (True, False) for text in _texts(kind, json=json)}
    assert max(sizes) == most
    assert min(sizes) >= max(1, least)


@each("pattern", NOT_HELD)
def test_what_cannot_be_written_is_left_to_validation(pattern: str) -> None:
    try:
        found = grammar(signature_of(Annotated[str, Field(pattern=pattern)]), "o0")
    except ValueError:  # pydantic cannot read it either
        return
    assert found is None


def test_a_text_that_begins_with_white_space_is_held_as_json_alone() -> None:
    for pattern, alone in ((r"^\t$", True), (r"^ +$", True), (r"^\s*x$", False), ("^x$", False), (r"\bx", False)):
        assert is_held_as_json_alone(signature_of(Annotated[str, Field(pattern=pattern)]), "o0") is alone


def test_a_text_that_fills_a_bound_of_ours_was_cut() -> None:
    signature = signature_of(Annotated[str, Field(pattern=r"^INV-\d+$")])
    for digits, cut in ((3, False), (96, False), (97, True), (98, False), (1000, True)):
        text = "INV-" + "1" * digits
        if cut:
            with pytest.raises(ParseError) as caught:
                validate_output(signature, "o0", text, raw=text)
            assert caught.value.reason == "truncated"
        else:
            assert validate_output(signature, "o0", text, raw=text) == text


def test_an_address_of_usual_length_is_no_cut_one() -> None:
    signature = signature_of(Annotated[str, Field(pattern=r"^\w+@\w+\.com$")])
    text = f"{'ab' * 25}@{'cd' * 15}.com"

    assert validate_output(signature, "o0", text, raw=text) == text


_pieces = st.sampled_from(
    [
        "a",
        r"\d",
        r"\w",
        r"\s",
        ".",
        "[a-z]",
        "[^b]",
        "(ab|c)",
        "(?:x)",
        r"\.",
        '"',
        "\\\\",
        "é",
        "^",
        "$",
        "|",
        "-",
        " ",
    ]
)
_counts = st.sampled_from(["", "", "?", "*", "+", "{2}", "{1,3}", "{2,}", "+?"])


@given(st.lists(st.tuples(_pieces, _counts), min_size=1, max_size=5), st.integers(0, 2**32))
def test_whatever_the_pattern_its_texts_are_matched(parts: list[tuple[str, str]], seed: int) -> None:
    pattern = "".join(map("".join, parts))
    kind = Annotated[str, Field(pattern=pattern)]
    try:
        check = TypeAdapter(kind)
        signature = signature_of(kind)
    except Exception:  # not a regular expression
        return
    found = grammar(signature, "o0")
    if found is None:
        return
    text = written(found, random.Random(seed))
    assert allows(found, text)
    try:
        check.validate_python(text.strip())
    except ValidationError as error:
        raise AssertionError((pattern, text)) from error


@given(st.text('^$[]{}()\\dwsDWSbAzp-az09?,*+.|&"<=! ') | st.sampled_from(EVIL_PATTERNS))
def test_any_text_is_read_or_refused(pattern: str) -> None:
    read_regex(pattern)
