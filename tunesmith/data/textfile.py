"""Text files as they are found: plain or gzip, in UTF-8 or what a byte order mark or the caller says."""

import codecs
import gzip
import io
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, TextIO, cast

from tunesmith.errors import DataError, RowError

__all__ = ["misread", "starts_with", "text_lines"]

_HEAD = 4096
_GZIP = b"\x1f\x8b"
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),  # begins as the mark of UTF-16 does
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_UNPACK = "Unpack it, or compress it with gzip instead"
_SHEET = "Save the sheet as `CSV UTF-8`, or pass a data frame: `Dataset.load(pandas.read_excel(...))`"
_NOT_TEXT = (
    (b"PK\x03\x04", "a ZIP archive or an Excel workbook", f"Unpack an archive. Of a workbook: {_SHEET}"),
    (b"\xd0\xcf\x11\xe0", "an Excel workbook", _SHEET),
    (b"BZh", "compressed with bzip2", _UNPACK),
    (b"\xfd7zXZ", "compressed with xz", _UNPACK),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd", _UNPACK),
    (b"7z\xbc\xaf", "a 7z archive", _UNPACK),
    (b"PAR1", "a Parquet file", "Give it the suffix `.parquet`"),
    (b"ARROW1", "an Arrow file", "Pass a data frame: `Dataset.load(pandas.read_feather(...))`"),
    (b"SQLite format 3", "a SQLite database", "Pass a data frame: `Dataset.load(pandas.read_sql(...))`"),
    (b"version https://git-lfs", "a pointer of Git LFS, not the data", "Fetch the data with `git lfs pull`"),
    (b"<!doctype html", "an HTML page", "Download the file itself, not the page that shows it"),
    (b"<html", "an HTML page", "Download the file itself, not the page that shows it"),
)


def text_lines(path: Path, encoding: str | None = None) -> Iterator[str]:
    """Yield the lines of a text file, each with its end.

    Bytes that are not UTF-8 come as lone surrogates, so that a reader keeps its place; see `misread`.

    Raises:
        DataError: the file cannot be read, is not text, or is not in its encoding.
    """
    try:
        with _open_text(path, encoding) as file:
            for number, line in enumerate(file):
                yield line.lstrip("\ufeff") if number == 0 else line
    except UnicodeError as error:
        raise DataError(
            f"`{path}` is not in the encoding {encoding or 'that its first bytes say'}: {error}. "
            "Give the encoding that it was written in, as in `encoding='cp1252'`, or save it as UTF-8."
        ) from error
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"`{path}` cannot be read to its end: {error}.") from error


def starts_with(path: Path, encoding: str | None, signs: tuple[str, ...]) -> bool:
    """Return whether the text, without its white space, starts with one of `signs`.

    Raises:
        DataError: as `text_lines`.
    """
    try:
        with _open_text(path, encoding) as file:
            head = file.read(_HEAD)
    except UnicodeError:
        return False  # is said when the lines are read
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"`{path}` cannot be read: {error}.") from error
    return "".join(head.lstrip("\ufeff").split()).startswith(signs)


def misread(path: Path, line: int, text: str, encoding: str | None = None) -> RowError | None:
    """Return the error of a text that holds bytes of another encoding, `None` if it holds none."""
    if text.isascii():
        return None
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        around = _bytes(text[max(0, error.start - 12) : error.start + 12])
        guess = around.decode("cp1252", "replace")
        return RowError(
            f"The text is not {encoding or 'UTF-8'}. Give the encoding that it was written in: `encoding='cp1252'` "
            f"(Windows, Western Europe) reads {guess!r} here. Or save the file as UTF-8.",
            source=str(path),
            line=line,
            value=_bytes(text[error.start : error.start + 8]),
        )
    return None


def _bytes(text: str) -> bytes:
    return b"".join(
        bytes([ord(sign) & 0xFF]) if 0xD800 <= ord(sign) <= 0xDFFF else sign.encode("utf-8") for sign in text
    )


def _open_text(path: Path, encoding: str | None) -> TextIO:
    file = _open_bytes(path)
    head = file.read(_HEAD)
    file.seek(0)
    name = encoding or _encoding(path, head)
    start = head.decode(name, "ignore")
    # Files of old Macs end their lines with a carriage return alone.
    end = "\r" if "\r" in start and "\n" not in start else "\n"
    return io.TextIOWrapper(file, name, errors="surrogateescape", newline=end)


def _open_bytes(path: Path) -> BinaryIO:
    try:
        with path.open("rb") as file:
            head = file.read(64)
        if head.startswith(_GZIP):
            return cast("BinaryIO", gzip.open(path, "rb"))
        for magic, what, remedy in _NOT_TEXT:
            if head.lower().startswith(magic.lower()):
                raise DataError(f"`{path}` is {what}. {remedy}.")
        return path.open("rb")
    except OSError as error:
        raise DataError(f"`{path}` cannot be read: {error}.") from error


def _encoding(path: Path, head: bytes) -> str:
    for mark, name in _MARKS:
        if head.startswith(mark):
            return name
    # A text of Latin letters in UTF-16 without a mark has a zero in every second byte.
    if b"\0" in (head[1:2], head[:1]):
        likely = "utf-16-be" if head[:1] == b"\0" else "utf-16-le"
        raise DataError(
            f"`{path}` is UTF-16 or UTF-32 without a byte order mark, or no text. If it is text, give "
            f"`encoding='{likely}'` or save it as UTF-8."
        )
    return "utf-8"
