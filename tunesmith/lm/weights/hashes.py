"""The sha256 of large files, remembered."""

import contextlib
import hashlib
import json
import os
import tempfile
from pathlib import Path
from typing import Any

from tunesmith.errors import UsageError
from tunesmith.lm.folders import home

__all__ = ["file_sha256", "remember_sha256"]

_HASHES = "file-hashes.json"


def file_sha256(path: Path) -> str:
    """Return the sha256 of a file in hex, remembered in `home()` by path, size and time of change.

    Where `home()` cannot be used nothing is remembered.

    Raises:
        OSError: the file cannot be read.
    """
    path = path.resolve()
    stamp = _stamp(path)
    remembered = _remembered().get(str(path))
    if isinstance(remembered, dict) and remembered.get("stamp") == stamp:
        digest = remembered.get("sha256")
        if isinstance(digest, str) and len(digest) == 64:
            return digest
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if _stamp(path) == stamp:  # else it was being written to
        _remember(path, stamp, digest)
    return digest


def remember_sha256(path: Path, digest: str) -> None:
    """Let the next `file_sha256(path)` return `digest`, which the caller has just computed."""
    path = path.resolve()
    _remember(path, _stamp(path), digest)


def _stamp(path: Path) -> list[int]:
    status = path.stat()
    return [status.st_size, status.st_mtime_ns]


def _remembered() -> dict[str, Any]:
    try:
        found = json.loads((home() / _HASHES).read_bytes())
    except (OSError, ValueError, UsageError):  # it is only a memory
        return {}
    return found if isinstance(found, dict) else {}


def _remember(path: Path, stamp: list[int], digest: str) -> None:
    """Write the hash down; of two processes at once, one is forgotten and hashes again."""
    kept = {name: row for name, row in _remembered().items() if Path(name).exists()}
    kept[str(path)] = {"sha256": digest, "stamp": stamp}
    with contextlib.suppress(OSError, UsageError):
        folder = home()
        handle, part = tempfile.mkstemp(prefix=f".{_HASHES}-", dir=folder)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(kept, file, indent=1, sort_keys=True)
        Path(part).replace(folder / _HASHES)
