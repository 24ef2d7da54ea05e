r"""How one reply is stored: `<sha256 hex>\n<compact JSON>`, and what makes a stored row damaged.

The checksum covers the key as well: a row that damage moved under another key is a miss and never a
wrong reply.
"""

import json
import re
from hashlib import sha256
from pathlib import Path
from typing import Any

from pydantic_core import from_json

__all__ = ["RAW", "Damaged", "decoded", "encoded", "is_value_file", "read_value"]

RAW = 1
_FILE = 2  # the two of diskcache's modes that hold plain bytes; the others are text and pickle

_VALUE_FILE = re.compile(r"[0-9a-f]{2}/[0-9a-f]{2}/[0-9a-f]{28}\.val")
_encode_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_encode_ascii = json.JSONEncoder(ensure_ascii=True, separators=(",", ":")).encode
_decode_json = json.JSONDecoder().decode


class Damaged:
    """Stands for a row that cannot be used; `reason` says why, as the end of a sentence."""

    __slots__ = ("reason",)

    def __init__(self, reason: str) -> None:
        self.reason = reason


def encoded(key: str, value: dict[str, Any]) -> bytes:
    """Return what is stored for `value` under `key`.

    NaN and infinities are written as Python's `json` writes them.

    Raises:
        TypeError: `value` is not JSON.
    """
    try:
        body = _encode_json(value).encode()
    except UnicodeEncodeError:  # a lone surrogate, as a model cut inside a character may send
        body = _encode_ascii(value).encode()
    return _checksum(key, body) + b"\n" + body


def decoded(key: str, stored: object) -> dict[str, Any] | Damaged:
    """Return the value that `encoded` stored under `key`, or what is wrong with it."""
    if isinstance(stored, Damaged):
        return stored
    if not isinstance(stored, bytes):
        return Damaged("it is not stored as plain bytes")
    body = stored[65:]
    if stored[64:65] != b"\n" or stored[:64] != _checksum(key, body):
        return Damaged("its checksum does not match")
    try:
        value = _read_json(body)
    except (ValueError, RecursionError) as error:
        return Damaged(f"it is not JSON ({error})")
    return value if isinstance(value, dict) else Damaged("it is not a JSON object")


def read_value(folder: Path, mode: object, filename: object, value: object) -> bytes | Damaged:
    """Return the stored bytes of a row, from the row itself or from its file in `folder`."""
    if mode == RAW and isinstance(value, bytes):
        return value
    if mode != _FILE or not is_value_file(filename):
        return Damaged("it is not stored as plain bytes")
    try:
        return (folder / str(filename)).read_bytes()
    except OSError as error:
        return Damaged(f"its value file cannot be read ({error.strerror})")


def is_value_file(name: object) -> bool:
    """Whether `name` is one that diskcache gives; a planted name may point out of the folder."""
    return isinstance(name, str) and _VALUE_FILE.fullmatch(name) is not None


def _checksum(key: str, body: bytes) -> bytes:
    digest = sha256(key.encode() + b"\n")
    digest.update(body)
    return digest.hexdigest().encode()


def _read_json(body: bytes) -> Any:
    try:
        return from_json(body)  # several times as fast as Python's own
    except ValueError:
        return _decode_json(body.decode())  # also reads a lone surrogate, deep nesting, and numbers of any length
