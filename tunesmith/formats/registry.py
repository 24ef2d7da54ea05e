"""Formats by name. Each file registers its own formats, so adding one needs no other edit."""

import importlib
from importlib.util import find_spec

from tunesmith.errors import UsageError, shown
from tunesmith.formats.format import Adapter, ChatAdapter, Format
from tunesmith.lazy import import_files

__all__ = ["format_names", "get_format", "register"]

_FORMATS: dict[str, Adapter] = {}
_PACKAGE = __name__.rpartition(".")[0]


def register(adapter: Format | ChatAdapter) -> None:
    """Add a format. `bind`, compilers, artifacts and the CLI then know it by its `name`.

    Raises:
        UsageError: it is not a format, it has no name, or another format has the same name.
    """
    if not isinstance(adapter, Format | ChatAdapter):
        raise UsageError(
            f"A format must be an instance of a subclass of `Format` or `SectionFormat`. Given: {shown(adapter)}. "
            "Register `MyFormat()`, not its class or name."
        )
    name = getattr(adapter, "name", None)
    if not name or name in _FORMATS:
        raise UsageError(f"A format needs a unique name. Given: {shown(name)}. Set `name` on its class.")
    _FORMATS[name] = adapter


def format_names() -> tuple[str, ...]:
    """Return the name of every format, sorted."""
    import_files(_PACKAGE)
    return tuple(sorted(_FORMATS))


def get_format(name: str) -> Adapter:
    """Return the one instance of the format called `name`.

    Raises:
        UsageError: there is no such format.
    """
    known = _FORMATS.get(name) if isinstance(name, str) else None
    if known is not None:
        return known
    if isinstance(name, str):
        _import_file(name.partition("-")[0])  # `bare-free` is in bare.py, so the other files need no import
    if not isinstance(name, str) or (name not in _FORMATS and name not in format_names()):
        raise UsageError(f"There is no format {shown(name)}. Use one of: {', '.join(format_names())}.")
    return _FORMATS[name]


def _import_file(name: str) -> None:
    if name.isidentifier() and find_spec(f"{_PACKAGE}.{name}") is not None:
        importlib.import_module(f"{_PACKAGE}.{name}")
