"""Prompt formats: how a signature, its demos and its inputs become a request, and a reply its outputs."""

from weakref import WeakKeyDictionary

from tunesmith.errors import FormatError, SignatureError, UsageError, shown
from tunesmith.formats.bare import BareFormat
from tunesmith.formats.chat import ChatFormat
from tunesmith.formats.fields import field_titles, read_inputs
from tunesmith.formats.format import Adapter, Format, Rendered
from tunesmith.formats.json import JsonFormat
from tunesmith.formats.options import Constraint
from tunesmith.signatures import Signature

__all__ = [
    "Adapter",
    "carries",
    "Constraint",
    "default_format",
    "field_titles",
    "Format",
    "format_names",
    "get_format",
    "read_inputs",
    "Rendered",
]

_FORMATS: dict[str, Adapter] = {
    "bare": BareFormat(),
    "json": JsonFormat(),
    "chat": ChatFormat(),
}


def format_names() -> tuple[str, ...]:
    """Return the name of every format."""
    return tuple(_FORMATS)


def get_format(name: str) -> Adapter:
    """Return the format called `name`; there is one instance of each.

    Raises:
        UsageError: there is none.
    """
    if name not in _FORMATS:
        raise UsageError(f"There is no format {shown(name)}. Use one of: {', '.join(_FORMATS)}.")
    return _FORMATS[name]


def carries(name: str, signature: type[Signature]) -> bool:
    """Return whether the format can carry the signature."""
    found = get_format(name)
    if not isinstance(found, Format):
        return True
    try:
        found.check(signature)
    except (FormatError, SignatureError):
        return False
    return True


_DEFAULTS: WeakKeyDictionary[type[Signature], str] = WeakKeyDictionary()


def default_format(signature: type[Signature]) -> str:
    """Return the format a predictor gets when nobody chose: `bare` for one output, else `json`.

    A signature that neither can carry gets `chat`.
    """
    found = _DEFAULTS.get(signature)
    if found is None:
        found = next(name for name in ("bare", "json", "chat") if carries(name, signature))
        _DEFAULTS[signature] = found
    return found
