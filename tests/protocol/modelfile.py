"""`ollama create -f Modelfile`: the file as the body of `/api/create`, read as the command reads it (parser/parser.go).

It reads letter by letter. A value ends at a line end, unless it has begun with quotes that are not closed there. In a
value every character that Go does not call printable is dropped in silence, but for blanks, tabs and line ends.
"""

import unicodedata
from typing import Any

from tests.protocol.options import DEFAULTS

_COMMANDS = ("from", "license", "template", "system", "adapter", "renderer", "parser", "parameter", "message")
_ROLES = ("system", "user", "assistant")
_NO_COMMAND = (
    'command must be one of "from", "license", "template", "system", "adapter", "draft", "renderer", "parser", '
    '"parameter", "message", or "requires"'
)
_NO_ROLE = 'message role must be one of "system", "user", or "assistant"'


class ModelfileError(ValueError):
    """The command refuses the file; the server is not asked."""


def create_body(name: str, text: str) -> dict[str, Any]:
    """Return what the command sends to `/api/create`.

    Raises:
        ModelfileError: it does not read the file.
    """
    body: dict[str, Any] = {"model": name}
    messages: list[dict[str, str]] = []
    for command, word, value in commands(text):
        if command == "message":
            messages.append({"role": word, "content": value})
        elif command == "parameter":
            parameters = body.setdefault("parameters", {})
            one = _parameter(word, value)
            parameters[word] = [*parameters.get(word, []), *one] if isinstance(one, list) else one
        else:
            body[command] = value
    if "from" not in body:
        raise ModelfileError("no FROM line")
    return body | ({"messages": messages} if messages else {})


def commands(text: str) -> list[tuple[str, str, str]]:
    """Return the commands of a Modelfile: name, role or parameter name, value."""
    found, at = [], 0
    text = text.removeprefix("\ufeff")
    while (at := _next_command(text, at)) < len(text):
        name, at = _word(text, at)
        if name.lower() not in _COMMANDS:
            raise ModelfileError(_NO_COMMAND)
        word = ""
        if name.lower() in ("message", "parameter"):
            word, at = _word(text, at)
            if name.lower() == "message" and word not in _ROLES:
                raise ModelfileError(_NO_ROLE)
        value, at = _value(text, at)
        found.append((name.lower(), word, value))
    return found


def quoted(text: str) -> str:
    """Return a value as `ollama show --modelfile` writes it: outer quotes of its own are lost when it is read again."""
    if "\n" not in text and not text.startswith(" ") and not text.endswith(" "):
        return text
    return f'"""{text}"""' if '"' in text else f'"{text}"'


def _next_command(text: str, at: int) -> int:
    while at < len(text) and text[at] in " \t\r\n#":
        if text[at] == "#":
            while at < len(text) and text[at] not in "\r\n":
                at += 1
        else:
            at += 1
    return at


def _word(text: str, at: int) -> tuple[str, int]:
    end = at
    while end < len(text) and text[end].isascii() and (text[end].isalnum() or text[end] == "_"):
        end += 1
    if end == len(text) or text[end] not in " \t":
        raise ModelfileError("unexpected EOF" if end == len(text) else _NO_COMMAND)
    return text[at:end], end + 1


def _value(text: str, at: int) -> tuple[str, int]:
    kept = ""
    for end in range(at, len(text)):
        char = text[end]
        if char in "\r\n":
            value = _unquoted(kept.strip())
            if value is not None:
                return value, end + 1
        if char in " \t\r\n" or _is_printable(char):
            kept += char
    value = _unquoted(kept.strip())
    if value is None:
        raise ModelfileError("unexpected EOF")
    return value, len(text)


def _unquoted(text: str) -> str | None:
    """Return what stands between the quotes, `None` where they are not closed."""
    for quote in ('"""', '"'):
        if text.startswith(quote):
            closed = len(text) >= 2 * len(quote) and text.endswith(quote)
            return text[len(quote) : -len(quote)] if closed else None
    return text


def _is_printable(char: str) -> bool:
    return char == " " or unicodedata.category(char)[0] in "LMNPS"


def _parameter(name: str, value: str) -> Any:
    default = DEFAULTS.get(name)
    if isinstance(default, list):
        return [value]
    if isinstance(default, float):
        return float(value)
    if isinstance(default, int):
        return int(value)
    if name == "use_mmap":
        return value.lower() in ("1", "t", "true")
    raise ModelfileError(f'unknown parameter "{name}"')
