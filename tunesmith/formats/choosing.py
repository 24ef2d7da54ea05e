"""Choose the default format of a predictor, and check what a format can carry."""

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from tunesmith.errors import FormatError, SignatureError
from tunesmith.formats.format import Adapter, ChatAdapter, Format, has_dspys_own
from tunesmith.formats.registry import get_format
from tunesmith.lazy import lazy_module
from tunesmith.lm import Capabilities
from tunesmith.signatures import Signature, check_can_be_right

if TYPE_CHECKING:
    from tunesmith.formats import streaming
    from tunesmith.formats.streaming import FieldReader
else:
    streaming = lazy_module("tunesmith.formats.streaming")  # most calls are not streamed

__all__ = ["carries", "default_format", "field_reader"]


def carries(name: str, signature: type[Signature], demos: Sequence[Any] = ()) -> bool:
    """Return whether the format can carry the signature, and these demos."""
    fmt = get_format(name)
    if not isinstance(fmt, Format):
        return True
    try:
        fmt.check(signature)
    except (FormatError, SignatureError):
        return False
    return all(fmt.refuses(signature, demo) is None for demo in demos)


def field_reader(
    adapter: Adapter, signature: type[Signature], capabilities: Capabilities, *, shown: bool = False
) -> "FieldReader":
    """Return a reader for the partial replies of any adapter; `shown` says whether there are demos."""
    if isinstance(adapter, Format):
        return adapter.reader(signature, adapter.mode(signature, capabilities, shown=shown))
    if adapter is get_format("chat") or type(adapter) is ChatAdapter:
        return streaming.marked(signature.output_fields)
    return streaming.WholeReader()


_DEFAULTS: WeakKeyDictionary[type[Signature], str] = WeakKeyDictionary()


def default_format(signature: type[Signature], demos: Sequence[Any] = ()) -> str:
    """Return the default format of a predictor: `bare` for one output, `tools` for a call of a tool, else `json`.

    One output with a pattern that only JSON can constrain gets `json`. A signature that neither can carry gets `chat`,
    with a warning unless it uses one of DSPy's own types (images, tool calls): `chat` does not constrain the reply.
    If the format cannot carry the demos (an empty text in `bare`), the next format that carries both is returned.

    Raises:
        SignatureError: the signature has no output, or an output that no reply can satisfy.
    """
    if demos and signature.output_fields:
        fitting = (name for name in ("bare", "json", "chat") if carries(name, signature, demos))
        usual = default_format(signature)
        return usual if carries(usual, signature, demos) else next(fitting, usual)
    default = _DEFAULTS.get(signature)
    if default is None:
        if not signature.output_fields:
            raise SignatureError(f"Signature `{signature.__name__}` has no output field. Declare one.")
        default = _DEFAULTS[signature] = _chosen(signature)
    return default


def _chosen(signature: type[Signature]) -> str:
    from tunesmith.formats.json import JsonFormat  # here, because a loaded program does not need it
    from tunesmith.formats.tools import offered_tools
    from tunesmith.signatures import is_held_as_json_alone

    if offered_tools(signature) is not None and carries("tools", signature):
        return "tools"
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
            text = f"{error} `{signature.__name__}` uses the format `chat`, which does not constrain the reply."
            warnings.warn(text, UserWarning, stacklevel=4)
        return "chat"
    return "json"
