"""`manifest.json`: its one text, and the hashes that make a changed byte visible."""

import hashlib
import json
from typing import Any

from tunesmith.artifacts.shape import check_shape
from tunesmith.data import canonical_json, content_key
from tunesmith.errors import ArtifactError, shown

__all__ = ["SCHEMA_VERSION", "parse_json", "parse_manifest", "plain", "render", "seal", "sha256_of"]

SCHEMA_VERSION = 1

# What the top-level `sha256` leaves out. Times and what was paid differ between two runs of one compile, so they may
# not be part of its identity; they have a hash of their own, because a changed digit in them is still damage.
_APART = frozenset({"sha256", "unhashed", "unhashed_sha256"})


def sha256_of(raw: bytes) -> str:
    """Return the sha256 of a file's bytes, in hex."""
    return hashlib.sha256(raw).hexdigest()


def plain(name: str, value: Any) -> Any:
    """Return `value` as the JSON values it will be read back as.

    Raises:
        ArtifactError: it has no JSON form; the message says which part of the manifest `name` is.
    """
    try:
        return json.loads(json.dumps(value, allow_nan=False), object_pairs_hook=_unique)
    except (TypeError, ValueError, RecursionError) as error:
        raise ArtifactError(
            f"`{name}` cannot be part of an artifact, which is JSON: {error}. Given: {shown(value)}. "
            "Use texts, finite numbers, lists and objects with text keys."
        ) from error


def seal(content: dict[str, Any], unhashed: dict[str, Any]) -> dict[str, Any]:
    """Return the manifest of `content` and `unhashed` with both hashes."""
    return {
        **content,
        "sha256": content_key(content, escaped=True),
        "unhashed": unhashed,
        "unhashed_sha256": content_key(unhashed, escaped=True),
    }


def render(manifest: dict[str, Any]) -> bytes:
    """Return the one text of a manifest: sorted, indented by 2, UTF-8, with a newline at the end.

    Raises:
        ArtifactError: it holds text that is not Unicode, or is nested too deeply.
    """
    try:
        text = json.dumps(manifest, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
        return f"{text}\n".encode()
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f"The manifest cannot be written as UTF-8 JSON: {error}.") from error


def parse_manifest(raw: bytes, where: str) -> dict[str, Any]:
    """Return the manifest that `raw` holds, every check made that needs no other file.

    Raises:
        ArtifactError: it was changed or damaged, or is of another version or shape.
    """
    manifest = parse_json(raw, where)
    version = manifest.get("schema_version")
    if type(version) is not int or version != SCHEMA_VERSION:
        raise ArtifactError(
            f"{where} has schema version {shown(version)}; this tunesmith reads version {SCHEMA_VERSION}. "
            "Use the tunesmith that wrote it, or compile again."
        )
    _check_bytes(manifest, raw, where)
    check_shape(manifest, where)
    return manifest


def _check_bytes(manifest: dict[str, Any], raw: bytes, where: str) -> None:
    content = {name: value for name, value in manifest.items() if name not in _APART}
    checks = (
        (content, manifest.get("sha256"), "content"),
        (manifest.get("unhashed"), manifest.get("unhashed_sha256"), "`unhashed` part"),
    )
    for value, promised, title in checks:
        if _key(value, where) != promised:
            raise ArtifactError(
                f"{where} was changed after it was written: its {title} does not have the sha256 it promises. "
                "Restore the file, or compile again."
            )
    # The hashes are over values, so a space, an escape or a second spelling of a number would pass them. The file must
    # be the one text of its content: then every byte is covered, and two equal artifacts are equal files.
    if render(manifest) != raw:
        raise ArtifactError(
            f"{where} was changed after it was written: it is not laid out as tunesmith writes it. "
            "Restore the file, or compile again."
        )


def _key(value: Any, where: str) -> str:
    try:
        return hashlib.sha256(canonical_json(value, escaped=True).encode()).hexdigest()
    except (ValueError, RecursionError) as error:
        raise ArtifactError(
            f"{where} was changed after it was written, or is nested too deeply: {error}. Restore the file, or compile "
            "again."
        ) from error


def parse_json(raw: bytes, where: str) -> dict[str, Any]:
    """Return the object that a UTF-8 JSON file holds.

    Raises:
        ArtifactError: it is no JSON object, or holds a key twice or a number that is not finite.
    """
    try:
        value = json.loads(raw.decode(), object_pairs_hook=_unique, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise ArtifactError(
            f"{where} is no JSON that tunesmith wrote: {error}. Restore the file, or compile again."
        ) from error
    if not isinstance(value, dict):
        raise ArtifactError(f"{where} holds {type(value).__name__}, not an object.")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {twice!r} is there twice")
    return found


def _refuse(name: str) -> float:
    raise ValueError(f"{name} is not JSON")
