"""Request options as `dspy.LM` takes them become a request's configuration."""

from typing import Any

import pytest

from tests.each import each
from tunesmith.errors import FormatError
from tunesmith.formats import Constraint
from tunesmith.formats.options import request_config


def config(constraint: Constraint | None = None, **options: Any) -> Any:
    return request_config(options, constraint or Constraint())


def test_known_options_are_fields_and_others_extensions() -> None:
    found = config(temperature=0.5, max_tokens=9, seed=0, top_p=0.9, mirostat=2)

    assert (found.temperature, found.max_tokens, found.seed, found.top_p) == (0.5, 9, 0, 0.9)
    assert dict(found.extensions) == {"mirostat": 2}


def test_the_other_name_of_max_tokens_is_known() -> None:
    assert config(max_completion_tokens=9).max_tokens == 9


def test_what_belongs_to_a_connection_is_not_sent() -> None:
    found = config(api_key="secret", api_base="http://x", cache=False, num_retries=3, headers={}, tools=[])

    assert found == config()
    assert "secret" not in repr(found)


def test_absent_values_are_absent() -> None:
    assert config(temperature=None, stop=None, mirostat=None) == config()


@each(
    ("stop", "sent"),
    [(None, ("\n",)), ("END", ("END", "\n")), (["END", "\n"], ("END", "\n")), ((), ("\n",)), ("\n", ("\n",))],
)
def test_the_callers_stops_come_first_and_none_comes_twice(stop: Any, sent: tuple[str, ...]) -> None:
    assert config(Constraint(stop=("\n",)), stop=stop).stop == sent


def test_a_grammar_is_an_extension_and_a_schema_the_response_format() -> None:
    assert dict(config(Constraint(grammar='root ::= "a"')).extensions) == {"grammar": 'root ::= "a"'}
    found = config(Constraint(schema={"type": "integer"})).response_format
    assert found == {"type": "json_schema", "name": "reply", "schema": {"type": "integer"}, "strict": True}


@each(
    ("options", "count"),
    [
        ({"logprobs": True}, 5),
        ({"logprobs": 2}, 2),
        ({"logprobs": True, "top_logprobs": 7}, 7),
        ({"logprobs": False}, None),
        ({}, None),
    ],
)
def test_log_probabilities_are_counted(options: dict[str, Any], count: int | None) -> None:
    assert config(**options).logprobs == count


@each("options", [{"max_tokens": "many"}, {"temperature": "hot"}, {"stop": 5}, {"seed": 1.5}])
def test_an_option_of_a_wrong_type_is_a_typed_error(options: dict[str, Any]) -> None:
    with pytest.raises(FormatError, match="option") as caught:
        config(**options, api_key="secret")
    assert "secret" not in str(caught.value)
