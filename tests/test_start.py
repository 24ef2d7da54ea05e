"""What a start does not import. Nothing is timed here: `benchmarks/bench_start.py` does that."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import tunesmith.lm
from tests.evaluation.ledgers import filled
from tests.lm.front import Act, chat_reply, front
from tunesmith.cli.application import VERBS
from tunesmith.lazy import lazy_module, lazy_pattern
from tunesmith.lm import ReplyCache

HEAVY_FOR_HELP = ("asyncio", "dspy", "numpy", "optuna", "pydantic", "rich", "sqlite3")
HEAVY = (
    "bm25s",
    "click",
    "filelock",
    "httpx",
    "numpy",
    "ollama",
    "openai",
    "optuna",
    "pandas",
    "rich",
    "scipy",
    "xllamacpp",
)
NEVER_TO_PREDICT = ("bm25s", "click", "cryptography", "difflib", "fastapi", "html.parser", "optuna", "rich")


def loaded(code: str, *names: str, **environment: str) -> set[str]:
    """Return which of these libraries `code` loads in a fresh process."""
    watch = f"""
import atexit, sys
atexit.register(lambda: sys.stderr.write("loaded: " + " ".join({set(names)} & set(sys.modules))))
"""
    done = subprocess.run(
        [sys.executable, "-c", watch + code],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1]), **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stderr.rpartition("loaded: ")[2].split())


@pytest.fixture(scope="module")
def by_dspy() -> set[str]:
    """What DSPy loads itself, of all the names that tests of this file ask about."""
    return loaded("import dspy", *HEAVY, *NEVER_TO_PREDICT, "tenacity")


def test_the_first_line_of_a_program_loads_no_heavy_library_that_dspy_does_not(by_dspy: set[str]) -> None:
    assert loaded("import tunesmith as ts; ts.Predict, ts.lm, ts.evaluate, ts.RandomSearch", *HEAVY) <= by_dspy


def test_help_and_version_of_every_verb_load_neither_dspy_nor_what_it_needs() -> None:
    verbs = [*VERBS, "models pull", "runs show", "cache prune", "data check"]
    asked = [[*verb.split(), "--help"] for verb in verbs] + [["--help"], ["--version"]]
    code = f"from tunesmith.cli import main\nfor one in {asked}: main(one, standalone_mode=False)"

    assert loaded(code, *HEAVY_FOR_HELP) == set()


def test_completion_loads_neither_dspy_nor_what_it_needs() -> None:
    shell = {"_TUNESMITH_COMPLETE": "bash_complete", "COMP_WORDS": "tunesmith compile --", "COMP_CWORD": "2"}

    assert loaded("from tunesmith.cli import main; main([])", *HEAVY_FOR_HELP, **shell) == set()


def test_looking_at_runs_loads_no_dspy(tmp_path: Path) -> None:
    (tmp_path / "runs" / "first").mkdir(parents=True)
    filled(tmp_path / "runs" / "first" / "run.db", 20)
    verbs = [["runs", "ls"], ["runs", "show", "first"]]
    code = f"import os; from tunesmith.cli import main; os.chdir({str(tmp_path)!r})\n"
    code += f"for one in {verbs}: main(one, standalone_mode=False)"

    assert loaded(code, "dspy", "pydantic") == set()


def test_reading_a_reply_loads_no_diskcache(tmp_path: Path) -> None:
    ReplyCache(tmp_path).put("k", {"text": "yes"})
    code = f"from pathlib import Path; from tunesmith.lm import ReplyCache; cache = ReplyCache(Path({str(tmp_path)!r}))"

    assert loaded(f"{code}; assert cache.get('k') == {{'text': 'yes'}}", "diskcache") == set()
    assert loaded(f"{code}; cache.put('k', {{}})", "diskcache") == {"diskcache"}


def test_loading_and_predicting_load_no_library_of_compiles_of_the_command_line_or_of_a_server(
    tmp_path: Path, by_dspy: set[str]
) -> None:
    tunesmith.save(tmp_path / "a", tunesmith.ChainOfThought("question -> answer"))
    code = f"""
import tunesmith as ts
program = ts.load({str(tmp_path / "a")!r}, lm=ts.ScriptedLM('{{"reasoning": "r", "answer": "yes"}}'))
assert program(question="?").answer == "yes"
"""
    assert loaded(code, *NEVER_TO_PREDICT) <= by_dspy


def test_loading_a_program_imports_no_file_for_other_than_its_calls(tmp_path: Path) -> None:
    """A fifth of the CPU of a load, before."""
    signature = tunesmith.Signature("text -> label: Literal['good', 'bad']")
    tunesmith.save(tmp_path / "a", tunesmith.Predict(signature))
    code = f"""
import tunesmith as ts
ts.load({str(tmp_path / "a")!r}, lm=ts.lm("openai/noop", host="http://127.0.0.1:9/v1"))
"""
    elsewhere = (
        "formats.choosing", "formats.cut", "lm.cache.flight", "lm.call", "lm.prompts", "lm.waiting", "modules.nearest",
        "notebook", "signatures.bounds", "signatures.schema",
    )  # fmt: skip

    assert loaded(code, *(f"tunesmith.{name}" for name in elsewhere)) == set()


def test_an_expression_is_compiled_when_an_attribute_is_read() -> None:
    digits = lazy_pattern("[0-9]+")

    assert repr(digits) == "<lazy pattern '[0-9]+'>"
    assert digits.sub("", "a1b22") == "ab"


def test_a_lazy_module_is_imported_when_an_attribute_is_read() -> None:
    code = "from tunesmith.lazy import lazy_module; numpy = lazy_module('numpy')"

    assert loaded(code, "numpy") == set()
    assert loaded(f"{code}; numpy.ndarray", "numpy") == {"numpy"}


def test_a_tool_that_looks_into_a_lazy_module_does_not_import_it() -> None:
    """As pytest does with every name of a file of tests."""
    absent = lazy_module("tunesmith_absent")
    assert not hasattr(absent, "__wrapped__")
    assert not hasattr(absent, "_mock_name")
    with pytest.raises(ModuleNotFoundError):
        absent.name  # noqa: B018


def test_a_lazy_module_lacks_what_the_module_lacks() -> None:
    with pytest.raises(AttributeError, match="module 'json' has no attribute 'nothing'"):
        lazy_module("json").nothing  # noqa: B018


def test_a_lazy_package_gives_every_public_name_and_refuses_others() -> None:
    assert [name for name in tunesmith.lm.__all__ if not hasattr(tunesmith.lm, name)] == []
    with pytest.raises(AttributeError, match=r"module 'tunesmith\.lm' has no attribute 'nothing'"):
        tunesmith.lm.nothing  # noqa: B018


def test_a_lazy_package_imports_the_file_of_a_name_when_it_is_first_read() -> None:
    files = ("tunesmith.lm.meter", "tunesmith.lm.model")

    assert loaded("import tunesmith.lm", *files) == set()
    assert loaded("from tunesmith.lm import Budget", *files) == {"tunesmith.lm.meter"}


def test_a_reply_from_the_cache_needs_neither_the_client_nor_the_server_of_openais_protocol(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by_dspy: set[str]
) -> None:
    monkeypatch.setenv("TUNESMITH_HOME", str(tmp_path))
    with front(lambda asked: Act(body=chat_reply("kept"))) as server:
        how = {"base_url": server.url, "dialect": "openai", "revision": "1"}
        assert tunesmith.lm.lm("openai/m", **how)("x") == ["kept"]
    code = f"import tunesmith as ts; assert ts.lm('openai/m', **{how})('x') == ['kept']"

    assert "openai" not in (found := loaded(code, "openai", "tenacity"))
    assert found <= by_dspy
