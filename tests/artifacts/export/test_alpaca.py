from pathlib import Path

from tests.artifacts.export.tuning import files, rows


def test_the_last_message_is_the_instruction_and_demos_are_the_history(colours: Path) -> None:
    row = rows(colours, "alpaca")[0]
    assert list(row) == ["instruction", "input", "output", "system", "history"]
    assert row["instruction"].startswith("Thing: thing ")
    assert row["input"] == ""
    assert row["output"] in ("red", "green", "blue", '{"colour": "red"}', '{"colour": "green"}', '{"colour": "blue"}')
    assert row["system"].startswith("Say which colour the thing has.")
    assert all(len(pair) == 2 for pair in row["history"])

    entries = files(colours, "alpaca")["dataset_info"]
    assert list(entries) == ["a-run-_alpaca_train", "a-run-_alpaca_eval"]
    assert entries["a-run-_alpaca_train"]["file_name"] == "train.json"
    assert set(entries["a-run-_alpaca_train"]["columns"].values()) == set(row)
