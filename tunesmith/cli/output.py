"""What goes to the terminal: JSON documents, plain tables, sentences."""

import json
import sys
from collections.abc import Sequence
from typing import Any

import click

__all__ = ["bytes_text", "emit", "heading", "note", "say", "table"]


def emit(value: Any, *, indent: int | None = 2) -> None:
    """Write one JSON document to stdout; with `indent=None` as one line."""
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except UnicodeEncodeError:  # a terminal of few letters, or half of a surrogate pair
        text = json.dumps(value, indent=indent)
    click.echo(text)


def say(text: str = "") -> None:
    """Write a line for people to stdout; characters the terminal lacks are replaced."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    click.echo(text.encode(encoding, "replace").decode(encoding))


def note(text: str, *, quiet: bool = False) -> None:
    """Write a line beside the result, to stderr, unless `quiet`."""
    if not quiet:
        click.echo(text, err=True)


def heading(text: str) -> None:
    """Write a heading."""
    click.echo()
    click.secho(text, bold=True)


def table(rows: Sequence[Sequence[str]], *, numbers: int = 0) -> str:
    """Return `rows` as aligned text, the first one above a line.

    Args:
        rows: cells, as many in each row.
        numbers: how many of the last columns stand to the right.
    """
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    first = len(widths) - numbers
    lines = [
        "  ".join(
            cell.ljust(width) if i < first else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:]])


def bytes_text(count: int) -> str:
    """Return a number of bytes as people read it."""
    size = float(count)
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"
