"""Ed25519 keys in files, as `openssl genpkey -algorithm ed25519` and `ssh-keygen -t ed25519` write them."""

import base64
import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunesmith.errors import UsageError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

__all__ = ["fingerprint_of", "is_signed_by", "new_key", "private_key", "public_bytes", "public_key"]

_SSH = b"ssh-ed25519"
_LARGEST = 2**16  # bytes of a key file
_PRIVATE, _PUBLIC = "a private key", "a public key"
_HOW = {
    _PRIVATE: "`tunesmith sign --new-key FILE` makes one, and so do `openssl genpkey -algorithm ed25519 -out FILE` and "
    "`ssh-keygen -t ed25519 -f FILE`",
    _PUBLIC: "`openssl pkey -in PRIVATE -pubout -out FILE` writes it, or `ssh-keygen -y -f PRIVATE > FILE`",
}


def private_key(path: str | os.PathLike[str]) -> "Ed25519PrivateKey":
    """Return the private key in a file in PEM, of OpenSSL or OpenSSH.

    Raises:
        UsageError: it is not an ed25519 key without a password, cannot be read, or the extra `sign` is not installed.
    """
    raw, serialization, kinds = _read(path, _PRIVATE), _serialization(), _kinds()
    load = (
        serialization.load_ssh_private_key
        if b"BEGIN OPENSSH PRIVATE KEY" in raw
        else serialization.load_pem_private_key
    )
    return _parsed(path, _PRIVATE, lambda: load(raw, password=None), kinds.Ed25519PrivateKey)


def public_key(path: str | os.PathLike[str]) -> "Ed25519PublicKey":
    """Return the public key in a file: PEM, or the one line of OpenSSH.

    Raises:
        UsageError: it is not an ed25519 key, cannot be read, or the extra `sign` is not installed.
    """
    raw, serialization, kinds = _read(path, _PUBLIC), _serialization(), _kinds()
    load = serialization.load_ssh_public_key if raw.startswith(_SSH) else serialization.load_pem_public_key
    return _parsed(path, _PUBLIC, lambda: load(raw), kinds.Ed25519PublicKey)


def public_bytes(key: "Ed25519PrivateKey | Ed25519PublicKey") -> bytes:
    """Return the 32 bytes of a public key, or of the one that belongs to a private key."""
    public: Any = key.public_key() if isinstance(key, _kinds().Ed25519PrivateKey) else key
    return bytes(public.public_bytes_raw())


def is_signed_by(key: "Ed25519PublicKey", signature: bytes, message: bytes) -> bool:
    """Return whether `signature` of `message` was made with the private key of `key`."""
    from cryptography.exceptions import InvalidSignature

    try:
        key.verify(signature, message)
    except InvalidSignature:
        return False
    return True


def fingerprint_of(key: bytes) -> str:
    """Return the fingerprint of a public key's 32 bytes, as `ssh-keygen -l` shows it: `SHA256:...`."""
    blob = b"".join(len(part).to_bytes(4, "big") + part for part in (_SSH, key))
    return f"SHA256:{base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip('=')}"


def new_key(path: str | os.PathLike[str]) -> Path:
    """Write a new private key to `path`, which only its owner can read, and its public key to `path` with `.pub`.

    Raises:
        UsageError: one of the files exists or cannot be written, or the extra `sign` is not installed.
    """
    serialization, key = _serialization(), _kinds().Ed25519PrivateKey.generate()
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    place = Path(path).absolute()
    other = place.with_name(f"{place.name}.pub")
    try:
        if other.exists():
            raise FileExistsError(17, "File exists", str(other))
        for file, text, mode in ((place, private, 0o600), (other, public, 0o644)):
            with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as opened:
                opened.write(text)
    except OSError as error:
        raise UsageError(
            f"The key cannot be written to {str(error.filename or place)!r}: {error.strerror}. Give another file; an "
            "existing key is never replaced."
        ) from error
    return other


def _read(path: str | os.PathLike[str], what: str) -> bytes:
    try:
        with Path(path).open("rb") as file:
            raw = file.read(_LARGEST + 1)
    except (OSError, ValueError, TypeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"The file {str(path)!r} of {what} cannot be read: {reason}.") from error
    if what == _PRIVATE and (b"PUBLIC KEY" in raw or raw.startswith(_SSH)):
        raise UsageError(f"{str(path)!r} is a public key. Signing needs the private one. {_HOW[_PRIVATE]}.")
    if what == _PUBLIC and b"PRIVATE KEY" in raw:
        raise UsageError(f"{str(path)!r} is a private key. Give its public key: {_HOW[_PUBLIC]}.")
    return raw


def _parsed(path: str | os.PathLike[str], what: str, load: Any, kind: type) -> Any:
    from cryptography.exceptions import UnsupportedAlgorithm

    try:
        key = load()
    except TypeError as error:  # a password is needed
        raise UsageError(f"The key {str(path)!r} has a password. Give {what} without one.") from error
    except (ValueError, UnsupportedAlgorithm) as error:  # cryptography's reasons speak of ASN.1 and base64
        raise UsageError(f"{str(path)!r} is not {what} in PEM or of OpenSSH. {_HOW[what]}.") from error
    if not isinstance(key, kind):
        raise UsageError(f"{str(path)!r} is not an ed25519 key, but one of another kind. {_HOW[what]}.")
    return key


def _serialization() -> Any:
    try:
        from cryptography.hazmat.primitives import serialization
    except ImportError as error:
        raise UsageError(
            "Signatures need the extra `sign`, which is not installed: pip install 'tunesmith[sign]'."
        ) from error
    return serialization


def _kinds() -> Any:
    from cryptography.hazmat.primitives.asymmetric import ed25519

    return ed25519
