"""Which format a predictor gets if none was chosen, and what a format can carry."""

import warnings
from collections.abc import Sequence
from typing import Any
from weakref import WeakKeyDictionary

from tunesmith.errors import FormatError, SignatureError
from tunesmith.formats.format import Adapter, ChatAdapter, Format, has_dspys_own
from tunesmith.formats.incremental import FieldReader, WholeReader, marked
from tunesmith.formats.registry import get_format
from tunesmith.lm import Capabilities
from tunesmith.signatures import Signature, check_can_be_right

__all__ = ["carries", "default_format", "field_reader"]


def carries(name: str, signature: type[Signature], demos: Sequence[Any] = ()) -> bool:
    """Return whether the format can carry the signature, and these demos."""
    found = get_format(name)
    if not isinstance(found, Format):
        return True
    try:
        found.check(signature)
    except (FormatError, SignatureError):
        return False
    return all(found.refuses(signature, demo) is None for demo in demos)


def field_reader(
    adapter: Adapter, signature: type[Signature], capabilities: Capabilities, *, shown: bool = False
) -> FieldReader:
    """Return what reads a reply under any adapter while it is written; `shown` says whether there are demos."""
    if isinstance(adapter, Format):
        return adapter.reader(signature, adapter.mode(signature, capabilities, shown=shown))
    if adapter is get_format("chat") or type(adapter) is ChatAdapter:
        return marked(signature.output_fields)
    return WholeReader()


_DEFAULTS: WeakKeyDictionary[type[Signature], str] = WeakKeyDictionary()


def default_format(signature: type[Signature], demos: Sequence[Any] = ()) -> str:
    """Return the format a predictor gets when nobody chose: `bare` for one output, else `json`.

    One output whose pattern plain text cannot hold gets `json`, and a signature that neither can carry gets `chat`. If
    that is not for one of DSPy's own types (images, tool calls), a warning says why: nothing holds a reply under `chat`
    to its shape. Demos that the format cannot carry (an empty text in `bare`) give the next one that carries both.

    Raises:
        SignatureError: the signature has no output, or one that no reply can be right for.
    """
    if demos and signature.output_fields:
        fitting = (name for name in ("bare", "json", "chat") if carries(name, signature, demos))
        usual = default_format(signature)
        return usual if carries(usual, signature, demos) else next(fitting, usual)
    found = _DEFAULTS.get(signature)
    if found is None:
        if not signature.output_fields:
            raise SignatureError(f"Signature `{signature.__name__}` has no output field. Declare one.")
        found = _DEFAULTS[signature] = _chosen(signature)
    return found


def _chosen(signature: type[Signature]) -> str:
    from tunesmith.formats.json import JsonFormat  # here, since a loaded program has its formats
    from tunesmith.signatures import is_held_as_json_alone

    if carries("bare", signature) and not any(
        is_held_as_json_alone(signature, name) for name in signature.output_fields
    ):
        return "bare"
    try:
        JsonFormat().check(signature)
    except FormatError:
        return "chat"
    except SignatureError as error:
        check_can_be_right(signature)
        if not has_dspys_own(signature):
            text = f"{error} The format `chat` is used for `{signature.__name__}`, which nothing holds to its shape."
            warnings.warn(text, UserWarning, stacklevel=4)
        return "chat"
    return "json"
