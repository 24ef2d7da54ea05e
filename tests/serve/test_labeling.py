"""The page to label rows: what it asks for, who may ask, and the page itself in a browser."""

import json
from pathlib import Path
from typing import Any, Literal

import dspy
import pytest

from tests.browser import least_contrast, opened
from tests.serve.front import asked
from tests.serve.test_trying import listening
from tunesmith.data import DataFile, Labeling
from tunesmith.serve import LabelService

TOKEN = "a-token-that-is-long-enough"
BIG = 2**63 + 1  # no number of JavaScript
ROWS = [
    {"text": "Cold <b>soup</b>.", "topic": "food", "id": BIG},
    {"text": "Loud street.", "topic": "food", "id": 2},
    {"text": "Asdf.", "topic": "room", "id": 3},
    {"text": "Kind staff.", "id": 4},
]


class Topic(dspy.Signature):
    """Sort the comment."""

    text: str = dspy.InputField(desc="a guest's comment")
    topic: Literal["room", "food", "staff"] = dspy.OutputField()


@pytest.fixture
def labeling(tmp_path: Path) -> Any:
    path = tmp_path / "few.jsonl"
    path.write_text("".join(f"{json.dumps(row)}\n" for row in ROWS), encoding="utf-8")
    with Labeling(DataFile.read(path), signature=Topic) as found:
        yield found


def posted(service: LabelService, name: str, body: Any = None, token: str = TOKEN) -> Any:
    headers = {"Authorization": f"Bearer {token}"}
    return asked(service, lambda c: c.post(f"/-/{name}", json=body or {}, headers=headers))


def test_the_page_is_told_fields_rows_and_decisions(labeling: Labeling) -> None:
    service = LabelService(labeling, token=TOKEN, order=[2], remarks={2: "hard"})
    began = posted(service, "start").json()
    assert (began["order"], began["marks"], began["outputs"]) == ([2, 0, 1, 3], "....", ["topic"])
    assert [(one["name"], one["kind"]) for one in began["fields"]] == [("text", "text"), ("topic", "choice")]
    row = posted(service, "row", {"place": 2}).json()
    assert (row["values"], row["rest"], row["line"]) == ({"text": "Asdf.", "topic": "room"}, {"id": 3}, 3)
    assert (row["remark"], row["problem"]) == ("hard", None)
    fixed = posted(service, "decide", {"place": 3, "verdict": "accept", "values": {"topic": "staff"}}).json()
    assert fixed == {"place": 3, "mark": "f", "counts": {"fix": 1}, "taken": True}
    assert posted(service, "write").json() == {"out": "few.labeled.jsonl", "rows": 1}
    assert posted(service, "undo").json() == {"place": 3, "mark": ".", "counts": {}, "taken": True}


def test_a_row_that_another_tab_decided_meanwhile_is_not_decided_over(labeling: Labeling) -> None:
    service = LabelService(labeling, token=TOKEN)
    accept = {"place": 0, "verdict": "accept", "seen": "."}
    assert posted(service, "decide", {**accept, "verdict": "reject"}).json()["taken"]
    late = posted(service, "decide", accept).json()
    assert late == {"place": 0, "mark": "r", "counts": {"reject": 1}, "taken": False}
    assert posted(service, "row", {"place": 0}).json()["mark"] == "r"
    assert posted(service, "decide", {**accept, "seen": "r"}).json()["mark"] == "a"


def test_without_a_signature_fields_with_few_values_get_buttons(labeling: Labeling, tmp_path: Path) -> None:
    path = tmp_path / "many.jsonl"
    rows = [{"text": f"Comment {n}", "label": "ab"[n % 3 == 0]} for n in range(12)]
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    with Labeling(DataFile.read(path)) as found:
        began = posted(LabelService(found, token=TOKEN), "start").json()
    assert [(one["name"], one["kind"], one["choices"]) for one in began["fields"]] == [
        ("text", "text", []),
        ("label", "text", ["a", "b"]),
    ]


def test_a_wrong_request_decides_nothing_and_says_why(labeling: Labeling) -> None:
    service = LabelService(labeling, token=TOKEN, hosts=["localhost"])
    assert posted(service, "start", token="another-token-of-that-length").status_code == 401
    refused = [
        posted(service, "row", {"place": 9}),
        posted(service, "decide", {"place": 3, "verdict": "accept"}),
        posted(service, "decide", {"place": 0, "verdict": "perhaps"}),
        posted(service, "decide", {"place": 0, "verdict": "accept", "values": {"topic": "bath"}}),
    ]
    assert [one.status_code for one in refused] == [422] * 4
    assert "Input should be 'room', 'food' or 'staff'" in refused[3].json()["error"]["message"]
    labeling.file.path.write_text("{}\n")
    changed = posted(service, "decide", {"place": 0, "verdict": "accept"})
    assert (changed.status_code, labeling.counts) == (409, {})
    assert "--changed" in changed.json()["error"]["message"]
    page = asked(service, lambda c: c.get("/"))
    assert "unsafe" not in page.headers["content-security-policy"]
    assert asked(service, lambda c: c.get("/", headers={"Host": "evil.example"})).status_code == 421


@pytest.mark.whole
def test_in_a_browser_rows_are_labelled_with_the_keyboard_alone(labeling: Labeling) -> None:
    service = LabelService(labeling, token=TOKEN)
    with listening(service) as address, opened(f"{address}#{TOKEN}", width=420, expected="422") as page:
        page.get_by_text("Row 1 of 4, line 1").wait_for()
        assert page.locator("#shown b").count() == 0, "texts are not markup"
        assert str(BIG) in page.locator("#rest").text_content(), "no digit is lost"
        page.keyboard.press("a")
        page.get_by_text("Row 2 of 4").wait_for()
        page.keyboard.press("1")  # the first label
        page.get_by_text("Row 3 of 4").wait_for()
        page.keyboard.press("r")
        page.get_by_text("Row 4 of 4").wait_for()
        assert "There is no value yet" in page.get_by_role("alert").inner_text()
        page.keyboard.press("a")
        page.locator("#problem:not(:empty)").wait_for()
        assert page.locator("#counts").inner_text() == "3 of 4 decided: 1 accepted, 1 fixed, 1 rejected"
        for scheme in ("light", "dark"):
            assert least_contrast(page, scheme) > (4.5, ""), "as WCAG AA asks for"
        page.keyboard.press("u")
        page.get_by_text("Row 3 of 4").wait_for()
        page.keyboard.press("e")
        page.get_by_label("text").fill("The bed was hard.")
        page.keyboard.press("Control+Enter")
        page.get_by_text("Row 4 of 4").wait_for()
        page.keyboard.press("k")
        page.get_by_text("Row 3 of 4").wait_for()
        assert "The bed was hard." in page.locator("#shown").inner_text()
        page.keyboard.press("j")
        page.keyboard.press("?")
        assert page.get_by_role("dialog").is_visible()
        page.keyboard.press("Escape")
        page.get_by_text("Row 4 of 4").wait_for()
        page.keyboard.press("3")
        page.get_by_text("Every row is decided").wait_for()
        page.keyboard.press("w")
        page.get_by_text("Wrote few.labeled.jsonl: 4 rows").wait_for()
        assert page.evaluate("document.documentElement.scrollWidth") <= 420
    made = [json.loads(line) for line in labeling.out.read_text(encoding="utf-8").splitlines()]
    assert [row["topic"] for row in made] == ["food", "room", "room", "staff"]
    assert made[2]["text"] == "The bed was hard."
    assert labeling.counts == {"accept": 1, "fix": 3}


@pytest.mark.whole
def test_in_a_browser_blank_cells_long_texts_and_a_second_tab_are_dealt_with(tmp_path: Path) -> None:
    path = tmp_path / "few.csv"
    path.write_text(f"text,note\n{'word ' * 3000},\nKind staff.,\nAsdf.,\n", encoding="utf-8")
    with Labeling(DataFile.read(path)) as labeling:
        service = LabelService(labeling, token=TOKEN)
        with listening(service) as address, opened(f"{address}#{TOKEN}") as page:
            page.get_by_text("Row 1 of 3").wait_for()
            other = page.context.browser.new_page()
            other.goto(f"{address}#{TOKEN}")
            other.get_by_text("Row 1 of 3").wait_for()
            assert page.get_by_role("button", name="Accept", exact=True).count() == 1, "a key is not a part of a name"
            page.get_by_role("region", name="text").focus()
            page.keyboard.press("ArrowDown")  # scrolls the text
            page.get_by_text("Row 1 of 3").wait_for()
            page.keyboard.press("e")
            page.get_by_role("textbox", name="text").fill("Shorter.")
            page.keyboard.press("Control+Enter")  # although the note is blank
            page.get_by_text("Row 2 of 3").wait_for()
            other.keyboard.press("r")
            other.get_by_text("changed in another tab").wait_for()
            page.keyboard.press("a")
            page.get_by_text("Row 3 of 3").wait_for()
            other.keyboard.press("n")
            other.get_by_text("Row 3 of 3").wait_for()
            page.keyboard.press("e")
            page.get_by_role("button", name="Cancel").click()
            assert page.evaluate("document.activeElement.id") == "card"
    assert labeling.counts == {"fix": 1, "accept": 1}
    assert labeling.values(0) == {"text": "Shorter.", "note": ""}
