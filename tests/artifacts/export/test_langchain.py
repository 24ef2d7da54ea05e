import functools
from typing import Any

import pytest

import tunesmith as ts
from tests.artifacts.export.prompts import FORMATS, check_texts, program, sent
from tests.each import each

ROLES = {"system": "system", "human": "user", "ai": "assistant"}


@pytest.fixture(scope="module")
def loads() -> Any:
    try:
        from langchain_core.load import loads
    except ImportError:
        pytest.skip("langchain-core is not installed")
    return functools.partial(loads, allowed_objects="core")


def formatted(template: Any, **inputs: Any) -> list[dict[str, str]]:
    return [{"role": ROLES[one.type], "content": one.content} for one in template.format_messages(**inputs)]


@pytest.mark.filterwarnings("ignore:.*beta.*")
@each("name", FORMATS)
def test_langchain_formats_exactly_the_messages_that_are_sent(name: str, loads: Any) -> None:
    set_in = name in ("bare", "json", "lines")

    def check(instruction: str, demo: str, text: str, more: str) -> None:
        if set_in:  # several lines are not carried there, as the notes say
            text, more = text.replace("\n", " "), more.replace("\n", " ")
        made = program(name, instruction, demo)
        found = formatted(loads(ts.export(made, to="langchain").text), text=text, count=7, more=more)
        assert found == sent(made, text=text, count=7, more=more)

    check_texts(name, check)
    assert any("cannot set in" in note for note in ts.export(program(name), to="langchain").notes) == set_in


@pytest.mark.filterwarnings("ignore:.*beta.*")
def test_the_template_names_its_inputs_and_misses_one_that_is_not_given(loads: Any) -> None:
    template = loads(ts.export(program(), to="langchain").text)
    assert sorted(template.input_variables) == ["count", "more", "text"]
    with pytest.raises(KeyError, match="more"):
        template.format_messages(text="a", count=1)


@pytest.mark.filterwarnings("ignore:.*beta.*")
def test_several_predictors_have_a_template_each(loads: Any) -> None:
    chain = ts.Chain(one=ts.Predict("text -> middle"), two=ts.Predict("middle -> label"))
    found = ts.export(chain, to="langchain").files
    assert list(found) == ["one.json", "two.json"]
    assert formatted(loads(found["two.json"]), middle="m") == sent(ts.Predict("middle -> label"), middle="m")
