"""Formats by name. Each registers in the file that defines it; nothing else is to be edited."""

import importlib
from importlib.util import find_spec

from tunesmith.errors import UsageError, shown
from tunesmith.formats.format import Adapter, ChatAdapter, Format
from tunesmith.lazy import import_files

__all__ = ["format_names", "get_format", "register"]

_FORMATS: dict[str, Adapter] = {}
_PACKAGE = __name__.rpartition(".")[0]


def register(adapter: Format | ChatAdapter) -> None:
    """Add a format, which is then known by its `name` everywhere: to `bind`, compilers, artifacts, the CLI.

    Raises:
        UsageError: it is not a format, it has no name, or another format has it.
    """
    if not isinstance(adapter, Format | ChatAdapter):
        raise UsageError(
            f"A format is an object of a class below `Format` or `SectionFormat`. Given: {shown(adapter)}. "
            "Register `MyFormat()`, not its class or name."
        )
    name = getattr(adapter, "name", None)
    if not name or name in _FORMATS:
        raise UsageError(f"A format needs a name of its own. Given: {shown(name)}. Set `name` on its class.")
    _FORMATS[name] = adapter


def format_names() -> tuple[str, ...]:
    """Return the name of every format, sorted."""
    import_files(_PACKAGE)
    return tuple(sorted(_FORMATS))


def get_format(name: str) -> Adapter:
    """Return the format called `name`; there is one instance of each.

    Raises:
        UsageError: there is none.
    """
    found = _FORMATS.get(name) if isinstance(name, str) else None
    if found is not None:
        return found
    if isinstance(name, str):
        _import_file(name.partition("-")[0])  # `bare-free` is in bare.py; with it the others need no import
    if not isinstance(name, str) or (name not in _FORMATS and name not in format_names()):
        raise UsageError(f"There is no format {shown(name)}. Use one of: {', '.join(format_names())}.")
    return _FORMATS[name]


def _import_file(name: str) -> None:
    if name.isidentifier() and find_spec(f"{_PACKAGE}.{name}") is not None:
        importlib.import_module(f"{_PACKAGE}.{name}")
