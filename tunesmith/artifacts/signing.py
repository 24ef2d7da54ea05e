"""Sign an artifact, and check by whom it was signed.

The hashes of an artifact detect damage; a signature tells who wrote it. `signature.json` holds an ed25519 signature of
the bytes of `manifest.json`, which holds the hash of `state.json`: so it covers every byte of both.
"""

import base64
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tunesmith.artifacts.artifact import verified
from tunesmith.artifacts.folder import MANIFEST, SIGNATURE, locate, read_files, replace_folder
from tunesmith.artifacts.keys import fingerprint_of, is_signed_by, private_key, public_bytes, public_key
from tunesmith.artifacts.manifest import parse_json
from tunesmith.errors import ArtifactError, UsageError, shown

__all__ = ["Keys", "check_signature", "sign", "signature_file", "verify_signature"]

Keys = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]
"""A file with a public key, or several files."""

_ALGORITHM = "ed25519"
_PURPOSE = b"tunesmith artifact\n"  # so that a signature made for something else cannot pass for one of an artifact


def sign(path: str | os.PathLike[str], key: str | os.PathLike[str]) -> str:
    """Sign the artifact at `path` with a private key, and return the fingerprint of its public key.

    A signature that is there is replaced. Saving the artifact again removes it.

    Args:
        path: the artifact's folder.
        key: a file with an ed25519 key in PEM, as `openssl genpkey -algorithm ed25519` or `ssh-keygen -t ed25519`
            writes it, without a password.

    Raises:
        ArtifactError: the artifact is damaged, or the disk cannot be written. The old content is unchanged.
        UsageError: the key cannot be used, or the extra `sign` is not installed.
    """
    folder, private = locate(path), private_key(key)

    def fill(new: Path) -> None:
        files = read_files(folder)
        verified(folder, files)
        for name, raw in {**files, SIGNATURE: signature_file(files[MANIFEST], private)}.items():
            (new / name).write_bytes(raw)

    read_files(folder)  # an error where there is no artifact, before a folder is made
    replace_folder(folder, fill)
    return fingerprint_of(public_bytes(private))


def signature_file(manifest: bytes, private: Any) -> bytes:
    """Return the content of `signature.json` for the bytes of a manifest."""
    parts = {"key": public_bytes(private), "signature": private.sign(_PURPOSE + manifest)}
    content = {"algorithm": _ALGORITHM, **{name: base64.b64encode(raw).decode() for name, raw in parts.items()}}
    return f"{json.dumps(content, indent=2, sort_keys=True)}\n".encode()


def verify_signature(path: str | os.PathLike[str], keys: Keys) -> str:
    """Verify the artifact at `path` and that one of `keys` signed it; return the fingerprint of that key.

    Args:
        path: the artifact's folder.
        keys: a file with an ed25519 public key, or several: PEM, or the `.pub` file of OpenSSH.

    Returns:
        `SHA256:...`, as `ssh-keygen -l` shows it.

    Raises:
        ArtifactError: the artifact is damaged, not signed, or signed by somebody else.
        UsageError: a key cannot be used, or the extra `sign` is not installed.
    """
    folder = locate(path)
    files = read_files(folder)
    verified(folder, files)
    return check_signature(files, keys, folder)


def check_signature(files: Mapping[str, bytes], keys: Keys, folder: Path) -> str:
    """Check the signature among the bytes of an artifact's files, as in `verify_signature`.

    Raises:
        ArtifactError: there is none, it is damaged, or none of `keys` made it.
        UsageError: a key cannot be used.
    """
    trusted = [public_key(key) for key in _key_files(keys)]
    where = str(folder / SIGNATURE)
    if SIGNATURE not in files:
        raise ArtifactError(
            f"The artifact {str(folder)!r} is not signed, and only signed ones are trusted here. Sign it with "
            f"`tunesmith sign {folder} --key FILE`, or load it without `trusted`."
        )
    signer, signature = _parts(parse_json(files[SIGNATURE], where), where)
    for key in trusted:
        if public_bytes(key) == signer:
            if is_signed_by(key, signature, _PURPOSE + files[MANIFEST]):
                return fingerprint_of(signer)
            raise ArtifactError(
                f"The artifact {str(folder)!r} was changed after it was signed by {fingerprint_of(signer)}. Restore "
                "it, or sign it again if you know the change."
            )
    known = ", ".join(fingerprint_of(public_bytes(key)) for key in trusted)
    raise ArtifactError(
        f"The artifact {str(folder)!r} was signed by {fingerprint_of(signer)}, which is not a trusted key. "
        f"Trusted: {known}."
    )


def _key_files(keys: Keys) -> list[Any]:
    given = [keys] if isinstance(keys, str | os.PathLike) else list(keys) if isinstance(keys, Sequence) else []
    if not given:
        raise UsageError(f"Trusted keys are given as one file or several, in a list. Given: {shown(keys)}.")
    return given


def _parts(content: Mapping[str, Any], where: str) -> tuple[bytes, bytes]:
    """Return the public key and the signature that `signature.json` holds."""
    try:
        key, signature = (base64.b64decode(content[name], validate=True) for name in ("key", "signature"))
    except (KeyError, TypeError, ValueError):
        key = signature = b""
    if set(content) != {"algorithm", "key", "signature"} or (len(key), len(signature)) != (32, 64):
        raise ArtifactError(f"{where} is not a signature of tunesmith. Sign the artifact again.")
    if content["algorithm"] != _ALGORITHM:
        raise ArtifactError(
            f"{where} was made with {shown(content['algorithm'])}; this tunesmith knows {_ALGORITHM!r}. Sign it again."
        )
    return key, signature
