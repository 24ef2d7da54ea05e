"""Check the prompt or the messages of a call before DSPy makes a request of them."""

from collections.abc import Mapping
from typing import Any

from tunesmith.errors import UsageError, shown
from tunesmith.lm.engine import sendable

__all__ = ["check_prompt"]

_ROLES = ("system", "developer", "user", "assistant", "tool")
_INSTRUCTING = ("system", "developer")


def check_prompt(prompt: Any, messages: Any) -> None:
    """Check that a call has something to send. As in DSPy, `messages` replaces `prompt` if it has any.

    Raises:
        UsageError: there is no text and no message from the user, or a message has the wrong form.
        RequestRefused: a text has a lone surrogate.
    """
    if not messages:
        if prompt is None:
            raise UsageError(
                'The call has no prompt. Give a text, as in `lm("hello")`, or at least one message, as in '
                '`lm(messages=[{"role": "user", "content": "hello"}])`.'
            )
        _check_content(prompt, "`prompt`")
        _check_texts(prompt)
        return
    if not isinstance(messages, list):
        raise UsageError(f"`messages` must be a list of messages. Given: {shown(messages)}.")
    for number, message in enumerate(messages, 1):
        _check_message(message, f"Message {number}")
    if all(message["role"] in _INSTRUCTING for message in messages):
        raise UsageError("`messages` has instructions only. Add a message with the role `user`.")
    _check_texts(messages)


def _check_message(message: Any, which: str) -> None:
    if not isinstance(message, Mapping):
        raise UsageError(
            f'{which} must be a dict such as {{"role": "user", "content": "hello"}}. Given: {shown(message)}.'
        )
    if message.get("role") not in _ROLES:
        raise UsageError(
            f"The role of {which.lower()} must be one of {', '.join(_ROLES)}. Given: {shown(message.get('role'))}."
        )
    content = message.get("content")
    if content is not None or message["role"] != "assistant":  # an empty turn, or one of tool calls alone
        _check_content(content, f"The content of {which.lower()}")


def _check_content(content: Any, which: str) -> None:
    is_list = isinstance(content, list) and content and all(isinstance(part, Mapping) for part in content)
    if not isinstance(content, str) and not is_list:
        raise UsageError(f"{which} must be a text, or a list of parts as dicts. Given: {shown(content)}.")


def _check_texts(value: Any) -> None:
    if isinstance(value, str):
        sendable(value)
    elif isinstance(value, Mapping):
        for item in (*value, *value.values()):
            _check_texts(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            _check_texts(item)
