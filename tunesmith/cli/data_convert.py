"""`tunesmith data convert`: rows with plain fields from what other programs write."""

import json
from pathlib import Path
from typing import Any

from tunesmith.cli.failures import DONE
from tunesmith.cli.fields import advising_options, columns_of, named_values
from tunesmith.cli.output import agreed, emit, heading, say, say_table
from tunesmith.data import Conversion, check_targets, convert_file, write_rows
from tunesmith.errors import counted

__all__ = ["run"]

_FIRST = 3  # rows in the preview
_CELL = 60  # characters of a value there
_WRONG = 20  # wrong rows listed


@advising_options()
def run(
    *,
    file: Path,
    to: Path,
    shape: str | None,
    columns: tuple[str, ...],
    labels: tuple[str, ...],
    keep: str | None,
    delimiter: str | None,
    encoding: str | None,
    skip_bad: bool,
    dry_run: bool,
    yes: bool,
    force: bool,
    as_json: bool,
) -> int:
    """Convert FILE, show what comes of it, and write it."""
    if not dry_run:
        check_targets([to], force=force)
    found = convert_file(
        file,
        shape=shape,
        columns=columns_of(columns),
        labels={name: text.split(",") for name, text in named_values(labels, "--labels", "label=bad,good").items()},
        keep=[] if keep is None else [name.strip() for name in keep.split(",")],
        delimiter=delimiter,
        encoding=encoding,
    ).checked(skip_bad=skip_bad)
    if not as_json:
        _say(found)
    written = not dry_run and (yes or agreed(f"Write {counted(len(found.rows), 'row')} to {to}?", done="written"))
    if written:
        write_rows(to, found.rows)
    if as_json:
        first = list(found.rows[:_FIRST])
        emit({**found.to_json(), "preview": first, "written": str(to) if written else None})
    else:
        say()
        say(f"wrote {to}: {counted(len(found.rows), 'row')}" if written else "nothing was written")
    return DONE


def _say(found: Conversion) -> None:
    read = counted(found.read, "row")
    say(f"{found.path}: {read} of the shape `{found.shape}`, made into {counted(len(found.rows), 'row')}")
    if found.signature:
        say(f"They fit the signature '{found.signature}'.")
    for text in found.notes:
        say(text)
    for old, new in found.renamed.items():
        say(f"The field {old!r} is called {new!r}.")
    heading(f"The first {counted(min(_FIRST, len(found.rows)), 'row')}")
    for row in found.rows[:_FIRST]:
        say("\n".join(f"  {name}: {_cell(value)}" for name, value in row.items()))
        say()
    counts = [("field", "rows with a value"), *((name, str(count)) for name, count in found.fields.items())]
    say_table(counts, numbers=1)
    if found.dropped_fields or found.dropped or found.wrong:
        heading("Left out")
    for name, count in found.dropped_fields.items():
        say(f"  the field `{name}`: {count}")
    for reason, count in found.dropped.items():
        say(f"  {reason}: {count}")
    for error in found.wrong[:_WRONG]:
        say(f"  {error}")
    if len(found.wrong) > _WRONG:
        say(f"  and {len(found.wrong) - _WRONG} other wrong rows")


def _cell(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    text = " ".join(text.split())
    return text if len(text) <= _CELL else f"{text[: _CELL - 1]}…"
