"""GBNF grammars for llama.cpp: one plain-text value and nothing else."""

from tunesmith.signatures.codec import codec_of
from tunesmith.signatures.signature import Signature

__all__ = ["grammar"]

MOST_LABELS = 200  # a grammar of 500 labels takes seconds per call to compile
_DATE = '[0-9] [0-9] [0-9] [0-9] "-" [0-1] [0-9] "-" [0-3] [0-9]'
_TIME = '[0-2] [0-9] ":" [0-5] [0-9] ":" [0-5] [0-9]'
_RULES = {
    "int": 'root ::= "-"? ("0" | [1-9] [0-9]{0,15})',
    "float": 'root ::= "-"? ("0" | [1-9] [0-9]{0,15}) ("." [0-9]{1,12})?',
    "date": f"root ::= {_DATE}",
    "datetime": f'root ::= {_DATE} "T" {_TIME}',
}


def grammar(signature: type[Signature], name: str) -> str | None:
    """Return the grammar of a plain-text reply of one output.

    `None` for free text, for types that are written as JSON, and for more than 200 labels: those are checked in the reply.
    """
    codec = codec_of(signature, name)
    if codec.labels:
        if len(codec.labels) > MOST_LABELS:
            return None
        return "root ::= " + " | ".join(_quoted(label) for label in codec.labels)
    return _RULES.get(codec.kind)


def _quoted(text: str) -> str:
    out = []
    for char in text:
        if char in '"\\':
            out.append("\\" + char)
        elif char.isprintable():
            out.append(char)
        else:
            code = ord(char)
            out.append(f"\\x{code:02X}" if code < 0x100 else f"\\u{code:04X}" if code < 0x10000 else f"\\U{code:08X}")
    return '"' + "".join(out) + '"'
