"""Decisions about rows: what they make of a row, how they are kept, and how they are found again."""

import json
from pathlib import Path
from typing import Any, Literal

import dspy
import pytest

from tests.each import each
from tunesmith.data import DataFile, Dataset, Labeling
from tunesmith.data.journal import Journal
from tunesmith.errors import DataError, RowError, TunesmithError, UsageError

ROWS = [
    {"text": "Cold soup.", "topic": "Food", "id": 1},
    {"text": "Loud street.", "topic": "food", "id": 2},
    {"text": "?", "topic": "room", "id": 3},
    {"text": "Kind staff.", "id": 4},
]


class Topic(dspy.Signature):
    """Sort it."""

    text: str = dspy.InputField()
    topic: Literal["room", "food", "staff"] = dspy.OutputField()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return written(tmp_path / "few.jsonl", ROWS)


def written(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return path


def opened(path: Path, **options: Any) -> Labeling:
    return Labeling(DataFile.read(path), **{"signature": Topic, **options})


def result(labeling: Labeling) -> list[dict[str, Any]]:
    out = labeling.write()
    assert out is not None
    return [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]


def test_accepted_and_fixed_rows_are_written_in_the_types_of_the_signature(path: Path) -> None:
    source = path.read_bytes()
    with opened(path) as labeling:
        labeling.decide(3, "accept", {"topic": "staff"})
        labeling.decide(0, "accept", labeling.values(0))
        labeling.decide(1, "accept", {"text": "Loud street.", "topic": "room"})
        labeling.decide(2, "reject")
        assert labeling.counts == {"fix": 2, "accept": 1, "reject": 1}
        assert result(labeling) == [
            {"text": "Cold soup.", "topic": "food", "id": 1},
            {"text": "Loud street.", "topic": "room", "id": 2},
            {"text": "Kind staff.", "id": 4, "topic": "staff"},
        ]
    assert len(Dataset.load(labeling.out, signature=Topic)) == 3
    assert path.read_bytes() == source


def test_a_row_without_a_label_or_with_a_wrong_one_is_accepted_only_when_it_is_put_right(path: Path) -> None:
    with opened(path) as labeling:
        assert labeling.problem(0) is None
        assert labeling.problem(3) == "`topic`: There is no value yet."
        with pytest.raises(RowError, match="no value yet"):
            labeling.decide(3, "accept")
        with pytest.raises(RowError, match="Input should be 'room', 'food' or 'staff'"):
            labeling.decide(3, "accept", {"topic": "bath"})
        assert labeling.left == 4


def test_every_decision_is_on_the_disk_at_once_and_the_next_session_goes_on(path: Path) -> None:
    first = opened(path)
    first.decide(0, "accept")
    first.decide(1, "accept", {"topic": "room"})
    journal = first.journal.read_bytes()
    first.journal.write_bytes(journal + b'{"row": "torn')  # killed while it wrote
    first._journal.close()
    with opened(path) as labeling:
        assert (labeling.counts, labeling.values(1)["topic"]) == ({"accept": 1, "fix": 1}, "room")
        assert labeling.undo() == 1
        assert labeling.undo() == 0
        assert (labeling.undo(), labeling.left) == (None, 4)
    with opened(path) as labeling:
        assert labeling.left == 4


def test_a_second_decision_replaces_the_first_and_undo_brings_it_back(path: Path) -> None:
    with opened(path) as labeling:
        labeling.decide(0, "accept", {"topic": "room"})
        labeling.decide(0, "accept", labeling.values(0))
        assert labeling.counts == {"fix": 1}, "what was put right is accepted as it is shown"
        labeling.decide(0, "reject")
        labeling.undo()
        assert labeling.counts == {"fix": 1}


def test_rows_with_the_same_content_are_decided_apart(tmp_path: Path) -> None:
    with opened(written(tmp_path / "twice.jsonl", [ROWS[0], ROWS[0]])) as labeling:
        labeling.decide(1, "reject")
        assert [labeling.decision(place) is None for place in (0, 1)] == [True, False]


def test_a_changed_file_is_told_and_the_decisions_of_rows_still_there_stay(path: Path) -> None:
    with opened(path) as labeling:
        labeling.decide(0, "accept")
        labeling.decide(1, "reject")
        written(path, [{"text": "New.", "topic": "room"}, *ROWS[1:]])
        with pytest.raises(UsageError, match="changed since it was read"):
            labeling.decide(2, "accept")
    with pytest.raises(UsageError, match="1 of 2 decided rows are still in it"):
        opened(path)
    with opened(path, changed=True) as labeling:
        assert (labeling.counts, labeling.lost) == ({"reject": 1}, 1)
    with opened(path) as labeling:
        assert labeling.counts == {"reject": 1}, "said once"


def test_a_file_at_the_place_of_the_result_is_replaced_only_if_it_is_our_own(path: Path) -> None:
    out = path.with_name("few.labeled.jsonl")
    out.write_text("mine\n")
    with pytest.raises(UsageError, match="--force"):
        opened(path)
    assert not path.with_name("few.decisions.jsonl").exists()
    out.unlink()
    with opened(path) as labeling:
        assert labeling.write() is None
        labeling.decide(0, "accept")
        labeling.write()
        labeling.decide(2, "accept")
        assert len(result(labeling)) == 2
        out.write_text("mine\n")
        with pytest.raises(UsageError, match="changed since"):
            labeling.write()
    with opened(path, force=True) as labeling:
        assert len(result(labeling)) == 2
        labeling.undo()
        labeling.undo()
        assert result(labeling) == [], "what was taken back is in no result"


def test_one_process_at_a_time_labels_a_file(path: Path) -> None:
    with opened(path) as labeling:
        labeling.decide(0, "accept")
        with pytest.raises(UsageError, match="another process"):
            opened(path)


def test_texts_of_a_table_become_what_the_signature_says(tmp_path: Path) -> None:
    class Stars(dspy.Signature):
        """Rate it."""

        text: str = dspy.InputField()
        stars: int = dspy.OutputField()
        note: str | None = dspy.OutputField()

    table = tmp_path / "stars.csv"
    table.write_text("text,stars,note\nGood,5,\nBad,,\n", encoding="utf-8")
    with opened(table, signature=Stars) as labeling:
        assert (labeling.problem(0), labeling.problem(1)) == (None, "`stars`: There is no value yet.")
        labeling.decide(0, "accept", {"text": "Good", "stars": 5, "note": None})
        labeling.decide(1, "accept", {"stars": 1})
        assert labeling.counts == {"accept": 1, "fix": 1}
        expected = [{"text": "Good", "stars": 5, "note": None}, {"text": "Bad", "stars": 1, "note": None}]
        assert result(labeling) == expected


def test_without_a_signature_every_field_may_be_changed(path: Path) -> None:
    with opened(path, signature=None) as labeling:
        labeling.decide(0, "accept", {"id": 7})
        assert result(labeling) == [{"text": "Cold soup.", "topic": "Food", "id": 7}]


@each(
    "wrong",
    [
        (UsageError, lambda one: one.decide(9, "accept")),
        (UsageError, lambda one: one.decide(0, "maybe")),
        (UsageError, lambda one: one.decide(0, "accept", {"colour": "red"})),
        (UsageError, lambda one: opened(one.file.path, out=one.file.path)),
        (UsageError, lambda one: opened(one.file.path, out=Path("result.txt"))),
        (DataError, lambda one: opened(one.file.path, signature=dspy.Signature("question -> answer"))),
        (DataError, lambda one: opened(one.file.path, journal=Path("no/such/folder/j.jsonl"))),
        (DataError, lambda one: opened(one.file.path, journal=one.file.path.with_name("odd.jsonl"))),
        (DataError, lambda one: opened(one.file.path, journal=one.file.path.with_name("list.jsonl"))),
    ],
)
def test_what_cannot_be_used_is_refused(path: Path, wrong: tuple[type[TunesmithError], Any]) -> None:
    path.with_name("odd.jsonl").write_text('{"colour": "red"}\n')
    path.with_name("list.jsonl").write_text("[1]\n")
    with opened(path) as labeling, pytest.raises(wrong[0]) as found:
        wrong[1](labeling)
    assert found.type is wrong[0]


NO_JOURNALS = {
    "a last line without an end": '{"a": 1}\n{"b": 2}',
    "one object": '{"mine": 1}',
    "no JSON": "three words without an end",
    "like ours": '{"file": "a", "sha256": "b"}\n{"mine": 1}',
    "nothing but a start": '{"a',
}


@each("text", NO_JOURNALS.values(), ids=NO_JOURNALS)
def test_a_file_that_is_no_journal_is_refused_and_stays_as_it_is(tmp_path: Path, text: str) -> None:
    path, mine = written(tmp_path / "few.jsonl", ROWS), tmp_path / "mine.jsonl"
    mine.write_text(text)
    with pytest.raises(DataError, match="mine"):
        opened(path, journal=mine)
    assert mine.read_text() == text


def test_a_journal_that_the_process_before_removed_is_made_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, place = opened(path), path.with_name("few.decisions.jsonl")
    lock = Journal._lock

    def slow(journal: Journal) -> None:
        monkeypatch.setattr(Journal, "_lock", lock)
        first.close()  # removes the file, which `journal` has opened
        lock(journal)

    monkeypatch.setattr(Journal, "_lock", slow)
    with opened(path) as labeling:
        labeling.decide(0, "accept")
        assert '"decision": "accept"' in place.read_text()


def test_the_journal_stays_while_there_is_a_result_of_it(path: Path) -> None:
    with opened(path) as labeling:
        labeling.decide(0, "accept")
        labeling.write()
        labeling.undo()
        labeling.write()
    with opened(path) as labeling:
        assert result(labeling) == []


def test_a_number_that_a_page_sends_back_in_its_own_form_is_no_fix(tmp_path: Path) -> None:
    path = written(tmp_path / "few.jsonl", [{"price": 1.0, "sold": 1}])
    with opened(path, signature=None) as labeling:
        labeling.decide(0, "accept", {"price": 1, "sold": 1})
        assert labeling.counts == {"accept": 1}
        assert labeling.write() is not None
        assert labeling.out.read_text() == '{"price": 1.0, "sold": 1}\n'
