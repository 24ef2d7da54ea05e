"""A module whose model calls are counted, for limits of tokens."""

from collections.abc import Sequence
from typing import Any

from tunesmith.lm import Call, metered

__all__ = ["Counted", "tokens_of"]


class Counted:
    """A module, to be called by a flow, whose model calls are put into a list."""

    def __init__(self, module: Any, used: list[Call]) -> None:
        self._module, self._used = module, used

    def __call__(self, **inputs: Any) -> Any:
        """Call the module."""
        with metered(sink=self._used.append):
            return self._module(**inputs)

    async def acall(self, **inputs: Any) -> Any:
        """Call the module."""
        with metered(sink=self._used.append):
            return await self._module.acall(**inputs)


def tokens_of(used: Sequence[Call]) -> int:
    """Return how many tokens calls took, in and out."""
    return sum(call.tokens for call in used)
