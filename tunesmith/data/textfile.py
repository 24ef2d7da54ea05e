"""Read text files: plain or gzip, in UTF-8 or the encoding of a byte order mark or of the caller."""

import codecs
import gzip
import io
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO, TextIO, cast

from tunesmith.errors import DataError, RowError

__all__ = ["misread", "starts_with", "text_lines"]

_HEAD = 4096
_MOST_LINES = 8  # listed in an error
_HIGH = re.compile(rb"[\x80-\xff]+")
_OTHERS = "`encoding='cp1251'`; others are 'gbk', 'shift_jis', 'euc_kr', 'mac_roman' and 'cp850'"
_GZIP = b"\x1f\x8b"
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark is a prefix of this one
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_UNPACK = "Unpack it, or compress it with gzip instead"
_SHEET = "Save the sheet as `CSV UTF-8`, or pass a data frame: `Dataset.load(pandas.read_excel(...))`"
_NOT_TEXT = (
    (b"PK\x03\x04", "a ZIP archive or an Excel workbook", f"Unpack an archive. For a workbook: {_SHEET}"),
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

    Bytes that are not UTF-8 become lone surrogates, so that line numbers stay right; see `misread`.

    Raises:
        DataError: the file cannot be read, is not text, or is not in its encoding.
    """
    try:
        with _open_text(path, encoding) as file:
            for number, line in enumerate(file):
                yield line.lstrip("\ufeff") if number == 0 else line
    except UnicodeError as error:
        raise DataError(
            f"`{path}` is not in the encoding {encoding or 'of its byte order mark'}: {error}. {_remedy(path)}"
        ) from error
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"`{path}` cannot be read to its end: {error}.") from error


def starts_with(path: Path, encoding: str | None, signs: tuple[str, ...]) -> bool:
    """Return whether the text, without leading white space, starts with one of `signs`.

    Raises:
        DataError: as `text_lines`.
    """
    try:
        with _open_text(path, encoding) as file:
            head = file.read(_HEAD)
    except UnicodeError:
        return False  # `text_lines` raises the error
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"`{path}` cannot be read: {error}.") from error
    return "".join(head.lstrip("\ufeff").split()).startswith(signs)


def misread(path: Path, line: int, text: str, encoding: str | None = None, *, is_row: bool = True) -> RowError | None:
    """Return the error for a text with bytes of another encoding, or `None` if it has none.

    Args:
        path: the file.
        line: where the text starts.
        text: a line of `text_lines`.
        encoding: the encoding that the file was read in.
        is_row: whether the text is one row, so that the caller can skip it.
    """
    if text.isascii():
        return None
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        around = _bytes(text[max(0, error.start - 12) : error.start + 12])
        return RowError(
            f"The text is not {encoding or 'UTF-8'}. {_remedy(path, around, is_row=is_row)}",
            source=str(path),
            line=line,
            value=_bytes(text[error.start : error.start + 8]),
        )
    return None


def _remedy(path: Path, around: bytes = b"", *, is_row: bool = False) -> str:
    """Return advice for a file that is not in its expected encoding; `around` is a sample of the bad bytes."""
    facts = path.stat()
    found = _survey(path, facts.st_size, facts.st_mtime_ns)
    if not found.bad_runs:
        return "It is UTF-8: leave `encoding` out."
    try:
        guess = around.decode("cp1252")
    except UnicodeDecodeError:
        return f"Give the file's encoding, as in {_OTHERS}. Or save the file as UTF-8."
    reads = f" reads {guess!r} here" if around else ""
    if found.is_mixed:
        lines = ", ".join(map(str, found.bad_lines)) + (", ..." if found.bad_count > len(found.bad_lines) else "")
        return (
            f"Most of the file is UTF-8, so no `encoding=` reads all of it. Not UTF-8: line {lines}. Open the "
            "file as UTF-8 in an editor and type the broken characters again. The encoding cp1252 (Windows, Western "
            f"Europe){reads or ' may tell what they were'}."
            + (' `on_bad="skip"` leaves such rows out.' if is_row else "")
        )
    return (
        f"Give the file's encoding: `encoding='cp1252'` (Windows, Western Europe){reads}. "
        f"{'' if found.is_western else f'If that is not what it says, try {_OTHERS}. '}Or save the file as UTF-8."
    )


@dataclass(frozen=True, slots=True)
class _Survey:
    """Statistics of a file's runs of bytes beyond ASCII, read as UTF-8.

    Attributes:
        good_runs: the number of runs that are UTF-8.
        bad_runs, bad_bytes: the number of other runs, and of their bytes.
        bad_lines: the numbers of the first lines with a bad run; `bad_count` counts all such lines.
    """

    good_runs: int
    bad_runs: int
    bad_bytes: int
    bad_lines: tuple[int, ...]
    bad_count: int

    @property
    def is_western(self) -> bool:
        """Whether most bad runs are single bytes, like accented letters in a Western encoding."""
        return 2 * self.bad_runs > self.bad_bytes

    @property
    def is_mixed(self) -> bool:
        """Whether there are too many good runs for chance: a short run of Chinese or Korean can look like UTF-8."""
        return self.good_runs > 0 and (self.is_western or 4 * self.good_runs >= self.bad_runs)


@lru_cache(maxsize=1)  # called for every bad row of a file
def _survey(path: Path, size: int, changed: int) -> _Survey:
    good_runs = bad_runs = bad_bytes = count = 0
    lines: list[int] = []
    with _open_bytes(path) as file:
        for number, line in enumerate(_raw_lines(file), 1):
            runs = [] if line.isascii() else _HIGH.findall(line)
            bad = [run for run in runs if not _is_utf8(run)]
            good_runs, bad_runs = good_runs + len(runs) - len(bad), bad_runs + len(bad)
            bad_bytes += sum(map(len, bad))
            count += bool(bad)
            if bad and len(lines) < _MOST_LINES:
                lines.append(number)
    return _Survey(good_runs, bad_runs, bad_bytes, tuple(lines), count)


def _is_utf8(raw: bytes) -> bool:
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _raw_lines(file: BinaryIO) -> Iterator[bytes]:
    """Yield the lines in bytes, with the line breaks of `text_lines`."""
    for line in file:
        yield from [line] if line.endswith(b"\n") else line.splitlines()


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
    # Old Mac files end their lines with a single carriage return.
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
    # Latin text in UTF-16 without a byte order mark has a zero in every second byte.
    if b"\0" in (head[1:2], head[:1]):
        likely = "utf-16-be" if head[:1] == b"\0" else "utf-16-le"
        raise DataError(
            f"`{path}` is UTF-16 or UTF-32 without a byte order mark, or not text. If it is text, give "
            f"`encoding='{likely}'` or save it as UTF-8."
        )
    return "utf-8"
