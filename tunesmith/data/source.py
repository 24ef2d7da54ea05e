"""What every reader of rows takes and gives."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from tunesmith.errors import RowError, UsageError, shown

__all__ = ["Reading", "Row", "Rows"]


@dataclass(frozen=True, slots=True)
class Row:
    """One row as it was read.

    Attributes:
        line: 1-based line on which it starts; the number of the row if the source has no lines.
        value: the fields by name, or whatever stood there instead.
        is_text: every value is text that stands for a value of another type (CSV).
        origin: the row before fields were taken from other places, if they were.
    """

    line: int
    value: Any
    is_text: bool = False
    origin: Any = None


Rows = Iterator[Row | RowError]
"""A bad row comes as an error, so that the reader can go on after it."""


@dataclass(frozen=True, slots=True)
class Reading:
    """How a file is read.

    Attributes:
        note: is told what was left out or guessed, one sentence each.
        delimiter: what separates the cells of a table; `None` finds out.
        encoding: the encoding of a text; `None` is UTF-8, or what a byte order mark says.
    """

    note: Callable[[str], None]
    delimiter: str | None = None
    encoding: str | None = None

    def __post_init__(self) -> None:
        if self.delimiter == r"\t":  # as TOML and shells leave it
            object.__setattr__(self, "delimiter", "\t")
        sign = self.delimiter
        if sign is not None and (not isinstance(sign, str) or len(sign) != 1 or sign in '"\r\n\0'):
            raise UsageError(
                f"`delimiter` is one character, as in `delimiter=';'`. Given: {shown(sign)}. Read what is separated by "
                "several with pandas, and pass the data frame: `Dataset.load(pandas.read_csv(path, sep=...))`."
            )
        if self.encoding is not None:
            _check_encoding(self.encoding)


def _check_encoding(name: object) -> None:
    try:
        b"a".decode(name)  # type: ignore[arg-type]
    except UnicodeDecodeError:
        return  # an encoding of two bytes or more
    except (LookupError, TypeError, ValueError) as error:
        raise UsageError(
            f"There is no text encoding {shown(name)}. Common are 'utf-8', 'cp1252', 'latin-1' and 'utf-16'."
        ) from error
