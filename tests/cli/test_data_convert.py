"""`tunesmith data convert`."""

import json
from pathlib import Path

import pytest

from tests.cli.conftest import check_failure, rows, run

FILES = Path(__file__).parents[1] / "data" / "files"
ALPACA = str(FILES / "alpaca.json")


def test_a_preview_is_shown_before_it_asks() -> None:
    found = run("data", "convert", ALPACA, "--to", "rows.jsonl", stdin="n\n")
    assert found.exit_code == 0
    assert "3 rows of the shape `alpaca`, made into 3 rows" in found.stdout
    assert "  instruction: Name the capital." in found.stdout
    assert "the field `text`: 1" in found.stdout
    assert found.stdout.endswith("nothing was written\n")
    assert not Path("rows.jsonl").exists()
    assert "--yes" in run("data", "convert", ALPACA, "--to", "rows.jsonl", stdin="").stderr


def test_yes_writes_without_asking_and_force_replaces() -> None:
    command = ("data", "convert", ALPACA, "--to", "rows.jsonl", "--yes")
    assert run(*command).stdout.endswith("wrote rows.jsonl: 3 rows\n")
    assert [row["output"] for row in rows(Path("rows.jsonl"))] == ["Oslo", "Good morning.", "The Akerselva."]
    assert "exists" in check_failure(run(*command), 2)
    assert run(*command, "--force").exit_code == 0


def test_json_has_the_preview_and_what_was_written() -> None:
    found = json.loads(run("data", "convert", ALPACA, "--to", "rows.jsonl", "--json", "--dry-run").stdout)
    assert (found["shape"], found["read"], found["rows"], found["written"]) == ("alpaca", 3, 3, None)
    assert found["dropped_fields"] == {"text": 1}
    assert len(found["preview"]) == 3
    found = json.loads(run("data", "convert", ALPACA, "--to", "rows.jsonl", "--json", "--yes").stdout)
    assert found["written"] == "rows.jsonl"


def test_columns_labels_and_a_separator_can_be_given() -> None:
    Path("rows.csv").write_text("Text;Klasse\na;1\nb;0\n", encoding="utf-8")
    options = ("--columns", "text=Text", "--labels", "Klasse=bad,good", "--delimiter", ";")
    assert (
        run("data", "convert", "rows.csv", "--to", "rows.jsonl", "--yes", "--keep", "Klasse", *options).exit_code == 0
    )
    assert rows(Path("rows.jsonl")) == [{"Klasse": "good", "text": "a"}, {"Klasse": "bad", "text": "b"}]


def test_a_wrong_row_stops_it_and_can_be_left_out() -> None:
    Path("g.jsonl").write_text('{"question": "q", "answer": "#### 4"}\n{"question": "q", "answer": "5"}\n')
    command = ("data", "convert", "g.jsonl", "--to", "rows.jsonl", "--yes")
    message = check_failure(run(*command), 1)
    assert "g.jsonl:2: field `answer`: There is no result after `####`" in message
    assert "`--from` chooses another shape" in message
    assert not Path("rows.jsonl").exists()
    found = run(*command, "--skip-bad")
    assert "g.jsonl:2: field `answer`" in found.stdout
    assert len(rows(Path("rows.jsonl"))) == 1


@pytest.mark.parametrize(
    ("code", "arguments", "message"),
    [
        (2, ("missing.json",), "does not exist"),
        (2, (ALPACA, "--from", "alpaka"), "no shape 'alpaka'"),
        (2, (ALPACA, "--columns", "text"), "--columns takes `field=...`"),
        (2, (ALPACA, "--labels", "topic=a"), "names the field `topic`"),
        (2, (ALPACA, "--to", "rows.txt"), "cannot be written"),
    ],
)
def test_a_wrong_use_is_told(code: int, arguments: tuple[str, ...], message: str) -> None:
    to = () if "--to" in arguments else ("--to", "rows.jsonl")
    assert message in check_failure(run("data", "convert", *arguments, *to, "--yes"), code)
