"""The header of the embedded model's weight file: its facts, its vocabulary, its tensors."""

import functools
import math
import os
import struct
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

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
    with path.open("rb") as file:
        magic, _, tensors, count = struct.unpack("<4sIQQ", file.read(24))
        assert magic == b"GGUF"
        facts = {}
        for _ in range(count):
            name = _string(file)
            facts[name] = _value(file, _number(file, "I"))
        return Header(facts, [_tensor(file) for _ in range(tensors)])


def _tensor(file: BinaryIO) -> dict[str, Any]:
    name = _string(file)
    shape = [_number(file, "Q") for _ in range(_number(file, "I"))]
    kind, _ = struct.unpack("<IQ", file.read(12))
    return {"name": name, "type": _TENSOR_TYPES.get(kind, str(kind)), "shape": shape}


def _value(file: BinaryIO, kind: int) -> Any:
    if kind == _STRING:
        return _string(file)
    if kind != _ARRAY:
        return _number(file, _SCALARS[kind])
    kind, count = struct.unpack("<IQ", file.read(12))
    read: Callable[[], Any] = (lambda: _string(file)) if kind == _STRING else (lambda: _number(file, _SCALARS[kind]))
    return [read() for _ in range(count)]


def _number(file: BinaryIO, code: str) -> Any:
    return struct.unpack(f"<{code}", file.read(struct.calcsize(f"<{code}")))[0]


def _string(file: BinaryIO) -> str:
    return file.read(_number(file, "Q")).decode()
