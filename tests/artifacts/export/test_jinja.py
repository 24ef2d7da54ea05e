import json
from typing import Any

import jinja2
import jinja2.sandbox
import pytest

import tunesmith as ts
from tests.artifacts.export.prompts import FORMATS, check_texts, program, sent
from tests.each import each

ENVIRONMENTS = {
    "usual": jinja2.Environment(),
    "strict": jinja2.sandbox.ImmutableSandboxedEnvironment(
        undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    ),
}


def rendered(template: str, environment: jinja2.Environment, **inputs: Any) -> Any:
    return json.loads(environment.from_string(template).render(inputs))


@each("name", FORMATS)
def test_jinja_renders_exactly_the_messages_that_are_sent(name: str) -> None:
    def check(instruction: str, demo: str, text: str, more: str) -> None:
        made = program(name, instruction, demo)
        template = ts.export(made, to="jinja").text
        wanted = sent(made, text=text, count=7, more=more)
        for environment in ENVIRONMENTS.values():
            assert rendered(template, environment, text=text, count=7, more=more) == wanted

    check_texts(name, check)


def test_an_input_called_as_a_message_of_the_template_is_no_clash() -> None:
    made = ts.Predict("message1, message_ -> label")
    found = rendered(ts.export(made, to="jinja").text, ENVIRONMENTS["usual"], message1="a", message_="b")
    assert found == sent(made, message1="a", message_="b")


def test_a_forgotten_input_is_an_error_in_a_strict_environment() -> None:
    with pytest.raises(jinja2.UndefinedError, match="'more' is undefined"):
        rendered(ts.export(program(), to="jinja").text, ENVIRONMENTS["strict"], text="a", count=1)


def test_several_predictors_have_a_file_each() -> None:
    chain = ts.Chain(one=ts.Predict("text -> middle"), two=ts.Predict("middle -> label"))
    found = ts.export(chain, to="jinja").files
    assert list(found) == ["one.jinja", "two.jinja"]
    wanted = sent(ts.Predict("middle -> label"), middle="m")
    assert rendered(found["two.jinja"], ENVIRONMENTS["usual"], middle="m") == wanted
