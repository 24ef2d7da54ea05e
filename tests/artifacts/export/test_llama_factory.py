"""LLaMA-Factory's own code reads the exports, in an environment of its own: no row is dropped, changed or cut off."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import tunesmith as ts
from tests.artifacts.export import llama_factory
from tests.artifacts.export.tuning import agent, dates_run

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

PACKAGES = (["--no-deps", "llamafactory==0.9.5"], ["datasets==4.0.0"])  # the newest that it allows
ROLES = {"human": "user", "gpt": "assistant", "function_call": "function", "observation": "observation"}
END = "<|im_end|>\n"


@pytest.fixture(scope="module")
def python() -> Iterator[Path]:
    """The Python of an environment with LLaMA-Factory's package and `datasets`."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True, timeout=120)
        found = Path(folder) / "bin" / "python"
        for names in PACKAGES:
            pip = [sys.executable, "-m", "pip", "--python", str(found), "install", "--quiet", *names]
            done = subprocess.run(pip, capture_output=True, text=True, check=False, timeout=600)
            if done.returncode:
                pytest.skip(f"{names[-1]} cannot be installed: {done.stderr.strip()[-300:]}")
        yield found


def read(python: Path, run: Path, folder: Path, to: str, **options: Any) -> dict[str, Any]:
    """Export a run, and return its rows with what LLaMA-Factory makes of them."""
    ts.export(run, to=to, out=folder, **{"eval_share": 0.4, **options})
    found = subprocess.run(
        [python, llama_factory.__file__, folder, "qwen3_nothink"],
        env={**os.environ, "HF_HOME": str(folder / "home"), "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert found.returncode == 0, found.stderr[-2000:]
    said = found.stdout.partition("RESULT")[0] + found.stderr
    assert not [line for line in said.splitlines() if "Invalid" in line or "abnormal" in line or "Dropped" in line]
    result: dict[str, Any] = json.loads(found.stdout.partition("RESULT")[2])
    for side in ("train", "eval"):
        result[side]["rows"] = rows_in(folder, side)
    return result


def rows_in(folder: Path, side: str) -> list[dict[str, Any]]:
    lines = folder / f"{side}.jsonl"
    if lines.exists():
        return [json.loads(line) for line in lines.read_text(encoding="utf-8").splitlines()]
    found: list[dict[str, Any]] = json.loads((folder / f"{side}.json").read_text(encoding="utf-8"))
    return found


def meant(to: str, row: dict[str, Any]) -> dict[str, Any]:
    """Return what the converter has to make of a row."""
    if to == "alpaca":
        told = [(role, text) for pair in row["history"] for role, text in zip(("user", "assistant"), pair, strict=True)]
        told += [("user", row["instruction"]), ("assistant", row["output"])]
    elif to == "openai":
        told = [(one["role"], one["content"]) for one in row["messages"]]
        row = {"system": told.pop(0)[1]}
    else:
        told = [(ROLES[one["from"]], one["value"]) for one in row["conversations"]]
    turns = [{"role": role, "content": text} for role, text in told]
    prompt, response = (turns, []) if to == "dpo" else (turns[:-1], turns[-1:])
    if to == "dpo":
        response = [{"role": "assistant", "content": row[which]["value"]} for which in ("chosen", "rejected")]
    if to == "kto":
        nothing = [{"role": "assistant", "content": ""}]
        response = response + nothing if row["kto_tag"] else nothing + response
    return {"_prompt": prompt, "_response": response, "_system": row["system"], "_tools": row.get("tools", "")}


def check(to: str, result: dict[str, Any]) -> None:
    """Every row is there as it is, whole, and only its reply is learned."""
    for side in ("train", "eval"):
        found = result[side]
        assert found["rows"], "there is nothing to compare"
        assert [{key: row[key] for key in meant(to, found["rows"][0])} for row in found["converted"]] == [
            meant(to, row) for row in found["rows"]
        ]
        assert len(found["encoded"]) == len(found["rows"])
        for row, ready in zip(found["rows"], found["encoded"], strict=True):
            check_texts(to, meant(to, row), ready)
            assert all(value < result["cutoff"] for key, value in ready.items() if key.endswith(" length"))
            assert ready.get("kto_tag") == row.get("kto_tag")


def check_texts(to: str, wanted: dict[str, Any], ready: dict[str, Any]) -> None:
    texts = [one["content"] for one in wanted["_response"] if one["content"]]
    learned = [ready[key] for key in ("labels", "chosen_labels", "rejected_labels") if key in ready]
    if wanted["_tools"]:
        assert texts[0] in learned[0]
        return
    assert learned == [f"{text}{END}" for text in texts]
    whole = ready.get("input_ids", ready.get("chosen_input_ids"))
    assert whole.startswith(f"<|im_start|>system\n{wanted['_system']}{END}")
    asked = wanted["_prompt"][-1]["content"]
    assert whole.endswith(f"<|im_start|>user\n{asked}{END}<|im_start|>assistant\n{texts[0]}{END}")


@pytest.fixture(scope="module")
def dates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return dates_run(tmp_path_factory.mktemp("dates") / "dates")


@pytest.mark.parametrize("to", ["alpaca", "sharegpt", "openai", "dpo", "kto"])
def test_every_row_is_read_as_it_is(to: str, python: Path, colours: Path, tmp_path: Path) -> None:
    check(to, read(python, colours, tmp_path, to))


@pytest.mark.parametrize("to", ["alpaca", "sharegpt", "openai", "dpo", "kto"])
def test_replies_that_look_like_dates_stay_texts_and_nasty_inputs_stay_as_they_are(
    to: str, python: Path, dates: Path, tmp_path: Path
) -> None:
    check(to, read(python, dates, tmp_path, to))


def test_calls_of_tools_are_learned_and_what_they_return_is_not(python: Path, called: Path, tmp_path: Path) -> None:
    result = read(python, called, tmp_path, "sharegpt", program=agent)
    check("sharegpt", result)
    learned = result["train"]["encoded"][0]
    assert learned["labels"].count("<tool_call>") == 2
    assert "<tool_response>" not in learned["labels"]
    assert learned["input_ids"].count("<tool_response>") == 2


def test_the_numbers_of_the_config_are_numbers(python: Path, colours: Path, tmp_path: Path) -> None:
    kinds = read(python, colours, tmp_path, "alpaca")["numbers"]
    assert {kinds[name] for name in ("learning_rate", "num_train_epochs", "warmup_ratio")} == {"float"}
    assert kinds["do_train"] == kinds["mask_history"] == "bool"
