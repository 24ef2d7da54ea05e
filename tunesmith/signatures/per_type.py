"""What is made of a type is made once."""

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import Any, TypeVar

__all__ = ["per_type"]

T = TypeVar("T")


def per_type(make: Callable[[Any], T]) -> Callable[[Any], T]:
    """Return `make` with a memory of the last 1,024 types; a type with unhashable metadata is made each time."""

    @lru_cache(maxsize=1024)
    def cached(annotation: Any, _text: str) -> T:
        return make(annotation)

    @wraps(make)
    def found(annotation: Any) -> T:
        try:
            # Types that differ only in order, such as the labels of a Literal, are equal, hence the text in the key.
            return cached(annotation, repr(annotation))
        except TypeError:
            return make(annotation)

    return found
