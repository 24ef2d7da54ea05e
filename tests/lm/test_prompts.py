"""Prompts and messages of a call: what cannot be sent is a typed error that says what to give."""

import asyncio
from typing import Any

import dspy
import pytest
from dspy.utils.exceptions import LMUnsupportedFeatureError

import tunesmith as ts
from tests.each import each
from tunesmith.errors import RequestRefused, TunesmithError, UsageError
from tunesmith.lm import FunctionLM, as_lm, build_lm

USER = {"role": "user", "content": "hello"}


def refused_calls(call: dict[str, Any]) -> list[TunesmithError]:
    """Return the errors of one call and of its asynchronous form."""
    model = FunctionLM(lambda seen: "x")
    errors = []
    with pytest.raises(TunesmithError) as caught:
        model(**call)
    errors.append(caught.value)
    with pytest.raises(TunesmithError) as caught:
        asyncio.run(model.acall(**call))
    errors.append(caught.value)
    assert not model.requests
    return errors


@each(
    ("call", "advice"),
    [
        ({}, "at least one message"),
        ({"messages": []}, "at least one message"),
        ({"messages": ()}, "at least one message"),
        ({"prompt": 5}, "must be a text"),
        ({"prompt": ["a"]}, "must be a text"),
        ({"messages": "hello"}, "must be a list"),
        ({"messages": (USER,)}, "must be a list"),
        ({"messages": ["hello"]}, '"role": "user"'),
        ({"messages": [USER, {"content": "a"}]}, "The role of message 2 must be one of system"),
        ({"messages": [{"role": "human", "content": "a"}]}, "Given: 'human'"),
        ({"messages": [{"role": "user"}]}, "The content of message 1"),
        ({"messages": [{"role": "user", "content": 5}]}, "The content of message 1"),
        ({"messages": [{"role": "user", "content": None, "tool_calls": [{}]}]}, "The content of message 1"),
        ({"messages": [{"role": "user", "content": []}]}, "The content of message 1"),
        ({"messages": [{"role": "user", "content": ["a"]}]}, "The content of message 1"),
        ({"messages": [{"role": "system", "content": "a"}]}, "with the role `user`"),
    ],
)
def test_a_call_with_nothing_to_send_is_a_usage_error_that_says_what_to_give(call: dict[str, Any], advice: str) -> None:
    for error in refused_calls(call):
        assert isinstance(error, UsageError)
        assert advice in str(error)


@each(
    "call",
    [
        {"prompt": "\ud800"},
        {"prompt": "é\udfff"},
        {"messages": [{"role": "user", "content": "a\udc00"}]},
        {"messages": [{"role": "system", "content": "\ud800"}, USER]},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "\ud800"}]}]},
    ],
)
def test_a_lone_surrogate_is_refused_before_the_engine(call: dict[str, Any]) -> None:
    for error in refused_calls(call):
        assert isinstance(error, RequestRefused)
        assert "lone surrogate" in str(error)


def test_a_part_that_no_request_can_carry_is_refused() -> None:
    for error in refused_calls({"messages": [{"role": "user", "content": [{"type": "hologram"}]}]}):
        assert isinstance(error, RequestRefused)
        assert "hologram" in str(error)


@each(
    "call",
    [
        {"prompt": ""},
        {"prompt": "a", "messages": []},
        {"prompt": [{"type": "text", "text": "a"}]},
        {"messages": [{"role": "assistant", "content": "a"}]},
        {"messages": [{"role": "developer", "content": "a"}, USER]},
        {"messages": [{"role": "user", "content": ""}]},
        {"messages": [USER, {"role": "assistant", "content": None, "tool_calls": []}, USER]},
        {"messages": [USER, {"role": "assistant", "content": None}, USER]},
        {
            "messages": [
                USER,
                {
                    "role": "assistant",
                    "content": None,
                    "tool_calls": [{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
                },
                {"role": "tool", "tool_call_id": "1", "content": "5"},
            ]
        },
    ],
)
def test_what_dspy_sends_is_sent(call: dict[str, Any]) -> None:
    assert FunctionLM(lambda seen: "x")(**call) == ["x"]


class TextOnly(dspy.BaseLM):
    """Refuses a request as DSPy does for a model that completes texts, such as `text-completion-openai/...`."""

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        raise LMUnsupportedFeatureError("text-completion-openai does not support parameters", model=self.model)


def test_a_request_that_a_provider_does_not_take_is_refused_with_a_typed_error() -> None:
    model = as_lm(TextOnly("text-completion-openai/m", cache=False))
    with pytest.raises(RequestRefused, match="use a chat model"):
        model("hello")
    with dspy.context(lm=model), pytest.raises(RequestRefused, match="use a chat model"):
        ts.Predict("q -> a")(q="x")


def test_an_lm_over_an_engine_checks_its_calls_too() -> None:
    with pytest.raises(UsageError, match="no prompt"):
        build_lm("m", FunctionLM(lambda seen: "x")._stack.engine)()
