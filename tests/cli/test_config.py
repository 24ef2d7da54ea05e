"""`tunesmith config`."""

import json
from pathlib import Path

import pytest

from tests.cli.conftest import check_failure, run
from tests.each import each
from tunesmith.errors import masked

TOML = """metric = "exact_match:team"
[lm]
spec = "openai/tiny"
base_url = "https://me:pass-1@host/v1?api_key=pass-2&x=1"
api_key_env = "pass3"
[experiments.seeds]
seeds = [0, 1]
"""


@pytest.fixture(autouse=True)
def _file(tmp_path: Path) -> None:
    (tmp_path / "tunesmith.toml").write_text(TOML, encoding="utf-8")


def test_every_setting_has_its_value_and_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNESMITH_COMPILE_BUDGET_CALLS", "40")
    found = json.loads(run("config", "--seed", "3", "--set", "num_candidates=4", "--slots", "2", "--json").stdout)
    settings = found["settings"]
    assert settings["metric"] == {
        "value": "exact_match:team",
        "from": "file",
        "name": "tunesmith.toml",
        "line": 1,
    }
    assert settings["compile.budget_calls"] == {
        "value": 40,
        "from": "environment",
        "name": "TUNESMITH_COMPILE_BUDGET_CALLS",
        "line": None,
    }
    assert settings["compile.num_candidates"] == {"value": 4, "from": "flag", "name": "--set", "line": None}
    assert settings["compile.freeze"] == {"value": [], "from": "default", "name": None, "line": None}
    assert settings["lm.slots"]["value"] == settings["compile.slots"]["value"] == 2
    assert settings["experiments.seeds"] == {
        "value": {"seeds": [0, 1]},
        "from": "file",
        "name": "tunesmith.toml",
        "line": 6,
    }
    text = run("config", "--seed", "3").stdout
    assert any(line.split() == ["compile.seed", "3", "--seed"] for line in text.splitlines())


def test_a_long_value_is_cut_in_the_table_alone(tmp_path: Path) -> None:
    labels = [f"label {n}" for n in range(40)]
    with (tmp_path / "tunesmith.toml").open("a", encoding="utf-8") as file:
        file.write(f'[program]\nsignature = "text -> label: Literal{labels}"\n')
    found = run("config")
    assert max(len(line) for line in found.stdout.splitlines()) < 180
    assert "--json has all of it" in found.stderr
    assert labels[-1] in run("config", "--json").stdout


def test_nothing_secret_is_printed() -> None:
    for found in (run("config"), run("config", "--json")):
        assert found.exit_code == 0
        assert "pass" not in found.stdout
        assert "https://***@host/v1?api_key=***&x=1" in found.stdout


@each(
    ("text", "wanted"),
    [
        ("postgresql://me:pass/1@host/runs", "postgresql://***@host/runs"),
        ("mysql://me:p@ss@host:1/runs?passwd=word", "mysql://***@host:1/runs?passwd=***"),
        ("refused: 'https://token@host/v1'", "refused: 'https://***@host/v1'"),
        ("http://host:8080/v1?x=1", "http://host:8080/v1?x=1"),
        ("https://host/v1/@cf/model", "https://host/v1/@cf/model"),
    ],
)
def test_an_address_is_shown_without_who_logs_in(text: str, wanted: str) -> None:
    assert masked(text) == wanted


def test_a_variable_that_is_nearly_right_is_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNESMITH_METRICS", "x")
    assert "Is TUNESMITH_METRIC meant?" in run("config").stderr


def test_a_mistake_in_the_file_is_the_message(tmp_path: Path) -> None:
    (tmp_path / "tunesmith.toml").write_text("\nmetrics = 3\n", encoding="utf-8")
    message = check_failure(run("config"), 2)
    assert message == "tunesmith.toml, line 2: there is no key `metrics`. Did you mean `metric`?"
