"""`tunesmith data`."""

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Workspace, check_failure, rows, run


def written(path: str, given: list[dict[str, Any]]) -> Path:
    file = Path(path)
    file.write_text("".join(f"{json.dumps(row)}\n" for row in given), encoding="utf-8")
    return file


@pytest.fixture
def reviews() -> list[dict[str, Any]]:
    """Sixty reviews of ten authors; in each three of them two are the same and one has another last word."""
    given = []
    for number in range(60):
        text = " ".join([*(f"word{number // 3}x{place}" for place in range(10)), f"end{number % 3 // 2}"])
        given.append({"text": text, "label": "good" if number % 2 else "bad", "author": f"author {number // 6}"})
    written("reviews.jsonl", given)
    return given


def test_check_shows_fields_labels_and_findings(reviews: list[dict[str, Any]]) -> None:
    written("reviews.jsonl", [*reviews, {"text": 7, "label": "good", "author": "x"}])
    found = run("data", "check", "reviews.jsonl", "--inputs", "text")
    assert found.exit_code == 0
    assert "reviews: 61 rows" in found.stdout
    assert "Label `label`" in found.stdout
    assert "! mixed-types, 1: rows with a number in `text`; the others have a text (reviews:61)" in found.stdout


def test_the_languages_add_up_to_the_rows() -> None:
    written("mails.jsonl", [{"text": "Why is the bill higher than it was?"}, {"text": "Undo deletes text."}])
    found = run("data", "check", "mails.jsonl").stdout
    assert re.search(r"^English +1\nnot told +1$", found, re.MULTILINE)


def test_a_gate_that_fails_gives_the_exit_code_4(reviews: list[dict[str, Any]]) -> None:
    assert run("data", "check", "reviews.jsonl", "--inputs", "text", "--no-near").exit_code == 0
    found = run("data", "check", "reviews.jsonl", "--inputs", "text", "--strict", "--json")
    assert found.exit_code == 4
    assert found.stderr == "error: the data did not pass: contradiction.\n"
    told = json.loads(found.stdout)
    assert (told["passed"], told["problems"], told["files"]) == (False, 1, {"reviews": "reviews.jsonl"})
    assert run("data", "check", "reviews.jsonl", "--inputs", "text", "--fail-on", "leak").exit_code == 0


def test_check_takes_an_inline_signature_and_splits_by_name(reviews: list[dict[str, Any]]) -> None:
    written("more.jsonl", reviews[:1])
    options = ("--train", "reviews.jsonl", "--test", "more.jsonl", "--signature", "text -> label: bool")
    found = json.loads(run("data", "check", *options, "--json").stdout)
    assert found["splits"] == {"train": 60, "test": 1}
    assert found["compared"] == ["text"]
    assert "field `label`" in found["findings"][0]["text"]


def test_check_without_files_checks_the_project(workspace: Workspace) -> None:
    found = json.loads(run("data", "check", "--json").stdout)
    assert found["splits"] == {"reports": 40}
    assert (found["compared"], found["problems"]) == (["report"], 0)
    assert set(found["labels"]) == {"team"}


def test_a_row_in_no_split_is_told(tmp_path: Path) -> None:
    texts = ["Cold soup.", "Loud street.", "A kind host!", "No towels at all.", "The lift was out of order."]
    (tmp_path / "few.jsonl").write_text("\n".join(json.dumps({"text": text}) for text in texts), encoding="utf-8")
    for test, said in (("1", "1 of 5 rows is in no split"), ("0", "2 of 5 rows are in no split")):
        sizes = ("--train", "3", *(("--test", test) if test != "0" else ()))
        assert said in run("data", "split", "few.jsonl", *sizes, "--out", f"parts{test}", "--no-near").stdout


def test_a_split_keeps_groups_and_what_is_nearly_the_same_together(reviews: list[dict[str, Any]]) -> None:
    sizes = ("--train", "0.6", "--val", "0.2", "--test", "0.2")
    options = (*sizes, "--stratify", "label", "--group", "author", "--out", "parts")
    found = json.loads(run("data", "split", "reviews.jsonl", *options, "--json").stdout)
    assert [one["file"] for one in found["written"]] == [f"parts/{name}.jsonl" for name in ("train", "val", "test")]
    assert found["left_out"] == 0
    parts = [rows(Path(one["file"])) for one in found["written"]]
    assert sorted(map(json.dumps, [row for part in parts for row in part])) == sorted(map(json.dumps, reviews))
    for field in ("text", "author"):
        seen = [{row[field] for row in part} for part in parts]
        assert sum(map(len, seen)) == len(set.union(*seen)), f"one {field} is in two splits"
    again = ("data", "split", "reviews.jsonl", *options)
    assert "--force" in check_failure(run(*again), 2)
    assert run(*again, "--force").exit_code == 0
    assert [rows(Path(one["file"])) for one in found["written"]] == parts


def test_rows_of_one_template_cannot_be_split_and_the_error_says_why() -> None:
    text = "a farmer has {} sheep and buys some more of them on a cold monday in may, how many are there in the end"
    written("same.jsonl", [{"text": text.format(number)} for number in range(20)])
    message = check_failure(run("data", "split", "same.jsonl", "--train", "0.5", "--test", "0.5", "--out", "parts"), 1)
    assert "`--no-near` none" in message
    assert run("data", "split", "same.jsonl", "--train", "10", "--out", "parts", "--no-near").exit_code == 0


def test_a_split_of_a_table_is_tables(reviews: list[dict[str, Any]]) -> None:
    assert run("data", "sample", "reviews.jsonl", "-n", "20", "--out", "some.csv").exit_code == 0
    assert run("data", "split", "some.csv", "--train", "10", "--out", "parts", "--no-near").exit_code == 0
    assert Path("parts/train.csv").read_text(encoding="utf-8").splitlines()[0] == "text,label,author"


def test_a_sample_is_the_same_for_the_same_seed_and_keeps_proportions(reviews: list[dict[str, Any]]) -> None:
    first, again, other = (
        run("data", "sample", "reviews.jsonl", "-n", "10", "--stratify", "label", "--seed", seed).stdout
        for seed in ("1", "1", "2")
    )
    assert first == again != other
    labels = [json.loads(line)["label"] for line in first.splitlines()]
    assert (labels.count("good"), labels.count("bad")) == (5, 5)


BAD = [
    (2, ("check", "missing.jsonl"), "does not exist"),
    (2, ("check",), "There is no data to check"),
    (2, ("check", "reviews.jsonl", "reviews.jsonl"), "given twice"),
    (2, ("check", "reviews.jsonl", "--signature", "nothing:Here"), "There is no module `nothing`"),
    (1, ("check", "reviews.jsonl", "--signature", "text ->"), "no output after"),
    (2, ("check", "reviews.jsonl", "--fail-on", "all"), "There is no finding `all`"),
    (2, ("check", "reviews.jsonl", "--lm", "openai/x"), "cannot count tokens"),
    (1, ("split", "reviews.jsonl", "--train", "100", "--out", "parts"), "100 rows"),
    (2, ("split", "reviews.jsonl", "--train", "some", "--out", "parts"), "neither a number of rows"),
    (2, ("split", "reviews.jsonl", "--out", "parts"), "no sizes"),
    (2, ("split", "reviews.jsonl", "--train", "10", "--stratify", "topic", "--out", "parts"), "no field `topic`"),
    (1, ("sample", "bad.jsonl", "-n", "1"), "bad.jsonl:2: This is not JSON"),
    (2, ("sample", "reviews.jsonl", "-n", "5", "--out", "rows.xlsx"), "cannot be written"),
    (1, ("sample", "reviews.jsonl", "-n", "500"), "500 rows"),
]


@pytest.mark.parametrize(("code", "arguments", "message"), BAD, ids=[" ".join(case[1]) for case in BAD])
def test_a_wrong_use_is_told(
    code: int, arguments: tuple[str, ...], message: str, reviews: list[dict[str, Any]]
) -> None:
    Path("bad.jsonl").write_text('{"a": 1}\nnonsense\n', encoding="utf-8")
    assert message in check_failure(run("data", *arguments), code)
    assert not Path("parts").exists()


def test_columns_of_other_names_are_checked_and_split(reviews: list[dict[str, Any]]) -> None:
    written(
        "odd.jsonl", [{"Review text": row["text"], "label": row["label"], "author": row["author"]} for row in reviews]
    )
    columns = ("--columns", "text=Review text", "--no-near")
    checked = run("data", "check", "odd.jsonl", "--signature", "text -> label", *columns)
    assert "wrong-row" in run("data", "check", "odd.jsonl", "--signature", "text -> label").stdout
    assert "wrong-row" not in checked.stdout
    grouped = ("--inputs", "text", "--group", "author", "--train", "30", "--out", "parts")
    done = run("data", "split", "odd.jsonl", *grouped, *columns)
    assert "Always in one split are rows with the same `text`; rows with the same `author`." in done.stdout
    assert set(rows(Path("parts/train.jsonl"))[0]) == {"text", "label", "author"}


def test_the_option_that_a_wrong_row_advises_is_of_this_verb_and_puts_it_right(reviews: list[dict[str, Any]]) -> None:
    given = [{"Text": row["text"], "label": row["label"], "author": row["author"]} for row in reviews]
    odd, kind = str(written("odd.jsonl", given)), ("--signature", "text -> label", "--no-near")
    for verb in (
        ("check", odd, *kind, "--fail-on", "wrong-row"),
        ("split", odd, *kind, "--train", "30", "--out", "parts"),
    ):
        wrong = run("data", *verb)
        (option,) = set(re.findall(r"`(--columns [^`]*)`", wrong.stdout + wrong.stderr))
        right = run("data", *verb, *shlex.split(option))
        assert (wrong.exit_code > 0, right.exit_code) == (True, 0), right.stderr
    assert set(rows(Path("parts/train.jsonl"))[0]) == {"text", "label", "author"}


def test_a_sample_takes_columns_of_other_names(reviews: list[dict[str, Any]]) -> None:
    sampled = run("data", "sample", "reviews.jsonl", "-n", "1", "--columns", "topic=label")
    assert set(json.loads(sampled.stdout)) == {"text", "topic", "author"}
