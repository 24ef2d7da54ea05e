"""Read facts from a GGUF file's header: architecture, trained context, model name."""

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from tunesmith.errors import UsageError

__all__ = ["GgufFacts", "read_gguf"]

_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9
_LONGEST = 1 << 24  # bytes; a longer string means that the file is damaged


@dataclass(frozen=True, slots=True)
class GgufFacts:
    """Facts of the header; `None` if missing."""

    architecture: str | None
    name: str | None
    trained_context: int | None


def read_gguf(path: Path) -> GgufFacts:
    """Read the metadata of a GGUF file (ggml `docs/gguf.md`, versions 2 and 3).

    Raises:
        UsageError: there is no such file, or it is not a GGUF file.
    """
    try:
        with path.open("rb") as file:
            metadata = _metadata(file, path)
    except OSError as error:
        raise UsageError(f"The weight file {str(path)!r} cannot be read: {error.strerror}. Check the path.") from error
    except (struct.error, UnicodeDecodeError, ValueError) as error:
        raise _damaged(path) from error
    architecture = metadata.get("general.architecture")
    context = metadata.get(f"{architecture}.context_length")
    return GgufFacts(architecture, metadata.get("general.name"), context)


def _damaged(path: Path) -> UsageError:
    return UsageError(f"{str(path)!r} is not a GGUF file, or it is damaged. Give the path of a `.gguf` weight file.")


def _metadata(file: BinaryIO, path: Path) -> dict[str, Any]:
    magic, version = struct.unpack("<4sI", file.read(8))
    if magic != b"GGUF" or version not in (2, 3):
        raise _damaged(path)
    _, count = struct.unpack("<QQ", file.read(16))
    metadata: dict[str, Any] = {}
    for _ in range(min(count, 10_000)):
        name = _string(file)
        (kind,) = struct.unpack("<I", file.read(4))
        if kind == _ARRAY:
            _skip_array(file)
        else:
            metadata[name] = _value(file, kind)
        if f"{metadata.get('general.architecture')}.context_length" in metadata:
            break  # all facts are known; skip the large vocabulary that follows
    return metadata


def _value(file: BinaryIO, kind: int) -> Any:
    if kind == _STRING:
        return _string(file)
    code = _SCALARS[kind] if kind in _SCALARS else _unknown(kind)
    return struct.unpack(f"<{code}", file.read(struct.calcsize(f"<{code}")))[0]


def _skip_array(file: BinaryIO) -> None:
    kind, count = struct.unpack("<IQ", file.read(12))
    if kind == _STRING:
        for _ in range(count):
            _string(file)
    elif kind in _SCALARS:
        file.seek(count * struct.calcsize(f"<{_SCALARS[kind]}"), 1)
    else:
        _unknown(kind)


def _unknown(kind: int) -> str:
    raise ValueError(f"unknown value type {kind}")


def _string(file: BinaryIO) -> str:
    (length,) = struct.unpack("<Q", file.read(8))
    if length > _LONGEST:
        raise ValueError("a string is too long for a header")
    return file.read(length).decode()
