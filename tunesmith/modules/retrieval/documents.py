"""Read the text of files: plain text, Markdown, HTML, PDF, and the rows of tables."""

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from tunesmith.data import Reading, read_file
from tunesmith.errors import DataError, RowError, UsageError, shown
from tunesmith.modules.retrieval.pdf import pdf_pages

__all__ = ["HEAD", "documents_of", "is_saved_corpus"]

HEAD = "tunesmith_corpus"
"""The first name in a file that `Corpus.save` wrote."""

_OFFICE = (".doc", ".docx", ".odt", ".rtf", ".ppt", ".pptx", ".odp", ".xls", ".xlsx", ".ods", ".epub")


def documents_of(path: Path, field: str | None) -> Iterator[tuple[str, str]]:
    """Yield the source and the text of each document in a file or folder, in the order of their names.

    The source is the path below the folder, or the name of a lone file; `name:3` is row 3 of a table, `name#3` page 3.
    A folder is read with all folders in it. Files whose name begins with a dot, those of other kinds, and corpora that
    `Corpus.save` wrote are left out; a warning names office documents among them.

    Args:
        path: a file or a folder.
        field: column of a table that has the text; `None`: `text` if there is one, else all columns.

    Raises:
        UsageError: there is no such file, or no file that can be read.
        DataError: a file cannot be read.
    """
    if not path.exists():
        raise UsageError(f"`{path}` does not exist. Give the path of a file or folder.")
    if not path.is_dir():
        yield from _documents(path, path.name, field)
        return
    below = sorted((file.relative_to(path).as_posix(), file) for file in path.rglob("*") if file.is_file())
    seen = [(name, file) for name, file in below if not any(part.startswith(".") for part in name.split("/"))]
    files = [(name, file) for name, file in seen if _kind(file) in _READERS and not is_saved_corpus(file)]
    _warn_of_others(path, [name for name, file in seen if _kind(file) in _OFFICE])
    if not files:
        raise UsageError(f"`{path}` has no file that can be read. Known: {', '.join(_READERS)}.")
    for name, file in files:
        yield from _documents(file, name, field)


def is_saved_corpus(path: Path) -> bool:
    """Return whether `Corpus.save` wrote a file; of one that cannot be read, its reader says so."""
    try:
        with path.open("rb") as file:
            return file.readline(200).startswith(f'{{"{HEAD}":'.encode())
    except OSError:
        return False


def _warn_of_others(path: Path, names: Sequence[str]) -> None:
    if names:
        warnings.warn(
            f"Office documents of `{path}` are not read: {len(names)}, such as `{names[0]}`. Convert them, for "
            f"instance with pandoc. Known: {', '.join(_READERS)}.",
            UserWarning,
            stacklevel=4,
        )


def _kind(path: Path) -> str:
    return path.suffix.lower()


def _documents(path: Path, name: str, field: str | None) -> Iterator[tuple[str, str]]:
    if _kind(path) not in _READERS:
        raise UsageError(f"The suffix of `{path}` is unknown. Known: {', '.join(_READERS)}.")
    for place, text in _READERS[_kind(path)](path, field):
        if text.strip():
            yield f"{name}{place}", text


def _plain(path: Path, _: str | None) -> Iterator[tuple[str, str]]:
    yield "", _decoded(path)


def _decoded(path: Path) -> str:
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"`{path}` is not UTF-8: {error}. Save it as UTF-8.") from error
    except OSError as error:
        raise DataError(f"`{path}` cannot be read: {error}.") from error
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _html(path: Path, _: str | None) -> Iterator[tuple[str, str]]:
    page = _Page()
    page.feed(_decoded(path))
    page.close()
    yield "", page.text()


class _Page(HTMLParser):
    """The text of an HTML page; headings are written as in Markdown, so that they can be found again."""

    _HIDDEN = ("script", "style", "template", "noscript", "head")
    _INLINE = ("a", "abbr", "b", "code", "em", "i", "mark", "q", "small", "span", "strong", "sub", "sup", "u")
    _HEADINGS = ("h1", "h2", "h3", "h4", "h5", "h6")

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._parts: list[str] = []
        self._hidden = ""

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        if not self._hidden and tag in self._HIDDEN:
            self._hidden = tag
        elif tag == "body":  # a head whose end is left out
            self._hidden = ""
        if tag in self._HEADINGS:
            self._parts.append(f"\n\n{'#' * int(tag[1])} ")
        elif tag not in self._INLINE:
            self._parts.append("\n\n" if tag == "p" else "\n")

    def handle_endtag(self, tag: str) -> None:
        if tag == self._hidden:
            self._hidden = ""
        elif tag not in self._INLINE:
            self._parts.append("\n\n" if tag in (*self._HEADINGS, "p") else "\n")

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self._parts.append(_flat(data))

    def text(self) -> str:
        lines = [" ".join(line.split()) for line in "".join(self._parts).split("\n")]
        kept = [line for before, line in zip(["", *lines], lines, strict=False) if line or before]
        return "\n".join(kept).strip()


def _flat(data: str) -> str:
    """Return the text with line ends as spaces: in HTML they mean no more."""
    return data.replace("\n", " ").replace("\r", " ")


def _pdf(path: Path, _: str | None) -> Iterator[tuple[str, str]]:
    for number, text in enumerate(pdf_pages(path), 1):
        yield f"#{number}", text


def _rows(path: Path, field: str | None) -> Iterator[tuple[str, str]]:
    for row in read_file(path, Reading(note=lambda _: None)):
        if isinstance(row, RowError):
            raise row
        yield f":{row.line}", _row_text(row.value, field, f"{path}:{row.line}")


def _row_text(row: Any, field: str | None, place: str) -> str:
    if isinstance(row, str) and field is None:
        return row
    if not isinstance(row, Mapping):
        raise DataError(f"`{place}` must be a row with names. Given: {shown(row)}.")
    name = "text" if field is None and isinstance(row.get("text"), str) else field
    if name is None:
        return "\n".join(f"{key}: {value}" for key, value in row.items() if value not in (None, ""))
    if not isinstance(row.get(name), str):
        raise DataError(f"`{place}` has no text in `{name}`. It has: {', '.join(map(str, row))}.")
    return str(row[name])


_READERS: Mapping[str, Callable[[Path, str | None], Iterator[tuple[str, str]]]] = {
    ".txt": _plain,
    ".md": _plain,
    ".markdown": _plain,
    ".rst": _plain,
    ".html": _html,
    ".htm": _html,
    ".jsonl": _rows,
    ".csv": _rows,
    ".tsv": _rows,
    ".pdf": _pdf,
}
