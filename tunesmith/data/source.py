"""The types that readers of rows share."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from tunesmith.errors import RowError, UsageError, shown

__all__ = ["Reading", "Row", "Rows"]


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a source.

    Attributes:
        line: the 1-based line on which it starts, or the number of the row if the source has no lines.
        value: the fields by name; any other value is an error of the row.
        is_text: whether every value is the text of a typed value (CSV).
        origin: the original row, if `columns` took fields from inside it.
    """

    line: int
    value: Any
    is_text: bool = False
    origin: Any = None


Rows = Iterator[Row | RowError]
"""A bad row is yielded as an error, so that reading can continue."""


@dataclass(frozen=True, slots=True)
class Reading:
    """Options for reading a file.

    Attributes:
        note: called with a sentence for each thing that was left out or guessed.
        delimiter: the separator of a table; `None` detects it.
        encoding: the encoding of a text file; `None` is UTF-8, or the byte order mark's encoding.
    """

    note: Callable[[str], None]
    delimiter: str | None = None
    encoding: str | None = None

    def __post_init__(self) -> None:
        if self.delimiter == r"\t":  # TOML and shells pass it unescaped
            object.__setattr__(self, "delimiter", "\t")
        sign = self.delimiter
        if sign is not None and (not isinstance(sign, str) or len(sign) != 1 or sign in '"\r\n\0'):
            raise UsageError(
                f"`delimiter` must be one character, as in `delimiter=';'`. Given: {shown(sign)}. For a longer one, "
                "pass a data frame: `Dataset.load(pandas.read_csv(path, sep=...))`."
            )
        if self.encoding is not None:
            _check_encoding(self.encoding)


def _check_encoding(name: object) -> None:
    try:
        b"a".decode(name)  # type: ignore[arg-type]
    except UnicodeDecodeError:
        return  # the encoding is known, but one byte is not a whole character
    except (LookupError, TypeError, ValueError) as error:
        raise UsageError(
            f"The text encoding {shown(name)} is unknown. Common ones are 'utf-8', 'cp1252', 'latin-1' and 'utf-16'."
        ) from error
