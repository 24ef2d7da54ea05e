"""When a rewritten text stands in for the original."""

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.each import each
from tests.scale import scaled
from tunesmith.modules import why_not_rewritten

QUESTION = "how much is 20 % of 1,250 euro, see https://example.org/vat?x=1 and `rate`, «as agreed»?"


@each(
    ("text", "rewritten", "why"),
    [
        ("norway capital is what?", "", "it is empty"),
        ("norway capital is what?", "What is\x00 the capital?", "a character that a prompt cannot carry"),
        ("norway capital is what?", "Capital?", "its length is 0.3 times"),
        ("capital?", "What is the capital? " * 9, "its length is 23.6 times"),
        ("Add 2 and 3.", "Add the two numbers 2 and 4.", "it lacks the number 3"),
        ("Add 2 and 3.", "Add 2 and 3, which gives 5.", "it adds the number 5"),
        ("Add 2 and 3.", "1. Take 2.\n2. Add 3.", None),
        ('Say "good bye" to all.', "Say good bye to everybody.", 'changes the quotation "good bye"'),
        ("Explain `x = 1` to me.", "Explain the code x = 1 to me.", "changes the code `x = 1`"),
        ("Read https://a.org/b.", "Read the page https://a.org/c.", "changes the address https://a.org/b"),
        ("Write to me@a.org now.", "Write to my address now.", "changes the address me@a.org"),
        ("Greet {name} warmly.", "Greet the guest warmly.", "changes the placeholder {name}"),
        ("What is the capital of Norway?", "Какой город столица Норвегии?", "in another script"),
        ("What is the capital of Norway?", "Oslo is the capital of Norway.", "no question any more"),
        ("Name the capital of Norway.", "The answer is: Oslo, Norway.", "begins as an answer does"),
        ("Is this protected, ABC-X or not?", "Is this protected, abc-x or not?", "the protected text ABC-X"),
        ("norway capital is what?", "What is the capital of Norway?", None),
    ],
)
def test_each_rule(text: str, rewritten: str, why: str | None) -> None:
    found = why_not_rewritten(text, rewritten, ["ABC-X"])
    assert found is None if why is None else found is not None and why in found


def test_a_rewrite_that_keeps_everything_is_taken() -> None:
    rewritten = "What is 20 % of 1,250 euro, given https://example.org/vat?x=1 and `rate` «as agreed»?"
    assert why_not_rewritten(QUESTION, rewritten) is None


@settings(max_examples=scaled(100), deadline=None)
@given(st.text(), st.text())
def test_any_texts_are_compared_and_a_text_may_replace_itself(text: str, other: str) -> None:
    why_not_rewritten(text, other)
    found = why_not_rewritten(text, text)
    assert found is None or "empty" in found
