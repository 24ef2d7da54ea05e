"""The checks of an artifact's files, one by one."""

from pathlib import Path

import pytest

from tests.artifacts.programs import forge, saved
from tests.each import each
from tunesmith.artifacts import inspect_files, new_key, sign
from tunesmith.errors import ArtifactError


def statuses(path: Path, *keys: Path) -> dict[str, str]:
    checks, _ = inspect_files(path, keys or None)
    return {check.name: check.status for check in checks}


PASS = {"files": "pass", "manifest": "pass", "state": "pass", "signature": "not checked"}


def test_a_whole_artifact_passes_and_is_returned(tmp_path: Path) -> None:
    made = saved(tmp_path / "a")
    checks, found = inspect_files(made.path)

    assert {check.name: check.status for check in checks} == PASS
    assert found is not None
    assert found.sha256 == made.sha256
    assert "It is not signed" in str(checks[-1])


@each(
    ("name", "harm", "wanted"),
    [
        ("manifest.json", lambda raw: raw.replace(b"ship", b"shop"), {"manifest": "fail", "state": "not checked"}),
        ("state.json", lambda raw: raw + b" ", {"state": "fail"}),
        ("manifest.json", lambda raw: b"", {"manifest": "fail", "state": "not checked"}),
        ("state.json", None, {"files": "fail", "manifest": "not checked", "state": "not checked"}),
    ],
)
def test_the_check_that_fails_is_named(tmp_path: Path, name: str, harm, wanted: dict[str, str]) -> None:  # type: ignore[no-untyped-def]
    file = saved(tmp_path / "a").path / name
    if harm is None:
        file.unlink()
    else:
        file.write_bytes(harm(file.read_bytes()))
    assert statuses(file.parent) == {**PASS, **wanted}
    assert inspect_files(file.parent)[1] is None


def test_a_manifest_of_another_version_fails(tmp_path: Path) -> None:
    made = saved(tmp_path / "a")
    forge(made.path, lambda manifest: manifest.update(schema_version=99))
    checks, _ = inspect_files(made.path)
    assert ("manifest", "fail") in [(check.name, check.status) for check in checks]
    assert "99" in checks[1].text


def test_the_signature_is_checked_with_the_keys_that_are_given(tmp_path: Path) -> None:
    pytest.importorskip("cryptography")
    made, ours, theirs = saved(tmp_path / "a"), tmp_path / "ours.pem", tmp_path / "theirs.pem"
    public, other = Path(new_key(ours)), Path(new_key(theirs))
    assert statuses(made.path, public)["signature"] == "fail"
    sign(made.path, ours)
    assert statuses(made.path, other, public) == {**PASS, "signature": "pass"}
    assert statuses(made.path, other)["signature"] == "fail"
    assert statuses(made.path) == PASS


def test_where_there_is_no_artifact_nothing_is_checked(tmp_path: Path) -> None:
    for path in (tmp_path / "nowhere", saved(tmp_path / "run" / "artifact").path.parent):
        with pytest.raises(ArtifactError):
            inspect_files(path)
