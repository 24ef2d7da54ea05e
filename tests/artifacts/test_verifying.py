import hashlib
import json
import os
import shutil
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.artifacts.programs import DEMO, forge, improved, one_step, saved
from tests.scale import scaled
from tunesmith.artifacts import load, verify
from tunesmith.artifacts.folder import LARGEST
from tunesmith.errors import ArtifactError

MANIFEST, STATE = "manifest.json", "state.json"


@pytest.fixture(scope="module")
def artifact(tmp_path_factory):
    """A small artifact; a test that changes it puts it back."""
    return saved(tmp_path_factory.mktemp("artifacts") / "a")


@pytest.fixture
def folder(artifact, tmp_path):
    """The folder of a copy that a test may change."""
    return shutil.copytree(artifact.path, tmp_path / "a")


def positions(size: int) -> list[int]:
    """Return every position, or evenly spread ones, the first and the last among them."""
    count = min(size, max(scaled(size), 24))
    return sorted({round(i * (size - 1) / (count - 1)) for i in range(count)})


@pytest.mark.parametrize("name", [MANIFEST, STATE])
def test_any_changed_byte_is_refused(artifact, name):
    file = artifact.path / name
    raw = file.read_bytes()
    try:
        for at in positions(len(raw)):
            for changed in {raw[at] ^ 1, raw[at] ^ 0x20, 0xFF} - {raw[at]}:
                file.write_bytes(raw[:at] + bytes([changed]) + raw[at + 1 :])
                with pytest.raises(ArtifactError):
                    verify(artifact.path)
    finally:
        file.write_bytes(raw)
    assert verify(artifact.path).sha256 == artifact.sha256


@pytest.mark.parametrize("name", [MANIFEST, STATE])
def test_any_byte_too_many_or_too_few_is_refused(artifact, name):
    file = artifact.path / name
    raw = file.read_bytes()
    try:
        for at in [*positions(len(raw)), len(raw)]:
            for changed in (raw[:at] + b" " + raw[at:], raw[:at], raw[:at] + raw[at + 1 :]):
                if changed == raw:
                    continue
                file.write_bytes(changed)
                with pytest.raises(ArtifactError):
                    load(artifact.path)
    finally:
        file.write_bytes(raw)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"calls": 7', '"calls": 8'),
        ('"test_opened": 1', '"test_opened": 0'),
        ("03:04:05Z", "03:04:06Z"),
        ('"verdict": "ship"', '"verdict":  "ship"'),
        ('"verdict": "ship"', '"verdict": "s\\u0068ip"'),
        ('"compiled": 0.5', '"compiled": 5e-1'),
        ('"seed": 0', '"seed": -0'),
        ("\n", "\r\n"),
    ],
)
def test_a_change_that_json_forgives_is_refused(folder, old, new):
    text = (folder / MANIFEST).read_text()
    assert old in text
    (folder / MANIFEST).write_bytes(text.replace(old, new).encode())
    with pytest.raises(ArtifactError, match="changed after"):
        verify(folder)


@settings(max_examples=scaled(1000), deadline=None)
@given(raw=st.binary(max_size=200))
def test_arbitrary_bytes_are_refused_with_an_artifact_error(artifact, raw):
    for name in (MANIFEST, STATE):
        file = artifact.path / name
        before = file.read_bytes()
        try:
            file.write_bytes(raw)
            with pytest.raises(ArtifactError):
                verify(artifact.path)
        finally:
            file.write_bytes(before)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"schema_version": 1, "schema_version": 1}', "twice"),
        ('{"schema_version": 1, "seed": NaN}', "NaN"),
        ('{"schema_version": 1, "seed": -Infinity}', "Infinity"),
        ('{"schema_version": 1, "seed": 1e999}', "changed"),
        ('{"schema_version": 1, "seed": ' + "9" * 5000 + "}", "not valid JSON"),
        ("[" * 200_000, "not valid JSON"),
        ('{"a":' * 200_000, "not valid JSON"),
        ("[]", "must be a JSON object"),
        ("", "not valid JSON"),
        ("\ufeff{}", "not valid JSON"),
    ],
    ids=["twice", "nan", "infinity", "overflow", "digits", "deep", "deeper", "list", "empty", "bom"],
)
def test_json_of_another_kind_is_refused(folder, text, message):
    (folder / MANIFEST).write_text(text, encoding="utf-8")
    with pytest.raises(ArtifactError, match=message):
        verify(folder)


@pytest.mark.parametrize("depth", [100, 400, 900, 5000])
def test_deep_nesting_is_an_artifact_error_or_fine(folder, depth):
    manifest = json.loads((folder / MANIFEST).read_text())
    deep = "[" * depth + "]" * depth
    text = json.dumps({**manifest, "extra": {"deep": "HERE"}}).replace('"HERE"', deep)
    (folder / MANIFEST).write_text(text)
    with pytest.raises(ArtifactError):
        verify(folder)


@pytest.mark.parametrize("version", [0, -1, "1", 1.0, True, None])
def test_what_is_no_schema_version_is_refused(folder, version):
    forge(folder, lambda manifest: manifest.update(schema_version=version))
    with pytest.raises(ArtifactError, match=r"no schema version.*reads the versions 1 to 3"):
        verify(folder)


@pytest.mark.parametrize("version", [4, 10**30])
def test_a_newer_schema_version_is_refused_by_name_with_what_to_do(folder, version):
    forge(folder, lambda manifest: manifest.update(schema_version=version, surprise=1))
    with pytest.raises(ArtifactError, match=rf"schema version {version}, of a newer tunesmith.*Update it"):
        verify(folder)


def _drop(name):
    return lambda manifest: manifest.pop(name)


def _set(value, *path):
    def change(manifest):
        *way, last = path
        for step in way:
            manifest = manifest[step]
        manifest[last] = value

    return change


PART = ("candidate", "parts", "predict")


@pytest.mark.parametrize(
    "change",
    [
        _drop("lm"),
        _drop("program"),
        _drop("state_sha256"),
        _set(1, "surprise"),
        _set(1, "program", "surprise"),
        _set(1, "unhashed", "surprise"),
        _set(1, *PART, "surprise"),
        _set("3", "seed"),
        _set({"valset": ["0" * 11]}, "selected_on"),
        _set({"valset": "0" * 12}, "selected_on"),
        _set(None, "selected_on"),
        _set(True, "seed"),
        _set({}, "notes"),
        _set(1.5, "verdict"),
        _set({}, "program", "predictors"),
        _set("no class", "program", "class"),
        _set("../../evil:Class", "program", "class"),
        _set("a:b:c", "program", "class"),
        _set("os:system()", "program", "class"),
        _set("os:system", "adapter"),
        _set("0" * 63, "program", "predictors", "predict", "fingerprint"),
        _set([], "program", "predictors", "predict", "signature", "fields"),
        _set("__class__", "program", "predictors", "predict", "signature", "fields", 0, "name"),
        _set("kind", "program", "predictors", "predict", "signature", "fields", 0, "name"),
        _set({"api_base": "http://elsewhere"}, "program", "predictors", "predict", "config"),
        _set({"temperature": {}}, "program", "predictors", "predict", "config"),
        _set({}, "candidate", "parts"),
        _set({}, "baseline", "parts"),
        _set({"temperature": 1}, "sampling"),
        _set("another", *PART, "instruction"),
        _set([], *PART, "demos"),
        _set("Cusco", *PART, "demos", 0, "outputs", "answer"),
        _set({"question": "x", "intruder": "y"}, *PART, "demos", 0, "inputs"),
        _set({}, *PART, "demos", 0, "outputs"),
        _set(None, *PART, "demos", 0, "augmented"),
    ],
)
def test_a_manifest_of_another_shape_is_refused_though_its_hashes_fit(folder, change):
    forge(folder, change)
    with pytest.raises(ArtifactError):
        verify(folder)


def _forge_state(folder: Path, change) -> None:
    state = json.loads((folder / STATE).read_text())
    change(state)
    raw = json.dumps(state).encode()
    (folder / STATE).write_bytes(raw)
    forge(folder, _set(hashlib.sha256(raw).hexdigest(), "state_sha256"))


@pytest.mark.parametrize(
    "change",
    [
        _drop("predict"),
        _drop("metadata"),
        _set({"model": "x", "api_base": "http://elsewhere"}, "predict", "lm"),
        _set({"lm": {"model": "x"}}, "another"),
        _set([], "another"),
        _set("Answer at length.", "predict", "signature", "instructions"),
        _set([], "predict", "demos"),
        _set("Cusco", "predict", "demos", 0, "answer"),
        _set(1, "predict", "demos", 0, "intruder"),
        _set([1], "predict", "traces"),
        _set([{}], "predict", "train"),
        _set(1, "predict", "surprise"),
        _set([], "predict", "signature", "fields"),
        _set(None, "predict", "signature"),
    ],
)
def test_a_state_that_disagrees_with_the_manifest_is_refused_though_its_hash_fits(folder, change):
    _forge_state(folder, change)
    with pytest.raises(ArtifactError, match="differs from the manifest"):
        verify(folder)


def test_the_forgeries_of_these_tests_would_pass_without_a_change(tmp_path):
    artifact = saved(tmp_path / "a")
    forge(artifact.path, lambda manifest: None)
    assert verify(artifact.path).sha256 == artifact.sha256
    _forge_state(artifact.path, lambda state: None)
    assert verify(artifact.path)


@pytest.mark.parametrize("name", [MANIFEST, STATE])
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(ArtifactError, match=f"has no {name}"):
        verify(folder)


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(ArtifactError, match=r"no artifact at .*nowhere"):
        verify(tmp_path / "nowhere")


def test_a_file_is_no_artifact(folder):
    with pytest.raises(ArtifactError, match="cannot be read"):
        verify(folder / MANIFEST)


@pytest.mark.parametrize("name", [MANIFEST, STATE])
@pytest.mark.parametrize("kind", ["link", "folder", "pipe"])
def test_a_file_must_be_a_plain_file(folder, tmp_path, name, kind):
    file = folder / name
    os.rename(file, tmp_path / name)
    if kind == "link":
        file.symlink_to(tmp_path / name)
    elif kind == "folder":
        file.mkdir()
    else:
        os.mkfifo(file)
    with pytest.raises(ArtifactError, match=f"^'{name}' of the artifact .* cannot be read"):
        verify(folder)


@pytest.mark.parametrize("name", [MANIFEST, STATE])
def test_a_file_without_end_is_not_read(folder, name):
    os.truncate(folder / name, 2**40)  # sparse: it takes no room
    with pytest.raises(ArtifactError, match="larger than"):
        verify(folder)


def test_a_program_that_is_too_large_is_not_saved_and_the_old_one_stays(tmp_path, monkeypatch):
    old = saved(tmp_path / "a")
    monkeypatch.setitem(LARGEST, STATE, 100)
    with pytest.raises(ArtifactError, match=r"larger than 100 bytes.*Keep fewer demos"):
        saved(tmp_path / "a", seed=5)
    monkeypatch.undo()
    assert verify(tmp_path / "a").sha256 == old.sha256


def test_the_folder_itself_may_be_a_link(tmp_path):
    artifact = saved(tmp_path / "v7")
    (tmp_path / "current").symlink_to("v7")
    assert verify(tmp_path / "current").sha256 == artifact.sha256


def test_the_files_may_be_copied_anywhere(tmp_path):
    artifact = saved(tmp_path / "a")
    os.rename(artifact.path, tmp_path / "b")
    assert verify(tmp_path / "b").sha256 == artifact.sha256


def test_a_reader_always_sees_one_whole_artifact_while_it_is_replaced(tmp_path):
    folder, program = tmp_path / "a", one_step()
    candidate = improved(program, DEMO)
    known = {saved(folder, program, candidate, seed=seed).sha256 for seed in (0, 1)}
    done = threading.Event()

    def write() -> None:
        try:
            for turn in range(scaled(200)):
                saved(folder, program, candidate, seed=turn % 2)
        finally:
            done.set()

    writer = threading.Thread(target=write)
    writer.start()
    seen = 0
    while not done.is_set():
        assert verify(folder).sha256 in known
        seen += 1
    writer.join()
    assert seen > 5


def test_saves_at_once_to_one_name_leave_one_whole_artifact(tmp_path):
    failed = []

    def write(seed: int) -> None:
        try:
            for _ in range(3):
                saved(tmp_path / "a", seed=seed)
        except ArtifactError as error:
            failed.append(error)

    threads = [threading.Thread(target=write, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert verify(tmp_path / "a").manifest["seed"] in range(4)
    assert os.listdir(tmp_path) == ["a"]


def test_the_folder_of_a_run_names_the_artifact_inside(artifact, tmp_path):
    inside = shutil.copytree(artifact.path, tmp_path / "first" / "artifact")

    with pytest.raises(ArtifactError, match=f"is not an artifact, but contains one. Give '{inside}'"):
        load(tmp_path / "first")
