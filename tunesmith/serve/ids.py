"""Ids of requests: a number after a random start.

Asking the system for randomness for each would give other threads a turn, of up to 5 ms, in the middle of a request.
"""

import itertools
import secrets

__all__ = ["new_id"]

_START, _NUMBERS = secrets.token_hex(6), itertools.count(1)


def new_id() -> str:
    """Return a text that no other request has."""
    return f"{_START}-{next(_NUMBERS)}"
