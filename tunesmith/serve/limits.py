"""What a service takes, and for how long it works."""

from dataclasses import dataclass, fields

from tunesmith.errors import UsageError, shown

__all__ = ["Limits"]

_DAY = 86_400  # clocks of the system take no time without end


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Limits of a service. What exceeds one is refused with a 4xx status and the limit in the message.

    Attributes:
        body_bytes: of a request's body.
        depth: of nested lists and objects in a body.
        text: characters of one text.
        batch: inputs of one request to `/batch`.
        in_flight: requests that are answered or wait at once; more get 429.
        deadline: seconds until a request ends with 504.
        body_seconds: seconds that a client may take to send a body.
        drain_seconds: seconds that running requests get after SIGTERM.

    Raises:
        UsageError: a limit is not a number above 0, or a time is longer than a day.
    """

    body_bytes: int = 2**20
    depth: int = 32
    text: int = 100_000
    batch: int = 64
    in_flight: int = 64
    deadline: float = 120.0
    body_seconds: float = 10.0
    drain_seconds: float = 30.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            whole = field.type is int
            if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)) or not value > 0:
                kind = "a whole number from 1" if whole else "a number above 0"
                raise UsageError(f"The limit `{field.name}` must be {kind}. Given: {shown(value)}.")
            if not whole and value > _DAY:
                raise UsageError(f"The limit `{field.name}` is at most {_DAY} seconds, a day. Given: {shown(value)}.")
