"""The mirror in PostgreSQL, on a server that the test starts if its programs are installed."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.compilers.test_study_mirror import compiled, shown, studies, study_of, warnings_of
from tests.compilers.worlds import world
from tunesmith.errors import UsageError
from tunesmith.lm import FunctionLM

PROGRAMS = {name: shutil.which(name) for name in ("initdb", "postgres")}
MISSING = [name for name, found in PROGRAMS.items() if found is None]

pytestmark = [
    pytest.mark.whole,
    pytest.mark.slow,
    pytest.mark.skipif(bool(MISSING), reason=f"PostgreSQL's programs are not on the PATH: {', '.join(MISSING)}"),
]


def another_user() -> dict[str, Any]:
    """PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        try:
            found = pwd.getpwnam(name)
        except KeyError:
            continue
        return {"user": found.pw_uid, "group": found.pw_gid, "extra_groups": []}
    pytest.skip("PostgreSQL does not run as root, and there is neither a user `postgres` nor `nobody`")


class Server:
    """One server on a socket file, without a port; `url` is Optuna's."""

    def __init__(self, folder: Path, user: dict[str, Any]) -> None:
        self._folder, self._user = folder, user
        self.url = f"postgresql+psycopg://tester:secret@/postgres?host={folder}"
        words = ["initdb", "-D", str(folder / "data"), "-U", "tester", "--no-sync", "--auth=trust", "--encoding=UTF8"]
        subprocess.run([*words, "--no-locale"], check=True, capture_output=True, cwd=folder, **user)
        self.start()

    def start(self) -> None:
        given = {"listen_addresses": "", "unix_socket_directories": self._folder, "fsync": "off"}
        options = [word for name, value in given.items() for word in ("-c", f"{name}={value}")]
        self._process = subprocess.Popen(
            ["postgres", "-D", str(self._folder / "data"), *options],
            stderr=subprocess.PIPE,
            text=True,
            cwd=self._folder,
            **self._user,
        )
        assert self._process.stderr is not None
        said = []
        for line in self._process.stderr:
            said.append(line)
            if "ready to accept connections" in line:
                return
        raise AssertionError("".join(said))

    def kill(self) -> None:
        self._process.send_signal(3)  # as after a crash: nobody is waited for
        self._process.communicate()


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    user = another_user()
    with tempfile.TemporaryDirectory(prefix="pg", dir="/tmp") as folder:  # the path of a socket is at most 107 bytes
        if user:
            os.chown(folder, user["user"], user["group"])
        server = Server(Path(folder), user)
        yield server
        server.kill()


def test_postgresql_holds_what_the_file_beside_a_run_holds(server: Server, tmp_path: Path) -> None:
    """Each run has a study of its own there, which a repetition writes anew."""
    here = compiled(tmp_path / "here")
    there = [compiled(tmp_path / name, mirror=server.url) for name in ("first", "second", "first")]

    found = {study.study_name.rpartition("-")[0]: study for study in studies(server.url)}
    assert sorted(found) == ["first", "second"]
    assert shown(found["first"]) == shown(found["second"]) == shown(study_of(tmp_path / "here"))
    assert {result.artifact.sha256 for result in there if result.artifact} == {here.artifact and here.artifact.sha256}
    assert not (tmp_path / "first" / "study.db").exists()
    assert "secret" not in "".join(path.read_text(errors="replace") for path in (tmp_path / "first").glob("*.json"))


def test_a_server_that_dies_costs_the_compile_its_mirror_and_no_more(
    server: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    answer, asked = world(), list[Any]()

    def reply(seen: Any) -> str:
        asked.append(seen)
        if len(asked) == 5:
            server.kill()
        return answer(seen)

    result = compiled(tmp_path / "third", FunctionLM(reply, version="1"), mirror=server.url)
    with pytest.raises(UsageError, match=r"cannot be mirrored to 'postgresql\+psycopg://\*\*\*@"):
        compiled(tmp_path / "fourth", mirror=server.url)
    server.start()
    alone = compiled(tmp_path / "alone", mirror=False)

    (said,) = warnings_of(caplog)
    assert said.startswith("The search is no longer mirrored to postgresql+psycopg://***@")
    assert result.artifact is not None
    assert alone.artifact is not None
    assert result.artifact.sha256 == alone.artifact.sha256
