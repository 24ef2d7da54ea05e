"""`manifest.json`: its canonical text, and the hashes that detect a changed byte."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from tunesmith.artifacts.migrations import check_version, migrated
from tunesmith.artifacts.schema import check_manifest
from tunesmith.data import content_key
from tunesmith.errors import ArtifactError, DataError, shown
from tunesmith.signatures import unique_object

__all__ = ["parse_json", "parse_manifest", "plain", "render", "seal", "sha256_of"]

# Entries outside the top-level `sha256`. Times and paid usage differ between two runs of one compile, so they are not
# part of its identity. They have their own hash, because a changed digit in them is still damage.
_APART = frozenset({"sha256", "unhashed", "unhashed_sha256"})

# A model reads the keys of a demo's values in their order, and the first rule of a router that fits decides.
_AS_GIVEN = frozenset({"inputs", "outputs", "spec"})
_SORTED = 2  # the last version whose keys were all sorted


def sha256_of(raw: bytes) -> str:
    """Return the sha256 of a file's bytes, in hex."""
    return hashlib.sha256(raw).hexdigest()


def plain(name: str, value: Any) -> Any:
    """Return `value` as JSON values.

    Raises:
        ArtifactError: it has no JSON form; `name` is its place in the manifest, for the message.
    """
    try:
        return json.loads(json.dumps(value, allow_nan=False), object_pairs_hook=unique_object)
    except (TypeError, ValueError, RecursionError) as error:
        raise ArtifactError(
            f"`{name}` cannot be stored in an artifact as JSON: {error}. Given: {shown(value)}. "
            "Use texts, finite numbers, lists and objects with text keys."
        ) from error


def seal(content: dict[str, Any], unhashed: dict[str, Any]) -> dict[str, Any]:
    """Return the manifest of `content` and `unhashed` with both hashes.

    Raises:
        ArtifactError: `content` is nested too deeply.
    """
    try:
        key = _content_sha256(content)
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f"The manifest cannot be written as JSON: {error}.") from error
    return {
        **content,
        "sha256": key,
        "unhashed": unhashed,
        "unhashed_sha256": content_key(unhashed, escaped=True),
    }


def render(manifest: dict[str, Any]) -> bytes:
    """Return the canonical text of a manifest: indented by 2, UTF-8, with a newline at the end.

    Keys are sorted, except inside the values of demos and the arguments of modules, whose order means something.

    Raises:
        ArtifactError: it has text that is not Unicode, or is nested too deeply.
    """
    try:
        text = json.dumps(_in_order(manifest), indent=2, ensure_ascii=False, allow_nan=False)
        return f"{text}\n".encode()
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f"The manifest cannot be written as UTF-8 JSON: {error}.") from error


def parse_manifest(raw: bytes, where: str) -> dict[str, Any]:
    """Return the manifest in `raw` as one of this version, after all checks that need no other file.

    Raises:
        ArtifactError: the manifest was changed or damaged, or has a newer version or another shape.
    """
    found = parse_json(raw, where)
    check_version(found, where)
    _check_bytes(found, raw, where)
    manifest = migrated(found, where)
    check_manifest(manifest, where)
    return manifest


def _content_sha256(content: Mapping[str, Any]) -> str:
    text = json.dumps(_in_order(content), allow_nan=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _in_order(manifest: Mapping[str, Any]) -> Any:
    return _sorted(manifest, frozenset() if manifest.get("schema_version") in range(1, _SORTED + 1) else _AS_GIVEN)


def _sorted(value: Any, as_given: frozenset[str]) -> Any:
    if isinstance(value, Mapping):
        return {name: one if name in as_given else _sorted(one, as_given) for name, one in sorted(value.items())}
    return [_sorted(one, as_given) for one in value] if isinstance(value, list) else value


def _check_bytes(manifest: dict[str, Any], raw: bytes, where: str) -> None:
    content = {name: value for name, value in manifest.items() if name not in _APART}
    try:
        found = {
            "content": (_content_sha256(content), "sha256"),
            "`unhashed` part": (content_key(manifest.get("unhashed"), escaped=True), "unhashed_sha256"),
        }
    except (DataError, ValueError, RecursionError) as error:
        raise ArtifactError(
            f"{where} was changed after it was written, or is nested too deeply: {error}. Restore the file, or compile "
            "again."
        ) from error
    for title, (key, name) in found.items():
        if key != manifest.get(name):
            raise ArtifactError(
                f"{where} was changed after it was written: the sha256 of its {title} differs. "
                "Restore the file, or compile again."
            )
    # The hashes cover values, so they miss a changed space, escape or spelling of a number. Requiring the canonical
    # text covers every byte, and makes equal artifacts equal files.
    if render(manifest) != raw:
        raise ArtifactError(
            f"{where} was changed after it was written: its layout is not tunesmith's. "
            "Restore the file, or compile again."
        )


def parse_json(raw: bytes, where: str) -> dict[str, Any]:
    """Return the object in a UTF-8 JSON file.

    Raises:
        ArtifactError: it is not a JSON object, or holds a key twice or a number that is not finite.
    """
    try:
        value = json.loads(raw.decode(), object_pairs_hook=unique_object, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise ArtifactError(
            f"{where} is not valid JSON of tunesmith: {error}. Restore the file, or compile again."
        ) from error
    if not isinstance(value, dict):
        raise ArtifactError(f"{where} must be a JSON object, not a {type(value).__name__}.")
    return value


def _refuse(name: str) -> float:
    raise ValueError(f"{name} is not JSON")
