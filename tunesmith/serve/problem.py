"""What a client is told about a failure: a status, a type and a sentence, and nothing of the inside."""

from collections.abc import Mapping
from typing import Any, NotRequired

from typing_extensions import TypedDict

from tunesmith.errors import (
    ContextOverflow,
    FormatError,
    ModelError,
    ModelMissing,
    ModelUnavailable,
    ParseError,
    TunesmithError,
    kind_of,
)

__all__ = ["Problem", "Refusal", "refusal_of"]


class _Detail(TypedDict):
    type: str
    message: str
    request_id: NotRequired[str]
    field: NotRequired[str]


class Problem(TypedDict):
    """The body of every answer that is not a success."""

    error: _Detail


class Refusal(Exception):
    """A request ends with this status.

    Attributes:
        status: of HTTP.
        kind: a name for programs.
        message: what is wrong and what to do.
        field: the field at fault, with dots for what is inside.
        headers: more headers of the answer.
    """

    def __init__(
        self,
        status: int,
        kind: str,
        message: str,
        *,
        field: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.status, self.kind, self.message, self.field = status, kind, message, field
        self.headers = dict(headers or {})
        super().__init__(message)

    def body(self, request_id: str | None = None) -> dict[str, Any]:
        """Return the answer's body, a `Problem`."""
        found = {"type": self.kind, "message": self.message, "field": self.field, "request_id": request_id}
        return {"error": {name: value for name, value in found.items() if value is not None}}


_WAIT = {"Retry-After": "5"}
_FAILED = "The program failed. The server's log has the reason under this request_id."


def refusal_of(error: BaseException) -> Refusal:
    """Return what a client is told about an error of a program.

    The inputs are at fault if they cannot be written into the prompt. Everything else is the model's side, 502 or
    503: a client can only ask again. An unknown error may tell of the inside, so its text is not sent.
    """
    if isinstance(error, Refusal):
        return error
    if not isinstance(error, TunesmithError):
        return Refusal(502, "ProgramError", _FAILED)
    kind = kind_of(error)
    if isinstance(error, (FormatError, ContextOverflow)):
        return Refusal(422, kind, str(error))
    if isinstance(error, ModelUnavailable):
        return Refusal(503, kind, "The model does not answer now. Try again later.", headers=_WAIT)
    if isinstance(error, ModelMissing):
        return Refusal(503, kind, "The model is not there. Its operator has to install it.", headers=_WAIT)
    if isinstance(error, ModelError):
        return Refusal(502, kind, "The model's engine refused the request.")
    if isinstance(error, ParseError):
        return Refusal(502, kind, "The model's reply does not have the declared outputs. Try again.")
    return Refusal(502, kind, _FAILED)
