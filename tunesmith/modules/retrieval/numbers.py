"""Numbers of passages, as a model writes them."""

from typing import Annotated, Any

from pydantic import BeforeValidator, WithJsonSchema

__all__ = ["numbers_type"]


def numbers_type(most: int) -> Any:
    """Return a type of a list of integers, for an output.

    An engine that takes a schema is held to at most `most` of them. Any other may also write `1` or `["[1]", "x"]`:
    what is no number is left out.
    """
    schema = {"type": "array", "items": {"type": "integer"}, "maxItems": most}
    return Annotated[list[int], BeforeValidator(_read), WithJsonSchema(schema)]


def _read(value: Any) -> Any:
    items = value if isinstance(value, list | tuple) else [value]
    texts = [str(item).strip(" []()") for item in items if isinstance(item, int | str)]
    return [int(text) for text in texts if text.isdecimal() and len(text) < 10]
