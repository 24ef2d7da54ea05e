"""Compute the sha256 of large files, and store it for the next time."""

import contextlib
import hashlib
import json
from pathlib import Path
from typing import Any

from tunesmith.atomic import write_atomically
from tunesmith.errors import UsageError
from tunesmith.lm.folders import home

__all__ = ["file_sha256", "remember_sha256"]

_HASHES = "file-hashes.json"


def file_sha256(path: Path) -> str:
    """Return the sha256 of a file in hex. It is stored in `home()` by path, size and modification time.

    Stores nothing if `home()` cannot be used.

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
    if _stamp(path) == stamp:  # else another process wrote to the file meanwhile
        _remember(path, stamp, digest)
    return digest


def remember_sha256(path: Path, digest: str) -> None:
    """Store `digest`, which the caller has computed, for the next `file_sha256(path)`."""
    path = path.resolve()
    _remember(path, _stamp(path), digest)


def _stamp(path: Path) -> list[int]:
    status = path.stat()
    return [status.st_size, status.st_mtime_ns]


def _remembered() -> dict[str, Any]:
    try:
        found = json.loads((home() / _HASHES).read_bytes())
    except (OSError, ValueError, UsageError):  # the hashes can be computed again
        return {}
    return found if isinstance(found, dict) else {}


def _remember(path: Path, stamp: list[int], digest: str) -> None:
    """Store the hash. If two processes write at once, one hash is lost and is computed again."""
    rows = {name: row for name, row in _remembered().items() if Path(name).exists()}
    rows[str(path)] = {"sha256": digest, "stamp": stamp}
    with contextlib.suppress(OSError, UsageError):
        write_atomically(home() / _HASHES, json.dumps(rows, indent=1, sort_keys=True))
