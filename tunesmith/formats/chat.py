"""`chat`: DSPy's marker format, through DSPy's adapter, without its second call."""

import inspect
from typing import Any, ClassVar

from pydantic import PydanticUserError

from tunesmith.errors import ParseError, SignatureError
from tunesmith.formats.checks import check_inputs
from tunesmith.formats.format import AdapterParseError, ChatAdapter, ReplyError, UnwrappedMethods
from tunesmith.formats.registry import register
from tunesmith.formats.thoughts import without_thoughts
from tunesmith.lm import BaseLM
from tunesmith.signatures import Signature, in_one_order

__all__ = ["ChatFormat"]

_parse = inspect.unwrap(ChatAdapter.parse)  # the wrapped one would run DSPy's callbacks a second time


class ChatFormat(UnwrappedMethods, ChatAdapter):
    """What plain DSPy sends. Use it for interchange, and for types that no other format carries (images, tools).

    The reply is not constrained. A reply that cannot be parsed is an error and causes no second call.
    """

    name: ClassVar[str] = "chat"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("use_json_adapter_fallback", False)
        super().__init__(*args, **kwargs)

    def __call__(
        self,
        lm: BaseLM,
        lm_kwargs: dict[str, Any],
        signature: type[Signature],
        demos: list[Any],
        inputs: dict[str, Any],
    ) -> list[dict[str, Any]]:
        """Render, call once, read, all as DSPy does.

        Raises:
            FormatError: none of the inputs is given; nothing was sent.
            ParseError: the reply does not hold the outputs.
        """
        check_inputs(signature, inputs)
        try:
            return super().__call__(lm, lm_kwargs, signature, demos, inputs)
        except AdapterParseError as error:
            raise _reply_error(error, signature) from error

    async def acall(
        self,
        lm: BaseLM,
        lm_kwargs: dict[str, Any],
        signature: type[Signature],
        demos: list[Any],
        inputs: dict[str, Any],
    ) -> list[dict[str, Any]]:
        """Do what `__call__` does, asynchronously."""
        check_inputs(signature, inputs)
        try:
            return await super().acall(lm, lm_kwargs, signature, demos, inputs)
        except AdapterParseError as error:
            raise _reply_error(error, signature) from error

    def parse(self, signature: type[Signature], completion: str) -> dict[str, Any]:
        """Read a reply as DSPy does, but drop leading thoughts first: they may hold a draft of the answer.

        Raises:
            ParseError: the reply ends inside its thoughts.
        """
        try:
            answer = without_thoughts(completion)
        except ParseError as error:
            raise ReplyError(error, self.name, signature) from error
        try:
            return _parse(self, signature, answer)
        except AdapterParseError as error:
            error.lm_response = completion
            raise

    def format_field_structure(self, signature: type[Signature]) -> str:
        """Describe the outputs as DSPy does, which shows the JSON schema of their types.

        Raises:
            SignatureError: a type has none.
        """
        try:
            return super().format_field_structure(signature)
        except PydanticUserError as error:
            raise SignatureError(
                f"An output of `{signature.__name__}` has a type without a JSON schema, so no prompt can say what it "
                f"is. Use a pydantic model or a plain type. {error.message}."
            ) from error

    def format_user_message_content(self, signature: type[Signature], inputs: Any, *args: Any, **kwargs: Any) -> str:
        """Write inputs as DSPy does, but sort the items of sets: their order differs between processes."""
        return super().format_user_message_content(signature, _in_one_order(inputs), *args, **kwargs)

    def format_assistant_message_content(
        self, signature: type[Signature], outputs: Any, *args: Any, **kwargs: Any
    ) -> str:
        """Write outputs, as `format_user_message_content` writes inputs."""
        return super().format_assistant_message_content(signature, _in_one_order(outputs), *args, **kwargs)

    def __deepcopy__(self, memo: dict[int, Any]) -> "ChatFormat":
        return self

    def __repr__(self) -> str:
        return f"<format {self.name}>"


def _in_one_order(fields: Any) -> dict[str, Any]:
    return {name: in_one_order(value) for name, value in fields.items()}


def _reply_error(error: AdapterParseError, signature: type[Signature]) -> ReplyError:
    if isinstance(error, ReplyError):
        return error
    raw = error.lm_response
    if not raw.strip() or raw == "None":
        reason, problem = "empty", "The reply is empty."
    elif error.parsed_result is not None:
        reason, problem = "missing", "The reply does not hold all outputs behind DSPy's markers."
    else:
        reason, problem = "invalid", "An output in the reply is not of its type."
    return ReplyError(ParseError(problem, reason=reason, raw=raw), ChatFormat.name, signature)


register(ChatFormat())
