"""The built wheel, installed in an environment of its own: what a user gets who never saw this repository."""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

pytestmark = pytest.mark.wheel

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of a fresh environment with the wheel; the dependencies are those of the environment that tests run in."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    shutil.copytree(ROOT, source, ignore=shutil.ignore_patterns(".*", "runs", "build", "dist", "*.egg-info"))
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run(
        [*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", folder, source], check=True, timeout=120
    )
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "venv"], check=True, timeout=120)
    python = folder / "venv" / "bin" / "python"
    subprocess.run([*pip, "--python", python, "install", "--no-deps", *folder.glob("*.whl")], check=True, timeout=120)
    packages = next((folder / "venv" / "lib").glob("python*/site-packages"))
    # Not processed for `.pth` files in turn, so the editable install there stays out of sight.
    (packages / "dependencies.pth").write_text(sysconfig.get_paths()["purelib"] + "\n", encoding="utf-8")
    return python


def test_it_is_the_wheel_that_runs(installed: Path, tmp_path: Path) -> None:
    code = "import tunesmith; print(tunesmith.__file__)"
    found = subprocess.run([installed, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert str(installed.parents[1]) in found.stdout


def test_the_demos_data_is_in_it(installed: Path, tmp_path: Path) -> None:
    code = (
        "from tunesmith.experiments.demo import demo_data, demo_splits\n"
        "print(demo_data()); print(len(demo_splits().test))\n"
    )
    found = subprocess.run([installed, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    path, count = found.stdout.split()
    assert str(installed.parents[1]) in path
    assert count == "200"


def test_the_console_script_starts(installed: Path, tmp_path: Path) -> None:
    found = subprocess.run(
        [installed.with_name("tunesmith"), "--version"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert "0.1.0" in found.stdout


@pytest.mark.timeout(1300)
def test_every_verb_works_and_fails_in_an_empty_folder(installed: Path) -> None:
    found = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "tests/cli/test_every_verb.py", "-k", "process_of_its_own"],
        cwd=ROOT,
        env={**os.environ, "TUNESMITH_TEST_PYTHON": str(installed)},
        capture_output=True,
        text=True,
        check=False,
        timeout=1200,
    )
    assert found.returncode == 0, found.stdout[-4000:]
    assert " passed" in found.stdout
