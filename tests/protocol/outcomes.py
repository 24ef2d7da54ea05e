"""What a handler can answer with, and what ends a request early."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

CRASHED = (
    "model runner has unexpectedly stopped, this may be due to resource limitations or an internal error, "
    "check ollama server logs for details"
)
BUSY = "server busy, please try again.  maximum pending requests exceeded"
JSON = "application/json; charset=utf-8"
PLAIN_JSON = "application/json"
NDJSON = "application/x-ndjson"


@dataclass
class Json:
    """One JSON body; `body` `None` means no body at all."""

    body: Any
    status: int = 200
    content_type: str = JSON
    headers: dict[str, str] = field(default_factory=dict)
    newline: bool = False


@dataclass
class Text:
    """A body that is no JSON."""

    body: str
    status: int = 200
    content_type: str = "text/plain"
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Stream:
    """Lines that are sent as they come; a `Refusal` among them is sent as status before the first, as a line after.

    Attributes:
        events: one JSON value per line, or finished text (`str`).
        content_type: of the stream.
    """

    events: Iterator[Any]
    content_type: str = NDJSON


class Refusal(Exception):
    """An error that the client is told.

    Args:
        status: HTTP status.
        text: the `error` of the body.
        more: other keys of the body.
    """

    def __init__(self, status: int, text: Any, **more: Any) -> None:
        super().__init__(text)
        self.status, self.text, self.more = status, text, more
        self.late = False  # it came out of a stream that had begun, before its first line

    @property
    def body(self) -> dict[str, Any]:
        return {"error": self.text, **self.more}


class Crash(Refusal):
    """The runner died: the model is not loaded any more."""

    def __init__(self) -> None:
        super().__init__(500, CRASHED)


class Death(Exception):
    """The whole server process dies; nobody gets a reply."""


class Gone(Exception):
    """The client has closed its connection."""
