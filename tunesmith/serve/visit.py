"""What is known of a request while it is answered, for its log line and the counts."""

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tunesmith.lm import Call
from tunesmith.serve.attempt import Attempt
from tunesmith.serve.ids import new_id

__all__ = ["KEY", "Visit"]

KEY = "tunesmith.visit"
"""Where the visit is in an ASGI scope."""

_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")


@dataclass(slots=True)
class Visit:
    """One request.

    Attributes:
        id: of the client's header `X-Request-Id` if it is a plain one, else a new one.
        program, route: which endpoint; empty for an unknown path.
        status: of the answer, once it begins.
        error: type of the failure.
        attempts: the runs of the program, one per input.
        inputs, outputs: its texts, for a log that shows them.
        begin: of `time.perf_counter`.
    """

    id: str
    program: str = ""
    route: str = ""
    status: int | None = None
    error: str | None = None
    attempts: Sequence[Attempt] = ()
    inputs: Any = None
    outputs: Any = None
    begin: float = field(default_factory=time.perf_counter)

    @property
    def calls(self) -> list[Call]:
        """Its model calls so far."""
        return [call for attempt in self.attempts for call in attempt.calls]

    @property
    def arm(self) -> str | None:
        """`canary` if the second program answered its one input."""
        return self.attempts[0].arm or None if len(self.attempts) == 1 else None

    @classmethod
    def of(cls, headers: list[tuple[bytes, bytes]]) -> "Visit":
        """Return the visit of a request with these headers."""
        given = next((value for name, value in headers if name == b"x-request-id"), b"")
        return cls(given.decode() if _ID.fullmatch(given) else new_id())
