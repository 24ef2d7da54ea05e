"""`chat`: DSPy's own marker format, through DSPy's own adapter, with its second call switched off."""

from typing import Any, ClassVar

from tunesmith.formats.format import ChatAdapter

__all__ = ["ChatFormat"]


class ChatFormat(ChatAdapter):
    """What plain DSPy sends. For interchange, and for types that no other format carries (images, tools).

    Nothing constrains the reply, and a reply that does not parse is an error, not a second call.
    """

    name: ClassVar[str] = "chat"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("use_json_adapter_fallback", False)
        super().__init__(*args, **kwargs)

    def __deepcopy__(self, memo: dict[int, Any]) -> "ChatFormat":
        return self

    def __repr__(self) -> str:
        return f"<format {self.name}>"
