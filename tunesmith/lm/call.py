"""One answered request, and the signal that ends a run before the next one."""

from typing import NamedTuple

__all__ = ["Call", "StopSignal"]


class StopSignal(BaseException):
    """Ends a run from inside a program, even if the program catches every `Exception`.

    Users never see it: `evaluate` and `compile` raise its `error` instead.
    """

    def __init__(self, error: Exception) -> None:
        self.error = error
        super().__init__(str(error))


class Call(NamedTuple):
    """One answered request.

    Attributes:
        key: content key of the request.
        role: its purpose: `task`, `prompt`, `teacher` or `judge`.
        input_tokens, output_tokens: as the engine counted them; `None` if it did not.
        seconds: time of the engine, also if the reply came from the cache.
        paid: whether it reached an engine now.
        usd: its cost, `None` if the LM has no price.
    """

    key: str
    role: str
    input_tokens: int | None
    output_tokens: int | None
    seconds: float
    paid: bool
    usd: float | None = None

    @property
    def tokens(self) -> int:
        """Input and output tokens together; an unknown count adds nothing."""
        return (self.input_tokens or 0) + (self.output_tokens or 0)
