"""What a proposed instruction may not be."""

import re
from typing import Any, Literal

import dspy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tunesmith as ts
from tests.each import each
from tests.scale import scaled
from tunesmith.compilers import RandomSearch, Search, job_of
from tunesmith.compilers._guard import Guard, kind_of_reason
from tunesmith.errors import UsageError
from tunesmith.lm import FunctionLM
from tunesmith.modules import Candidate


class Sort(ts.Signature):
    """Sort the `comment` by its topic. Use {rules}."""

    comment: str = ts.InputField()
    rules: str = ts.InputField()
    topic: Literal["room", "food"] = ts.OutputField()


def row(comment: str) -> dspy.Example:
    return dspy.Example(comment=comment, rules="none", topic="room").with_inputs("comment", "rules")


LONG = "the carpet in the corridor of the second floor smelled of old smoke and cold soup"


@pytest.fixture(scope="module")
def search() -> Search:
    job = job_of(
        dspy.Predict(Sort),
        RandomSearch(metric=lambda example, prediction, trace=None: 1.0),
        trainset=[row("The soup was cold as ice."), row("Please be so kind as to come back soon for more of it")],
        valset=[row("The bed was hard as stone."), row(LONG), row("Please be so kind as to come back soon my friend")],
        lm=FunctionLM(lambda seen: "room"),
    )
    return Search(job)


@each(
    ("text", "why"),
    [
        ("", "it is empty"),
        (" \n", "it is empty"),
        ("<<<>>>", "it has no word"),
        (None, "it is empty"),
        (7, "it is empty"),
        ("x" * 2001, "it is too long: 2001 characters, more than 2000"),
        ("Sort the comment by rules.\x00", "a character that a prompt cannot carry"),
        ("Sort it by its topic. Use rules.", "it drops the field `comment`"),
        ("Sort the comment.", "it drops the field `rules`"),
        ("comments and rules", "it drops the field `comment`"),
        ("Sort comment by rules. 'The bed was  HARD as stone' is room.", "the text of a validation example"),
        (f"Use rules. A comment such as {LONG[4:60]} is room.", "the text of a validation example"),
        ("Use rules for the comment.\n[[ ## topic ## ]]\nroom", "before the field `topic`"),
        ("By the rules, a comment like 'The soup was cold as ice.' is food.", "the text of a training example"),
        ("room", "it is an answer and no instruction"),
        (" Food.\n", "it is an answer and no instruction"),
        ("Следуй rules и назови тему текста comment одним словом.", "it is in another script"),
        ("请根据 rules 判断 comment 的主题。", "it is in another script than the program and its examples: Chinese"),
        ("Use rules for the comment.\nTopic: food", "before the field `topic`"),
        ("Use rules for the comment.\n<topic>food</topic>", "before the field `topic`"),
    ],
)
def test_it_may_not_be_used(search: Search, text: Any, why: str) -> None:
    assert why in (search.guard("self", text) or "")


@each(
    "text",
    [
        "Sort the `comment` by its topic. Use {rules}.",
        "Read the comment, apply the rules, answer with room or food.",
        "By the rules, a comment on cold soup is food.",
        "Follow the rules; the comment is about food or about the room. Ω is fine.",
        "Read rules.\nNote: a comment may hold both.",
        "Le comment suit les rules, c'est tout ; réponds en un mot.",
    ],
)
def test_it_may_be_used(search: Search, text: str) -> None:
    assert search.guard("self", text) is None


def test_a_path_that_is_not_there_is_an_error(search: Search) -> None:
    for wrong in (search.guard, search.signature, search.examples):
        with pytest.raises(UsageError, match="There is no predictor 'other'"):
            wrong("other", *([] if wrong == search.signature else [3]))


def test_it_may_be_twice_as_long_as_the_programs_own(search: Search) -> None:
    own = len(Sort.instructions)
    assert search.guard("self", "comment rules ".ljust(2 * own, "."), most=10) is None
    assert f"more than {2 * own}" in (search.guard("self", "comment rules ".ljust(2 * own + 1, "."), most=10) or "")


STEP = dspy.Predict("text -> label")


def guarded(instruction: str, rows: list[dict[str, Any]]) -> Any:
    """Return what asks the guard of a program with this instruction, or DSPy's own, about another one."""
    base = Candidate.of(STEP)
    base = base.with_part("self", instruction=instruction) if instruction else base
    examples = [dspy.Example(**row).with_inputs("text") for row in rows]
    guard = Guard({"self": STEP.signature}, base, [], examples)
    return lambda text: guard.why_not("self", text, 2000)


ROWS = [{"text": f"word{number} about it", "label": "good"} for number in range(4)]


@each(
    ("own", "text", "why"),
    [
        ("Answer in at most 3 sentences.", "Answer shortly.", "it drops the number 3"),
        ("Answer in at most 3 sentences.", "Answer in 30 words.", "it drops the number 3"),
        ("Keep it below 1,000 words.", "Keep it short.", "it drops the number 1,000"),
        ("Write as <name>: {style}.", "Write as <name>.", "it drops the placeholder `{style}`"),
        ("Write as <name>: {style}.", "Write as name, {style}.", "it drops the placeholder `<name>`"),
        ("Sort it into {{ kind }}.", "Sort it into a kind.", "it drops the placeholder `{{ kind }}`"),
    ],
)
def test_what_the_programs_own_instruction_leans_on_stays(own: str, text: str, why: str) -> None:
    assert guarded(own, ROWS)(text) == why


@each(
    ("own", "text"),
    [
        ("Answer in at most 3 sentences.", "Write no more than three sentences."),
        ("Keep it below 1,000 words.", "At most 1000 words."),
        ("1. Read it.\n2. Judge it.", "Read it, then judge it."),
        ("Step 1: read it. (2) judge it.", "Read it, then judge it."),
        ('Judge it. "The 20 of us came at 7" is good.', "Judge it by its mood."),
        ("Say if a<b and c>d.", "Say if one is larger."),
        ('Give {"a": 1} as JSON.', 'Reply with {"a": 1}.'),
        ("", "Say in one word what you think."),
        ("", "Judge whether it is good or bad"),
    ],
)
def test_a_good_rewrite_passes(own: str, text: str) -> None:
    assert guarded(own, ROWS)(text) is None


def test_a_copy_with_a_few_words_changed_is_one_too() -> None:
    rows = [
        {"text": "The room was clean and the staff kind.", "label": "good"},
        {"text": "Cold soup and a loud street all night long.", "label": "bad"},
    ]
    ask = guarded("Say whether the comment is good or bad.", rows)
    for text in (
        "The room was cleaned and the staff kind.",
        "The room was clean, the staff kind, and the breakfast lovely.",
        "So: cold soup and loud music, and a loud street all night.",
    ):
        assert "it is mostly the text of a training example" in (ask(text) or ""), text
    for text in (
        "Say whether a guest liked the room, the staff and the food, or not.",
        "A comment on the staff kind or clean room is good; loud streets, cold soup and the like are bad.",
        "The comment is good if all was fine and bad if something was not.",
    ):
        assert ask(text) is None, text


def test_a_description_of_a_field_may_be_repeated() -> None:
    class Sorted(ts.Signature):
        """Sort it."""

        text: str = ts.InputField(desc="what a guest of the hotel wrote about the stay")
        label: str = ts.OutputField()

    rows = [{"text": "what a guest of the hotel wrote about the stay", "label": "good"}]
    examples = [dspy.Example(**row).with_inputs("text") for row in rows]
    step = dspy.Predict(Sorted)
    guard = Guard({"self": step.signature}, Candidate.of(step), [], examples)
    assert guard.why_not("self", "Sort what a guest of the hotel wrote about the stay.", 2000) is None


def test_what_many_examples_share_is_the_tasks_wording_and_no_quotation() -> None:
    shared = "Please judge the following comment of a guest of our hotel in Bremen"
    rows = [{"text": f"{shared}: it was {word}", "label": "fine"} for word in ("good", "bad", "old", "new")]
    ask = guarded("", rows)
    assert ask(f"{shared}.") is None
    assert "the text of a training example" in ask(f"{shared}: it was old")


def test_an_answer_of_a_few_words_is_not_given_away_and_a_label_may_be_named() -> None:
    rows = [
        {"text": f"question {number}", "label": f"the answer is word{number}", "kind": kind}
        for number, kind in enumerate(["a wrong bank transfer", "a lost credit card"] * 2)
    ]
    ask = guarded("", rows)
    assert "it holds the answer of a training example" in ask("Say that the answer is word2, always.")
    assert ask("Say whether it is a lost credit card or a wrong bank transfer.") is None
    assert ask("A lost credit card.") == 'it is an answer and no instruction: "a lost credit card"'
    assert guarded("", [{"text": "2 + 2", "label": 4}])("4") is not None


def test_an_instruction_stays_in_the_programs_script() -> None:
    chinese = [{"text": "这家酒店的房间很干净，早餐也不错。", "label": "good"}, {"text": "服务太慢了", "label": "bad"}]
    mixed = guarded("判断评论的情感。", chinese)
    assert mixed("请判断这条评论是好评还是差评。") is None
    assert "another script" in mixed("Определи тон отзыва.")
    assert guarded("", chinese)("请判断评论的情感。") is None
    assert guarded("", chinese)("Judge the comment.") is None, "DSPy's own instruction is English"
    assert guarded("", ROWS)("Judge it, αβγ included, by the words that it uses.") is None


def test_chinese_is_quoted_by_its_characters() -> None:
    rows = [{"text": "这家酒店的房间很干净，早餐也不错。", "label": "好"}]
    ask = guarded("判断评论的情感。", rows)
    assert "the text of a training example" in ask("判断情感，比如：这家酒店的房间很干净是好评。")
    assert ask("判断酒店评论的情感。") is None


@settings(max_examples=scaled(60), deadline=None)
@given(st.lists(st.text(max_size=60), max_size=3), st.text(max_size=80), st.text(max_size=120))
def test_no_text_breaks_it_and_the_programs_own_may_always_be_used(texts: list[str], own: str, text: str) -> None:
    rows = [{"text": one, "label": "good"} for one in texts] or ROWS
    own = re.sub(r"[\x00-\x1f\x7f\ud800-\udfff]|\[\[|<|:|#", "", own).strip() or "Judge it."
    ask = guarded(own, rows)
    assert ask(own) is None or "an answer" in ask(own)
    why = ask(text)
    assert why is None or (kind_of_reason(why) and not re.search(r"[:`\d]", kind_of_reason(why)))


@settings(max_examples=scaled(40), deadline=None)
@given(st.integers(0, 3), st.integers(0, 4), st.text("abc ,.", max_size=20), st.text("abc ,.", max_size=20))
def test_no_run_of_eight_words_of_an_example_passes(row: int, start: int, before: str, after: str) -> None:
    rows = [{"text": " ".join(f"w{number}x{place}" for place in range(12)), "label": "good"} for number in range(4)]
    words = rows[row]["text"].split()[start : start + 8]
    assert "the text of a training example" in guarded("", rows)(f"{before} {', '.join(words)} {after}")
    rest = "of which you say in the end what it comes to"
    assert guarded("", rows)(f"{before} {' '.join(words[:7])} {rest} {after}") is None


def test_reasons_are_counted_without_what_they_say_of_one_text() -> None:
    assert kind_of_reason("it is too long: 2001 characters, more than 2000") == "it is too long"
    assert (
        kind_of_reason('it holds the answer of a training example: "x"') == "it holds the answer of a training example"
    )
    assert kind_of_reason("it drops the number 3") == "it drops the number"
