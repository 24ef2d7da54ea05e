"""A signature tells who wrote an artifact: it covers every byte, and only a trusted key opens it."""

import json
import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from tests.artifacts.programs import one_step, saved
from tests.each import each
from tunesmith.artifacts import load, new_key, save, sign, verify, verify_signature
from tunesmith.errors import ArtifactError, UsageError

pytest.importorskip("cryptography")


@pytest.fixture
def key(tmp_path: Path) -> Path:
    new_key(tmp_path / "key.pem")
    return tmp_path / "key.pem"


@pytest.fixture
def public(key: Path) -> Path:
    return key.with_name("key.pem.pub")


def test_a_signed_artifact_is_opened_by_the_key_of_its_signer(tmp_path: Path, key: Path, public: Path) -> None:
    artifact = save(tmp_path / "a", one_step(), sign=key)
    other = new_key(tmp_path / "other.pem")

    assert load(artifact.path, trusted=[other, public]).artifact.sha256 == artifact.sha256
    assert verify_signature(artifact.path, public).startswith("SHA256:")
    assert load(artifact.path), "without `trusted`, nobody has to have signed"
    with pytest.raises(ArtifactError, match="is not a trusted key"):
        load(artifact.path, trusted=other)


def test_signing_changes_neither_files_nor_identity(tmp_path: Path, key: Path, public: Path) -> None:
    artifact = saved(tmp_path / "a")
    before = {file.name: file.read_bytes() for file in artifact.path.iterdir()}

    fingerprint = sign(artifact.path, key)

    after = {file.name: file.read_bytes() for file in artifact.path.iterdir()}
    assert {name: raw for name, raw in after.items() if name != "signature.json"} == before
    assert verify(artifact.path).sha256 == artifact.sha256
    assert verify_signature(artifact.path, [public]) == fingerprint
    assert os.listdir(tmp_path / "a") != []
    assert {path.name for path in tmp_path.iterdir()} == {"a", "key.pem", "key.pem.pub"}


def test_an_artifact_that_is_saved_again_has_lost_its_signature(tmp_path: Path, key: Path, public: Path) -> None:
    save(tmp_path / "a", one_step(), sign=key)
    saved(tmp_path / "a")
    with pytest.raises(ArtifactError, match="is not signed"):
        load(tmp_path / "a", trusted=public)


def test_a_signature_of_another_artifact_is_refused(tmp_path: Path, key: Path, public: Path) -> None:
    saved(tmp_path / "a", sign=key)
    other = saved(tmp_path / "b", seed=7)
    shutil.copy(tmp_path / "a" / "signature.json", other.path)
    assert verify(other.path)
    with pytest.raises(ArtifactError, match="changed after it was signed"):
        load(other.path, trusted=public)


@each(
    "change",
    [
        {"algorithm": "none"},
        {"signature": ""},
        {"signature": 3},
        {"signature": "AAAA"},
        {"signature": "A" * 88},
        {"key": None},
        {"more": 1},
    ],
)
def test_a_changed_signature_is_refused(tmp_path: Path, key: Path, public: Path, change: dict[str, object]) -> None:
    file = saved(tmp_path / "a", sign=key).path / "signature.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **change}))
    with pytest.raises(ArtifactError, match=r"[Ss]ign"):
        load(tmp_path / "a", trusted=public)


def test_a_signature_that_is_a_link_or_too_large_is_refused(tmp_path: Path, key: Path) -> None:
    file = saved(tmp_path / "a", sign=key).path / "signature.json"
    os.truncate(file, 2**40)
    with pytest.raises(ArtifactError, match="larger than 4096 bytes"):
        verify(tmp_path / "a")
    file.unlink()
    file.symlink_to(key)
    with pytest.raises(ArtifactError, match="it is a link"):
        verify(tmp_path / "a")


def test_a_damaged_artifact_is_not_signed(tmp_path: Path, key: Path) -> None:
    artifact = saved(tmp_path / "a")
    (artifact.path / "state.json").write_text("{}")
    with pytest.raises(ArtifactError, match="changed after it was written"):
        sign(artifact.path, key)
    with pytest.raises(ArtifactError, match="no artifact"):
        sign(tmp_path / "nowhere", key)
    assert not (tmp_path / "nowhere").exists()


def test_keys_of_openssl_and_of_openssh_are_read(tmp_path: Path) -> None:
    made = []
    if shutil.which("openssl"):
        subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", "ssl"], cwd=tmp_path, check=True)
        subprocess.run(["openssl", "pkey", "-in", "ssl", "-pubout", "-out", "ssl.pub"], cwd=tmp_path, check=True)
        made.append("ssl")
    if shutil.which("ssh-keygen"):
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "ssh"]
        subprocess.run(command, cwd=tmp_path, check=True)
        made.append("ssh")
    if not made:
        pytest.skip("neither openssl nor ssh-keygen is here")
    for name in made:
        fingerprint = sign(saved(tmp_path / "a").path, tmp_path / name)
        assert verify_signature(tmp_path / "a", tmp_path / f"{name}.pub") == fingerprint
    if "ssh" in made:
        shown = subprocess.run(["ssh-keygen", "-lf", tmp_path / "ssh.pub"], check=True, capture_output=True, text=True)
        assert shown.stdout.split()[1] == fingerprint


def test_a_new_key_is_private_and_never_replaces_one(tmp_path: Path, key: Path) -> None:
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    with pytest.raises(UsageError, match="never replaced"):
        new_key(key)
    key.unlink()
    with pytest.raises(UsageError, match=r"key\.pem\.pub"):
        new_key(key)


def test_what_is_no_key_says_how_to_make_one(tmp_path: Path, key: Path, public: Path) -> None:
    (tmp_path / "junk").write_text("junk")
    artifact = saved(tmp_path / "a", sign=key)
    for wrong, match in (
        (tmp_path / "junk", "genpkey"),
        (tmp_path / "none", "No such file"),
        (public, "is a public key"),
    ):
        with pytest.raises(UsageError, match=match):
            sign(artifact.path, wrong)
    for wrong, match in ((tmp_path / "junk", "pubout"), (key, "is a private key"), ([], "one file or several")):
        with pytest.raises(UsageError, match=match):
            load(artifact.path, trusted=wrong)
    assert not (saved(tmp_path / "b").path / "signature.json").exists()
