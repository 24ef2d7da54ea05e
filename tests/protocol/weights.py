"""The header of the embedded model's weight file: its facts, its vocabulary, its tensors."""

import functools
import math
import mmap
import os
import struct
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9
_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
_TENSOR_TYPES = {0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 8: "Q8_0", 14: "Q6_K", 30: "BF16"}


@dataclass(frozen=True)
class Header:
    """`facts`: every key of the file; `tensors`: name, type and shape, in the file's order."""

    facts: dict[str, Any]
    tensors: list[dict[str, Any]]

    @property
    def parameters(self) -> int:
        return sum(math.prod(tensor["shape"]) for tensor in self.tensors)


def weights_path() -> Path:
    """Return where tunesmith keeps the embedded model, without loading tunesmith (and DSPy with it)."""
    home = os.environ.get("TUNESMITH_HOME")
    if home:
        return Path(home) / "models" / _FILE
    cache = Path.home() / ("Library/Caches" if sys.platform == "darwin" else ".cache")
    given = os.environ.get("XDG_CACHE_HOME", "")
    cache = Path(given) if given.startswith("/") and sys.platform != "darwin" else cache
    return cache / "tunesmith" / "models" / _FILE


@functools.cache
def embedded_header() -> Header | None:
    """Return the header of the embedded model, `None` where the file is not on this machine."""
    path = weights_path()
    return read_header(path) if path.is_file() else None


def read_header(path: Path) -> Header:
    """Read a GGUF header (ggml `docs/gguf.md`, version 3)."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        found = _Reader(data)
        magic, _, tensors, count = found.numbers("4sIQQ")
        assert magic == b"GGUF"
        facts = {}
        for _ in range(count):
            name = found.strings(1)[0]
            facts[name] = _value(found, *found.numbers("I"))
        return Header(facts, [_tensor(found) for _ in range(tensors)])


class _Reader:
    """Reads on from where it stands."""

    def __init__(self, data: mmap.mmap) -> None:
        self._data, self._at = data, 0

    def numbers(self, form: str) -> tuple[Any, ...]:
        found = struct.unpack_from(f"<{form}", self._data, self._at)
        self._at += struct.calcsize(f"<{form}")
        return found

    def strings(self, count: int) -> list[str]:
        """Return so many texts: there are 100,000, so this is one tight loop."""
        data, at, length, found = self._data, self._at, struct.Struct("<Q").unpack_from, []
        for _ in range(count):
            end = at + 8 + length(data, at)[0]
            found.append(data[at + 8 : end].decode())
            at = end
        self._at = at
        return found


def _tensor(found: _Reader) -> dict[str, Any]:
    name = found.strings(1)[0]
    shape = list(found.numbers(f"{found.numbers('I')[0]}Q"))
    kind, _ = found.numbers("IQ")
    return {"name": name, "type": _TENSOR_TYPES.get(kind, str(kind)), "shape": shape}


def _value(found: _Reader, kind: int) -> Any:
    if kind == _STRING:
        return found.strings(1)[0]
    if kind != _ARRAY:
        return found.numbers(_SCALARS[kind])[0]
    kind, count = found.numbers("IQ")
    return found.strings(count) if kind == _STRING else list(found.numbers(f"{count}{_SCALARS[kind]}"))
