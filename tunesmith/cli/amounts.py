"""Ages and sizes as people write them: 30d, 500MB."""

import re
from collections.abc import Mapping

from tunesmith.errors import UsageError

__all__ = ["age", "size"]

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_BYTES = {"": 1, "B": 1, "kB": 10**3, "KB": 10**3, "MB": 10**6, "GB": 10**9}


def age(text: str, option: str) -> float:
    """Return seconds.

    Raises:
        UsageError: the text is no age.
    """
    return _measured(text, _SECONDS, option, "30d, 12h or 90m")


def size(text: str, option: str) -> int:
    """Return bytes.

    Raises:
        UsageError: the text is no size.
    """
    return int(_measured(text, _BYTES, option, "500MB or 2GB"))


def _measured(text: str, units: Mapping[str, int], option: str, examples: str) -> float:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([A-Za-z]*)", text)
    if match is None or match[2] not in units:
        raise UsageError(f"{option} must be a number with a unit, such as {examples}. Given: {text!r}.")
    return float(match[1]) * units[match[2]]
