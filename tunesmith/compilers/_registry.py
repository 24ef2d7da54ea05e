"""Compilers by name. A file of this package registers what it defines; nothing else is to be edited."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from tunesmith.compilers._names import name_of
from tunesmith.compilers._options import option_table
from tunesmith.compilers.compiler import Compiler
from tunesmith.errors import UsageError, shown
from tunesmith.lazy import public_files

__all__ = ["compiler_named", "compilers", "options_text"]


def compilers() -> Mapping[str, type[Compiler]]:
    """Return every compiler of this package by the name that `tunesmith.toml` and `--compiler` use."""
    found: dict[str, type[Compiler]] = {}
    for file in public_files(__name__.rpartition(".")[0]):
        for kind in vars(file).values():
            if _is_compiler(kind) and kind.__module__ == file.__name__:
                found[kind.command_name or name_of(kind.__name__)] = kind
    return found


def compiler_named(name: str, find: Callable[[str], Any]) -> type[Compiler]:
    """Return the compiler of this name, or the class that `module:Class` names.

    Args:
        name: as in `tunesmith.toml`.
        find: imports what `module:Class` names.

    Raises:
        UsageError: there is none.
    """
    known = compilers()
    if name in known:
        return known[name]
    if ":" not in name:
        raise UsageError(
            f"There is no compiler {shown(name)}. Use one of: {', '.join(sorted(known))}, or `module:Class` of yours."
        )
    kind = find(name)
    if not _is_compiler(kind):
        raise UsageError(
            f"`{name}` is not a compiler. Given: {shown(kind)}. A compiler is a dataclass under `ts.Compiler` with "
            "the methods `search` and `effort`."
        )
    found: type[Compiler] = kind
    return found


def options_text() -> str:
    """Return the table of all compilers and their options, in Markdown: `docs/compilers.md` holds it."""
    parts = []
    for name, kind in sorted(compilers().items()):
        summary = (inspect.getdoc(kind) or "").partition("\n")[0]
        lines = [f"### `{name}` (`{kind.__module__.rpartition('.')[0]}.{kind.__name__}`)", "", summary, ""]
        lines += ["| option | type | default | meaning |", "|---|---|---|---|"]
        for option, hint, value, text in option_table(kind):
            lines.append(f"| `{option}` | `{_cell(hint)}` | `{value}` | {_cell(text)} |")
        parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"


def _is_compiler(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Compiler) and not inspect.isabstract(kind)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
