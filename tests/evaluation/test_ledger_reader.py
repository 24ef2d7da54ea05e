"""A ledger that is only read: with texts and without, and what is damaged in it."""

import dataclasses
from contextlib import closing
from pathlib import Path

from tests.evaluation.ledgers import entry_of, filled
from tunesmith.evaluation import Ledger, count_ledger, read_entries, read_rows, read_scores
from tunesmith.sqlite import connect


def test_rows_without_texts_are_the_rows_but_for_outputs_feedback_and_steps(tmp_path: Path) -> None:
    filled(tmp_path / "run.db", 40)
    whole = read_rows(tmp_path / "run.db")
    assert [one.row for one in whole] == [entry.row for entry in read_entries(tmp_path / "run.db")]
    short = [dataclasses.replace(one.row, outputs=None, feedback=None, steps=()) for one in whole]
    assert [one.row for one in read_rows(tmp_path / "run.db", ())] == short
    some = read_rows(tmp_path / "run.db", {"c3"})
    assert {one.candidate for one in some if one.row.steps} == {"c3"}
    assert [(one.candidate, one.metric) for one in some] == [(one.candidate, one.metric) for one in whole]


def test_scores_and_counts_are_those_of_the_rows(tmp_path: Path) -> None:
    filled(tmp_path / "run.db", 40)
    found, rows = read_scores(tmp_path / "run.db"), [entry.row for entry in read_entries(tmp_path / "run.db")]
    assert sorted(example for one in found.scores.values() for example, _, _ in one) == sorted(row.key for row in rows)
    assert [score for _, score, _ in found.scores["m", "c0"]] == [row.score for row in rows[::7]]
    counts = found.counts
    assert (counts.rows, counts.damaged, counts.calls) == (40, 0, sum(row.calls for row in rows))
    assert (counts.tokens, counts.seconds) == (sum(row.tokens for row in rows), sum(row.seconds for row in rows))


def test_text_of_any_language_and_numbers_of_any_size_have_their_checksum(tmp_path: Path) -> None:
    """JSON is written in two ways that differ in these; both have to know a whole row."""
    with Ledger(tmp_path / "run.db") as ledger:
        for number, text in enumerate(("房间很吵", "caf\u00e9", "\ud800", "\x7f\u2028", 'a\\"b\n')):
            row = dataclasses.replace(entry_of(1).row, key=f"example {number}", outputs={"answer": text}, seconds=1e16)
            ledger.put(dataclasses.replace(entry_of(1, example=row.key), row=row))
    assert (count_ledger(tmp_path / "run.db").rows, count_ledger(tmp_path / "run.db").damaged) == (5, 0)
    assert len(read_rows(tmp_path / "run.db", ())) == 5


def test_a_text_that_is_no_utf_8_is_one_damaged_row_and_the_rest_is_read(tmp_path: Path) -> None:
    filled(tmp_path / "run.db", 20)
    with closing(connect(tmp_path / "run.db")) as connection:
        connection.execute("UPDATE rows SET body = CAST(x'ff41' AS TEXT) WHERE seq = 8")
    assert len(read_rows(tmp_path / "run.db", ())) == len(read_entries(tmp_path / "run.db")) == 19
    assert (count_ledger(tmp_path / "run.db").rows, count_ledger(tmp_path / "run.db").damaged) == (19, 1)
