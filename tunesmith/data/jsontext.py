"""Read the JSON of data files: finite numbers, each name once in an object, and the line of every item."""

import json
import math
import re
from collections.abc import Generator, Iterator, Mapping
from typing import Any

from tunesmith.signatures import NameTwiceError, unique_object

__all__ = ["JsonError", "decode_json", "located_items", "rows_of_columns"]

_SPACE = re.compile(r"[ \t\r\n]*")
_TWICE = "In an object, {}. Rename or remove one of the two."
_DATA = re.compile(r"\[[ \t\r\n]*[{\]]")  # an array of objects, or of nothing
_ROWS = ("rows", "tests")  # lists that hold the rows if there are several: of Hugging Face's viewer, of promptfoo
_YIELDED = object()  # stands for the field `data` if its rows were yielded


class JsonError(ValueError):
    """A text that is not JSON, or holds a number that is not finite, or an object with the same name twice.

    Attributes:
        line: the 1-based line in the text, `None` if unknown.
    """

    def __init__(self, problem: str, line: int | None = None) -> None:
        self.problem, self.line = problem, line
        super().__init__(problem)


def decode_json(text: str) -> Any:
    """Return the value of one JSON text.

    Raises:
        JsonError: the text is not JSON, or holds NaN, infinity, an integer that is too long for Python, or an object
            with the same name twice.
    """
    start = _skip(text, 0)
    value, end = _value_at(text, start)
    end = _skip(text, end)
    if end != len(text):
        raise JsonError("There is text after the JSON value.", _line(text, end))
    return value


def located_items(text: str) -> Iterator[tuple[int, Any]]:
    """Yield (line, value) for each row of a JSON text. The value of a row that cannot be used is a `JsonError`.

    The rows of an array are its items; the rows of several objects in a row are the objects. The rows of a single
    object are the items of its array `data`, `rows` or `tests`, or of its only array of objects, or its columns, as
    `DataFrame.to_json` writes them with any `orient` (lists of the same length, objects with the same names, or
    `columns` and `data`). Any other object with a plain value is one row. For columns, the line is the number of the
    row.

    Raises:
        JsonError: the text has another form. Items before the error are yielded first.
    """
    start = _skip(text, 0)
    if text[start : start + 1] == "[":
        end = yield from _rows(text, _skip(text, start + 1), "]")
    elif text[start : start + 1] == "{":
        end = yield from _object_rows(text, start)
    else:
        value = decode_json(text)
        raise JsonError(f"The file holds one {type(value).__name__}, not a list of objects.", 1)
    end = _skip(text, end)
    if end != len(text):
        raise JsonError(
            "There is text after the list. Give one list of objects, or one object per line in a `.jsonl` file.",
            _line(text, end),
        )


def _rows(text: str, here: int, closing: str) -> Generator[tuple[int, Any], None, int]:
    """Yield (line, value) for each value from `here`; return the position after the last.

    The values are items of an array if `closing` is its bracket. If it is empty, they follow each other to the end.
    """
    line, counted = _line(text, here), here
    while text[here : here + 1] != closing:
        line += text.count("\n", counted, here)
        counted = here
        value, here = _row_at(text, here)
        yield line, value
        here = _skip(text, here)
        if closing and text[here : here + 1] != closing:
            here = _expect(text, here, ",", "A comma or `]` is missing after an item.")
            if text[here : here + 1] == closing:
                raise JsonError("This is not JSON: there is a comma before `]`. Remove it.", _line(text, here))
    return here + len(closing)


def _object_rows(text: str, start: int) -> Generator[tuple[int, Any], None, int]:
    """Yield the rows of the object at `start` and of objects after it; return the position after the last."""
    fields: dict[str, Any] = {}
    try:
        here = yield from _fields(text, start, fields)
    except JsonError:
        if fields.get("data") is _YIELDED or not _is_followed(text, start):
            raise
        return (yield from _rows(text, start, ""))  # the first of several objects is a row that cannot be used
    if fields.get("data") is _YIELDED:
        return here
    if text.startswith("{", _skip(text, here)):
        yield _line(text, start), fields
        return (yield from _rows(text, _skip(text, here), ""))
    yield from enumerate(_table_rows(fields), 1)
    return here


def _fields(text: str, start: int, fields: dict[str, Any]) -> Generator[tuple[int, Any], None, int]:
    """Read the object at `start` into `fields`, but yield the rows of its array `data`; return its end."""
    here = _skip(text, start + 1)
    more = text[here : here + 1] != "}"
    while more:
        at = here
        name, here = _name_at(text, here)
        if name in fields:
            raise JsonError(_TWICE.format(f"the key {name!r} occurs twice"), _line(text, at))
        if name == "data" and _DATA.match(text, here):
            fields[name] = _YIELDED
            here = yield from _rows(text, _skip(text, here + 1), "]")
        else:
            fields[name], here = _value_at(text, here)
        here = _skip(text, here)
        more = text[here : here + 1] != "}"
        if more:
            here = _expect(text, here, ",", "A comma or `}` is missing.")
    return here + 1


def _is_followed(text: str, start: int) -> bool:
    """Return whether there is an object at `start`, whatever its values are, and another one after it."""
    try:
        _, end = _SYNTAX.raw_decode(text, start)
    except (ValueError, RecursionError):
        return False
    return text.startswith("{", _skip(text, end))


def _table_rows(fields: Mapping[str, Any]) -> list[Any]:
    """Return the rows of an object that is a whole table.

    Raises:
        JsonError: the object is not a table.
    """
    names, data = fields.get("columns"), fields.get("data")
    if isinstance(names, list) and isinstance(data, list) and all(isinstance(name, str) for name in names):
        return [dict(zip(names, row, strict=False)) if _fits(names, row) else row for row in data]
    columns = list(fields.values())
    rows = rows_of_columns(fields)
    if rows is not None:
        return rows
    lists = [name for name, column in fields.items() if _is_list_of_objects(column)]
    named = [name for name in _ROWS if name in lists]
    if named:
        return list(fields[named[0]])
    if len(lists) > 1:
        raise JsonError(f"The file holds several lists: {lists[:8]}. Save each list in its own file.", 1)
    if lists:
        return list(fields[lists[0]])
    if columns and all(isinstance(column, dict) for column in columns):
        if all(name.isdigit() for name in fields):
            return columns  # rows by number
        if all(column.keys() == columns[0].keys() for column in columns) and all(map(str.isdigit, columns[0])):
            return [{name: column[row] for name, column in fields.items()} for row in columns[0]]
    if not all(isinstance(column, (list, dict)) for column in columns):
        return [fields]  # a single row
    raise JsonError(
        f"The file holds one object without a list `data` of objects; it has {list(fields)[:8]}. Give a list of "
        "objects, one object per line in a `.jsonl` file, or an object of columns that are lists of the same length.",
        1,
    )


def rows_of_columns(columns: Mapping[Any, Any]) -> list[Any] | None:
    """Return the rows of columns (lists of the same length by name), or `None` for anything else."""
    cells = list(columns.values())
    if not cells or not all(isinstance(column, (list, tuple)) for column in cells) or len(set(map(len, cells))) > 1:
        return None
    if all(map(_is_list_of_objects, cells)):
        return None
    return [dict(zip(columns, row, strict=True)) for row in zip(*cells, strict=True)]


def _is_list_of_objects(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, dict) for item in value)


def _fits(names: list[str], row: object) -> bool:
    return isinstance(row, list) and len(row) == len(names)


def _name_at(text: str, here: int) -> tuple[str, int]:
    if text[here : here + 1] == "}":
        raise JsonError("This is not JSON: there is a comma before `}`. Remove it.", _line(text, here))
    if text[here : here + 1] != '"':
        raise JsonError("A name in double quotes is missing.", _line(text, here))
    name, here = _value_at(text, here)
    return name, _expect(text, _skip(text, here), ":", "A colon is missing after a name.")


def _row_at(text: str, start: int) -> tuple[Any, int]:
    """Return the row at `start`, or its error if only its values are wrong, and the position after it."""
    try:
        return _value_at(text, start)
    except JsonError as error:
        try:
            return error, _SYNTAX.raw_decode(text, start)[1]
        except (ValueError, RecursionError):
            raise error from error.__cause__


def _value_at(text: str, start: int) -> tuple[Any, int]:
    try:
        return _DECODER.raw_decode(text, start)
    except json.JSONDecodeError as error:
        quoted = text.startswith("'", error.pos)
        hint = " Write names and texts in double quotes, as `json.dumps` does." if quoted else ""
        raise JsonError(f"This is not JSON: {error.msg}.{hint}", error.lineno) from error
    except RecursionError as error:
        raise JsonError("The JSON is nested too deeply.", _line(text, start)) from error
    except JsonError as error:
        raise JsonError(error.problem, _line(text, start)) from error
    except NameTwiceError as error:
        raise JsonError(_TWICE.format(error), _line(text, start)) from error
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


_SYNTAX = json.JSONDecoder(parse_float=str, parse_int=str)
_DECODER = json.JSONDecoder(object_pairs_hook=unique_object, parse_float=_finite, parse_constant=_refuse)
