"""`tunesmith export`: write an artifact as files for another tool."""

from pathlib import Path
from typing import Any

from tunesmith.artifacts import export_kind, export_kinds, export_program, export_summary
from tunesmith.cli.choosing import allow_imports
from tunesmith.cli.failures import DONE
from tunesmith.cli.output import emit, note, say, say_raw
from tunesmith.errors import UsageError, shown
from tunesmith.options import option_table, read_option

__all__ = ["run"]


def run(
    *,
    artifact: Path | None,
    target: str | None,
    out: Path | None,
    sets: tuple[str, ...],
    allow: tuple[str, ...],
    as_json: bool,
    quiet: bool,
) -> int:
    """Write ARTIFACT as files for another tool."""
    if target is None or artifact is None:
        if artifact is not None or target is not None:
            missing = "--to NAME" if target is None else "ARTIFACT"
            raise UsageError(f"{missing} is missing. The targets are: {', '.join(export_kinds())}.")
        _say_targets(as_json=as_json)
        return DONE
    options = _options(target, sets)
    allow_imports(allow)
    found = export_program(artifact, to=target, allow=allow, **options)
    text = found.text if out is None and not as_json else ""  # refuses several files before anything is written
    written = () if out is None else found.write(out)
    for sentence in found.notes:
        note(f"note: {sentence}", quiet=quiet)
    if as_json:
        contents: dict[str, Any] = {"files": dict(found.files)} if out is None else {"written": list(map(str, written))}
        emit({"to": target, **contents, "notes": list(found.notes)})
    elif out is None:
        say_raw(text)
    else:
        for path in written:
            say(f"wrote {path}")
    return DONE


def _options(target: str, sets: tuple[str, ...]) -> dict[str, Any]:
    kind, found = export_kind(target), dict[str, Any]()
    for text in sets:
        name, equals, value = text.partition("=")
        if not equals:
            raise UsageError(f"`--set` takes `option=value`. Given: {shown(text)}.")
        found[name.strip()] = read_option(kind, name.strip(), value.strip())
    return found


def _say_targets(*, as_json: bool) -> None:
    rows = {
        name: {"help": export_summary(kind), "options": [list(row) for row in option_table(kind)]}
        for name, kind in export_kinds().items()
    }
    if as_json:
        emit({"targets": rows})
        return
    for name, row in rows.items():
        say(f"{name}: {row['help']}")
        for option, hint, default, meaning in row["options"]:
            say(f"    --set {option}=...  {meaning} ({hint}, default {default})")
