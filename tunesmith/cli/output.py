"""Write to the terminal: JSON documents, plain tables, sentences."""

import json
import shutil
import sys
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from itertools import zip_longest
from typing import Any, TextIO

import click

from tunesmith.errors import UsageError
from tunesmith.lazy import lazy_pattern

__all__ = ["agreed", "bytes_text", "emit", "heading", "note", "own_stdout", "say", "say_raw", "say_table", "table"]

_NARROWEST = 12  # characters of a wrapped column
# Characters that move the cursor, turn the direction of writing, or have no width: text of an artifact or a model must
# not look other than it is. Halves of a character cannot be written. Line ends, tabs and joiners of letters stay.
_UNSEEN = lazy_pattern(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff\U000e0000-\U000e007f]"
)
_kept: list[TextIO] = []  # the command's stdout, while everything else prints to stderr


@contextmanager
def own_stdout() -> Iterator[None]:
    """Leave stdout to this module: what a program, a metric or a library prints meanwhile goes to stderr."""
    _kept.append(_stdout())  # a verb that runs another one has kept it already
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        _kept.pop()


def _stdout() -> TextIO:
    return _kept[-1] if _kept else sys.stdout


def emit(value: Any, *, indent: int | None = 2) -> None:
    """Write one JSON document to stdout; with `indent=None` as one line."""
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    try:
        text.encode(getattr(_stdout(), "encoding", None) or "utf-8")
    except UnicodeEncodeError:  # a terminal with a small character set, or a lone surrogate
        text = json.dumps(value, indent=indent)
    click.echo(text, file=_stdout())


def say(text: str = "") -> None:
    """Write a line for people to stdout.

    Characters that the terminal lacks are replaced, and those that cannot be seen are shown as escapes.
    """
    click.echo(_printable(text), file=_stdout())


def say_raw(text: str | bytes) -> None:
    """Write to stdout what a file would hold, as it is."""
    click.echo(text, nl=False, file=_stdout())


def note(text: str, *, quiet: bool = False) -> None:
    """Write a line to stderr, unless `quiet`."""
    if not quiet:
        click.echo(_visible(text), err=True)


def heading(text: str) -> None:
    """Write a heading."""
    click.echo(file=_stdout())
    click.secho(_printable(text), file=_stdout(), bold=True)


def _printable(text: str) -> str:
    encoding = getattr(_stdout(), "encoding", None) or "utf-8"
    return _visible(text).encode(encoding, "replace").decode(encoding)


def _visible(text: str) -> str:
    return str(_UNSEEN.sub(lambda found: found[0].encode("unicode_escape").decode(), text))


def say_table(rows: Sequence[Sequence[str]], *, numbers: int = 0) -> None:
    """Write `rows` as a table to stdout, at most as wide as the terminal; a file or a pipe gets unwrapped lines."""
    say(table(rows, numbers=numbers, width=shutil.get_terminal_size().columns if _stdout().isatty() else None))


def table(rows: Sequence[Sequence[str]], *, numbers: int = 0, width: int | None = None) -> str:
    """Return `rows` as aligned text, with a line below the first row.

    Args:
        rows: cells, the same number in each row.
        numbers: how many of the last columns are right-aligned.
        width: maximal characters of a line. The widest columns are wrapped to fit, to at least 12 characters; `None`
            wraps none.
    """
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    while width is not None and sum(widths) + 2 * (len(widths) - 1) > width and max(widths) > _NARROWEST:
        widths[widths.index(max(widths))] -= 1
    first = len(widths) - numbers
    lines = []
    for row in rows:
        cells = [
            textwrap.wrap(cell, room) if len(cell) > room else [cell] for cell, room in zip(row, widths, strict=True)
        ]
        for parts in zip_longest(*cells, fillvalue=""):
            columns = zip(parts, widths, strict=True)
            aligned = (part.ljust(room) if i < first else part.rjust(room) for i, (part, room) in enumerate(columns))
            lines.append("  ".join(aligned).rstrip())
        if row is rows[0]:
            lines.append("  ".join("-" * room for room in widths))
    return "\n".join(lines)


def bytes_text(count: int) -> str:
    """Return a number of bytes in readable form."""
    size = float(count)
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"


def agreed(question: str, *, done: str = "removed") -> bool:
    """Ask whether something may be `done`.

    Raises:
        UsageError: there was no answer.
    """
    try:
        return click.confirm(question, err=True)
    except click.Abort:
        note("")  # ends the line of the question
        raise UsageError(f"There was no answer, so nothing was {done}. Pass --yes to go on without asking.") from None
