"""What a check of data files finds."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.each import each
from tunesmith.data import DataCheck, DataFile, Finding, Row, check_data
from tunesmith.errors import DataError, UsageError
from tunesmith.signatures import declared

LONG = "The bed was hard, the room was cold, and nobody at the desk was there to help us with it"


def checked(*rows: dict[str, Any], test: list[dict[str, Any]] | None = None, **options: Any) -> DataCheck:
    files = {"train": list(rows)} | ({} if test is None else {"test": test})
    return check_data(
        {
            name: DataFile(Path(f"{name}.jsonl"), tuple(Row(line, row) for line, row in enumerate(given, 1)))
            for name, given in files.items()
        },
        **options,
    )


def finding(found: DataCheck, kind: str) -> Finding:
    return next(one for one in found.findings if one.kind == kind)


def shown(found: DataCheck, kind: str) -> tuple[int, list[str]]:
    one = finding(found, kind)
    return one.count, [str(place) for place in one.places]


def row(text: Any, label: Any = "x", **more: Any) -> dict[str, Any]:
    return {"text": text, "label": label, **more}


def test_clean_data_has_no_findings() -> None:
    rows = [row(f"text number {number}", "yes" if number % 2 else "no") for number in range(20)]
    found = checked(*rows, inputs=["text"])
    assert found.findings == ()
    assert found.labels == {"label": {"no": {"train": 10}, "yes": {"train": 10}}}


def test_the_same_inputs_are_a_duplicate_and_with_another_label_a_contradiction() -> None:
    found = checked(row("a", id=1), row("a", id=2), row("b", "x"), row("b", "y"), inputs=["text"])
    assert shown(found, "duplicate") == (1, ["train:1", "train:2"])
    assert shown(found, "contradiction") == (1, ["train:3", "train:4"])


def test_the_same_inputs_in_two_splits_are_a_leak_whatever_the_label() -> None:
    found = checked(row("a"), row("b"), test=[row("c"), row("a", "y")], signature=declared("text -> label"))
    assert shown(found, "leak") == (1, ["train:1", "test:2"])


def test_what_is_nearly_the_same_is_told_by_split() -> None:
    found = checked(row(LONG), row(f"{LONG} today."), test=[row(LONG.upper())], inputs=["text"])
    assert shown(found, "near-duplicate") == (1, ["train:1", "train:2"])
    assert shown(found, "near-leak") == (2, ["train:1", "test:1", "train:2", "test:1"])
    assert not [one for one in checked(row(LONG), row(LONG.upper()), near=None).findings if "near" in one.kind]


def test_a_row_that_does_not_fit_the_signature_is_named_with_field_and_line() -> None:
    found = checked(row("a"), row("b", ["no label"]), {"text": "c"}, signature=declared("text -> label: str"))
    wrong = [one for one in found.findings if one.kind == "wrong-row"]
    assert [str(one.places[0]) for one in wrong] == ["train:2", "train:3"]
    assert all(one.text.startswith("field `label`:") for one in wrong)


def test_a_column_with_another_name_is_one_finding_with_every_line() -> None:
    found = checked({"mail": "a"}, {"mail": "b"}, row("c"), signature=declared("text -> label"))
    (missing,) = [one for one in found.findings if "The field is missing" in one.text]
    assert (missing.count, [str(place) for place in missing.places]) == (2, ["train:1", "train:2"])


def test_types_that_differ_and_empty_values_are_named() -> None:
    found = checked(row("a"), row("b"), row(7), row(""), row(None))
    assert shown(found, "mixed-types") == (1, ["train:3"])
    assert shown(found, "empty") == (2, ["train:4", "train:5"])


def test_labels_that_are_rare_or_not_in_train_are_named() -> None:
    rows = [row(f"text {number}", "often") for number in range(60)]
    tests = [row(f"other {number}", "later") for number in range(5)]
    found = checked(*rows, row("last", "rare"), test=tests, labels=["label"])
    texts = [one.text for one in found.findings if one.kind == "imbalance"]
    assert texts == [
        "rows with 'often' in `label`, 60 times as many as with 'rare'",
        "rows with 'later' in `label`, none of them in `train`",
        "rows with 'rare' in `label`: too few to learn or to measure it",
    ]


def test_rows_in_another_language_are_named() -> None:
    english, german = "The room was cold and the bed was hard", "Das Zimmer war kalt und das Bett ist nicht gut"
    found = checked(*(row(f"{english} {number}") for number in range(5)), row(german))
    assert shown(found, "language") == (1, ["train:6"])
    assert found.languages == {"English": {"train": 5}, "German": {"train": 1}}


def test_lengths_are_in_characters_and_in_tokens_if_they_are_counted() -> None:
    found = checked(*(row("x " * number) for number in range(1, 101)), count_tokens=lambda text: len(text.split()))
    text = next(facts for facts in found.fields if facts.name == "text")
    assert (text.characters, text.tokens) == ((101, 192, 200), (50, 96, 100))


def test_the_result_has_a_json_form_and_gates() -> None:
    found = checked(row("a"), row("a"), row(""), inputs=["text"])
    told = json.loads(json.dumps(found.to_json()))
    assert told["problems"] == 1
    assert told["findings"][0] == {
        "kind": "duplicate",
        "problem": True,
        "text": "rows with the same text as one before",
        "count": 1,
        "places": [{"split": "train", "line": 1}, {"split": "train", "line": 2}],
    }
    assert [one.kind for one in found.failed(strict=True)] == ["duplicate"]
    assert [one.kind for one in found.failed(kinds=["empty"])] == ["empty"]
    assert found.failed() == ()


@each(
    "options, message",
    [
        ({"inputs": ["txt"]}, "There is no field `txt`"),
        ({"labels": ["topic"]}, "There is no field `topic`"),
        ({"inputs": ["text"], "signature": declared("text -> label")}, "not both"),
        ({"near": 2}, "above 0 and up to 1"),
    ],
)
def test_a_wrong_argument_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        checked(row("a"), **options)


def test_a_gate_on_a_finding_that_does_not_exist_is_refused() -> None:
    with pytest.raises(UsageError, match=r"There is no finding `leaks`\. Use one of: wrong-row"):
        checked(row("a")).failed(kinds=["leaks"])


def test_a_file_without_rows_is_refused() -> None:
    with pytest.raises(DataError, match=r"`none\.csv` has no rows"):
        check_data({"train": DataFile(Path("none.csv"), ())})
