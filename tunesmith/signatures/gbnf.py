"""GBNF grammars for llama.cpp: one plain-text value and nothing else."""

from typing import Any

from tunesmith.signatures.codec import Codec, codec_of
from tunesmith.signatures.signature import Signature

__all__ = ["grammar"]

_MOST_LABELS = 200  # a grammar of 500 labels takes seconds per call to compile
_MOST_DIGITS = 16
_DATE = '[0-9]{4} "-" ("0" [1-9] | "1" [0-2]) "-" ("0" [1-9] | [1-2] [0-9] | "3" [0-1])'
_TIME = '([0-1] [0-9] | "2" [0-3]) ":" [0-5] [0-9] ":" [0-5] [0-9]'
_ZONE = '("Z" | [+-] [0-1] [0-9] ":" [0-5] [0-9])?'
_BY_NAME = {
    "date": f"root ::= {_DATE}",
    "datetime": f'root ::= {_DATE} "T" {_TIME} {_ZONE}',
    "time": f"root ::= {_TIME} {_ZONE}",
    "UUID": 'root ::= hex{8} "-" hex{4} "-" hex{4} "-" hex{4} "-" hex{12}\nhex ::= [0-9a-f]',
    "Decimal": 'root ::= "-"? ("0" | [1-9] [0-9]{0,15}) ("." [0-9]{1,16})?',
}


def grammar(signature: type[Signature], name: str) -> str | None:
    """Return the grammar of a plain-text reply of one output.

    The grammar is never stricter than the type, save that numbers have at most 16 digits on each side of the
    point and no exponent, and that dates have four-digit years. `ge` and `le` of an integer are followed exactly
    where at most 200 integers fit, else by their sign and number of digits.

    Returns:
        GBNF with the root rule `root`; `None` for free text, for types that are written as JSON, and for more than
        200 labels: those are checked in the reply.

    Raises:
        SignatureError: there is no such field.
    """
    codec = codec_of(signature, name)
    match codec.kind:
        case "label":
            return _labels(list(codec.choices.texts))
        case "int":
            return _integer(codec)
        case "float":
            return _BY_NAME["Decimal"]
        case "scalar":
            return _BY_NAME[codec.base.__name__]
    return None


def _labels(texts: list[str]) -> str | None:
    if len(texts) > _MOST_LABELS:
        return None
    return "root ::= " + " | ".join(_quoted(text) for text in texts)


def _integer(codec: Codec) -> str | None:
    bounds: dict[str, Any] = codec.schema or {}
    low, high = bounds.get("minimum"), bounds.get("maximum")
    if low is not None and high is not None and high - low < _MOST_LABELS:
        return _labels([str(number) for number in range(low, high + 1)])
    sign = "" if low is not None and low >= 0 else '"-"? '
    digits = _MOST_DIGITS
    if low is not None and high is not None:
        digits = max(len(str(abs(low))), len(str(abs(high))))
    rest = f" [0-9]{{0,{digits - 1}}}" if digits > 1 else ""
    return f'root ::= {sign}("0" | [1-9]{rest})'


def _quoted(text: str) -> str:
    return f'"{"".join(map(_escaped, text))}"'


def _escaped(char: str) -> str:
    if char in '"\\':
        return "\\" + char
    if char.isprintable():
        return char
    code = ord(char)
    if code < 0x100:
        return f"\\x{code:02X}"
    return f"\\u{code:04X}" if code < 0x10000 else f"\\U{code:08X}"
