"""JSON as data files hold it: finite numbers only, and the line of every item."""

import json
import math
import re
from collections.abc import Iterator
from typing import Any

__all__ = ["JsonError", "decode_json", "located_items"]

_SPACE = re.compile(r"[ \t\r\n]*")


class JsonError(ValueError):
    """Text that is no JSON, or holds a number that is not finite.

    Attributes:
        line: 1-based line inside the text, `None` where it is not known.
    """

    def __init__(self, problem: str, line: int | None = None) -> None:
        self.problem, self.line = problem, line
        super().__init__(problem)


def decode_json(text: str) -> Any:
    """Return the value of one JSON text.

    Raises:
        JsonError: it is not JSON, or holds NaN, infinity or an integer that is too long to read.
    """
    start = _skip(text, 0)
    value, end = _value_at(text, start)
    end = _skip(text, end)
    if end != len(text):
        raise JsonError("Something follows the JSON value.", _line(text, end))
    return value


def located_items(text: str) -> Iterator[tuple[int, Any]]:
    """Yield (line, value) for each item of an array, or of the array `data` of an object.

    Raises:
        JsonError: the text is no such JSON. Items before the fault have been yielded by then.
    """
    start = _skip(text, 0)
    if text[start : start + 1] == "[":
        yield from _finished(text, _items(text, start))
    elif text[start : start + 1] == "{":
        yield from _finished(text, _data_items(text, start))
    else:
        value = decode_json(text)
        raise JsonError(f"The file holds one {type(value).__name__}, not a list of objects.", 1)


def _finished(text: str, items: Iterator[tuple[int, Any, int]]) -> Iterator[tuple[int, Any]]:
    end = 0
    for line, value, after in items:
        if line > 0:
            yield line, value
        end = after
    end = _skip(text, end)
    if end != len(text):
        raise JsonError(
            "Something follows the list. A file of one object a line is called `.jsonl`.",
            _line(text, end),
        )


def _items(text: str, start: int) -> Iterator[tuple[int, Any, int]]:
    """Yield (line, value, end) for each item of the array at `start`, and (0, None, end) last."""
    here, line, counted = _skip(text, start + 1), _line(text, start), start
    if text[here : here + 1] == "]":
        yield 0, None, here + 1
        return
    while True:
        line += text.count("\n", counted, here)
        counted = here
        value, end = _value_at(text, here)
        yield line, value, end
        end = _skip(text, end)
        if text[end : end + 1] == "]":
            yield 0, None, end + 1
            return
        here = _expect(text, end, ",", "A comma or `]` is missing after an item.")


def _data_items(text: str, start: int) -> Iterator[tuple[int, Any, int]]:
    """Yield the same for the array `data` of the object at `start`."""
    names: list[str] = []
    here = _skip(text, start + 1)
    more, found = text[here : here + 1] != "}", False
    while more:
        name, here = _name_at(text, here)
        names.append(name)
        if name == "data" and text[here : here + 1] == "[":
            found = True
            for item in _items(text, here):
                here = item[2]
                yield item
        else:
            _, here = _value_at(text, here)
        here = _skip(text, here)
        more = text[here : here + 1] != "}"
        if more:
            here = _expect(text, here, ",", "A comma or `}` is missing.")
    if not found:
        raise JsonError(
            f"The file holds one object without a list `data`; it has {names[:8]}. "
            "Give a list of objects, or one object a line in a `.jsonl` file.",
            1,
        )
    yield 0, None, here + 1


def _name_at(text: str, here: int) -> tuple[str, int]:
    if text[here : here + 1] != '"':
        raise JsonError("A name in quotes is missing.", _line(text, here))
    name, here = _value_at(text, here)
    return name, _expect(text, _skip(text, here), ":", "A colon is missing after a name.")


def _value_at(text: str, start: int) -> tuple[Any, int]:
    try:
        return _DECODER.raw_decode(text, start)
    except json.JSONDecodeError as error:
        raise JsonError(f"This is not JSON: {error.msg}.", error.lineno) from error
    except RecursionError as error:
        raise JsonError("The JSON is nested too deeply.", _line(text, start)) from error
    except JsonError as error:
        raise JsonError(error.problem, _line(text, start)) from error
    except ValueError as error:  # Python reads integers of up to 4300 digits
        raise JsonError(f"A number cannot be read: {error}.", _line(text, start)) from error


def _expect(text: str, at: int, sign: str, problem: str) -> int:
    if text[at : at + 1] != sign:
        raise JsonError(problem, _line(text, at))
    return _skip(text, at + 1)


def _skip(text: str, start: int) -> int:
    match = _SPACE.match(text, start)
    return start if match is None else match.end()


def _line(text: str, at: int) -> int:
    return text.count("\n", 0, at) + 1


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise JsonError(f"The number {digits[:40]} is too large for a float.")
    return number


def _refuse(name: str) -> float:
    raise JsonError(f"{name} is not JSON. Write null for a missing number.")


_DECODER = json.JSONDecoder(parse_float=_finite, parse_constant=_refuse)
