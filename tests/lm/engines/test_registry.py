"""An engine is one file: `ts.lm`, tunesmith.toml and the documents find what it declares."""

from pathlib import Path
from typing import Any

import pytest

import tunesmith as ts
from tunesmith.errors import UsageError
from tunesmith.experiments import Project
from tunesmith.lm import EngineKind, engine_kinds, register_engine
from tunesmith.lm.engines import registry
from tunesmith.lm.engines.registry import EngineOptions, option


class LoudOptions(EngineOptions):
    volume: int | None = option("a whole number", "how loud a reply is")
    api_key: str | None = option("a text", "key of the server")
    words: list[str] = option("a list of texts", "what is shouted")


def make(spec: str, given: dict[str, Any], slots: int) -> registry.Built:
    return ts.FunctionLM(lambda seen: spec.removeprefix("loud/") + "!" * given.get("volume", 1))._stack.engine, given


@pytest.fixture
def loud(monkeypatch: pytest.MonkeyPatch) -> None:
    engine_kinds()
    monkeypatch.setattr(registry, "_KINDS", dict(registry._KINDS))
    register_engine(
        EngineKind(
            name="loud",
            spec="loud/<word>",
            help="an engine that shouts",
            options=LoudOptions,
            make=make,
            takes=lambda spec, _: spec.startswith("loud/"),
        )
    )


@pytest.mark.usefixtures("loud")
def test_a_new_engine_answers_its_specs_with_its_options() -> None:
    assert ts.lm("loud/hi", volume=3, cache=False)("say")[0] == "hi!!!"


@pytest.mark.usefixtures("loud")
@pytest.mark.parametrize(
    ("given", "says"),
    [({"volume": "much"}, "a whole number"), ({"think": True}, "`think`"), ({"words": "hi"}, "a list of texts")],
)
def test_its_options_are_checked(given: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        ts.lm("loud/hi", **given)


@pytest.mark.usefixtures("loud")
def test_a_file_may_hold_its_options_but_no_secret() -> None:
    assert registry.file_options()["volume"] == (int | None)
    assert "api_key" not in registry.file_options()


def test_a_name_is_taken_once() -> None:
    with pytest.raises(UsageError, match="'ollama'"):
        register_engine(engine_kinds()[1])


@pytest.mark.parametrize("name", ["num_ctx", "threads", "think", "keep_alive", "base_url", "dialect", "cloud", "host"])
def test_a_project_file_holds_the_options_of_every_engine(name: str, tmp_path: Path) -> None:
    value = {"think": "true", "cloud": "true", "num_ctx": "512", "threads": "2"}.get(name, '"a"')
    (tmp_path / "tunesmith.toml").write_text(f'[lm]\nspec = "x/y"\n{name} = {value}\n', encoding="utf-8")
    assert name in Project.load(tmp_path / "tunesmith.toml").settings.lm.options()


def test_an_address_without_its_scheme_is_refused_before_every_example_fails() -> None:
    for name in ("host", "api_base"):
        with pytest.raises(UsageError, match=f"`{name}` is an address such as `http://localhost:8000/v1`"):
            ts.lm("openai/tiny", **{name: "localhost:8000/v1"})
