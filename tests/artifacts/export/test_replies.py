"""What is asked and answered, as trainers need it."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from tests.each import each
from tunesmith.artifacts.export._replies import Prompt, Reply, distinct, problem_of

TURNS = st.lists(
    st.tuples(st.sampled_from(["user", "assistant", "call", "observation"]), st.text(max_size=3)), max_size=5
)


def prompt(*roles: str, text: str = "x") -> Prompt:
    return Prompt("", tuple((role, text) for role in roles))


@given(TURNS)
def test_only_turns_that_alternate_and_end_with_a_question_are_trained_on(turns: list[tuple[str, str]]) -> None:
    roles = "".join("q" if role in ("user", "observation") else "a" for role, _ in turns)
    fits = roles == ("qa" * len(roles))[: len(roles)] and roles.endswith("q")
    assert (problem_of(Prompt("", tuple(turns)), "reply") == "to turns that do not alternate") is not fits


@each("text", ["{{idx}}", "a {{idx}} b", "\ud800"])
def test_a_text_that_would_be_changed_is_not_trained_on(text: str) -> None:
    assert problem_of(prompt("user", text=text), "reply") is not None
    assert problem_of(prompt("user"), text) is not None


@each("text", ["{idx}", "{{ idx }}", "", "\0", "日本 🙂"])
def test_any_other_text_is_as_it_is(text: str) -> None:
    assert problem_of(prompt("user", text=text), text) is None


def test_a_question_that_a_demo_answers_is_not_trained_on() -> None:
    shown = Prompt("", (("user", "1 + 1"), ("assistant", "2"), ("user", "1 + 1")))
    assert problem_of(shown, "2") == "to a question that is one of the demos, with its answer"


def test_the_question_is_everything_up_to_the_last_turn_of_the_user() -> None:
    asked = prompt("user")
    assert asked.then([("call", "1"), ("observation", "2")]).question == asked.question
    assert asked.then([("assistant", "a"), ("user", "y")]).question != asked.question


def test_a_reply_counts_once_with_its_best_score() -> None:
    asked, counts = prompt("user"), Counter[str]()
    several = [
        Reply(example, 0, asked, text, score)
        for example, text, score in (("b", "yes", 0.0), ("a", "yes", 1.0), ("c", "no", 0.0), ("a", "yes", 0.5))
    ]
    found = distinct(several, counts)
    assert [(one.example, one.text, one.score) for one in found] == [("a", "yes", 1.0), ("c", "no", 0.0)]
    assert found == distinct(reversed(several), Counter())
    assert counts.total() == 2
