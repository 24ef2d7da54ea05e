import http.server
import json
import shlex
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import click
import pytest

import tunesmith as ts
from tests.artifacts.export.prompts import program
from tunesmith.cli.verbs.serve import command
from tunesmith.errors import UsageError
from tunesmith.lm import Identity
from tunesmith.serve import check_address


@pytest.fixture
def artifact(tmp_path: Path) -> Any:
    return ts.save(tmp_path / "Sort it" / "artifact", program("lines", "Sort."))


def instructions(text: str) -> list[tuple[str, str]]:
    """Return the instructions of a Dockerfile."""
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(line.split(" ", 1)[0], line.split(" ", 1)[1]) for line in lines]


def test_it_starts_the_service_with_a_token_at_every_address(artifact: Any) -> None:
    exported = ts.export(artifact, to="docker", port=9000, lm="ollama/base", allow=("a:B", "c:D"))
    found = dict(instructions(exported.files["Dockerfile"]))
    name, verb, *arguments = json.loads(found["ENTRYPOINT"])
    with command.make_context(verb, arguments) as context:
        assert isinstance(context, click.Context)
        given = context.params
    assert (name, verb, given["artifacts"]) == ("tunesmith", "serve", ("/srv/artifact",))
    assert (given["host"], given["port"], given["spec"]) == ("0.0.0.0", 9000, "ollama/base")
    assert given["allow"] == ("a:B", "c:D")
    assert given["token_file"] == Path("/run/secrets/tunesmith-token")
    check_address(given["host"], "x" * 16)
    assert "('127.0.0.1', 9000," in found["HEALTHCHECK"]
    assert found["EXPOSE"] == "9000"


def test_the_health_check_asks_this_machine_whatever_proxy_a_container_is_given(artifact: Any) -> None:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Healthy) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        found = dict(instructions(ts.export(artifact, to="docker", port=server.server_port).files["Dockerfile"]))
        _, *check = json.loads(found["HEALTHCHECK"].partition("CMD ")[2])
        done = subprocess.run([sys.executable, "-S", *check], env={"http_proxy": "http://127.0.0.1:9"}, check=False)
        server.shutdown()
    assert done.returncode == 0


class Healthy(http.server.BaseHTTPRequestHandler):
    """Answers `/healthz`."""

    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/healthz" else 404)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def test_the_artifact_stands_beside_it_and_loads(artifact: Any, tmp_path: Path) -> None:
    ts.export(artifact, to="docker", out=tmp_path / "image")
    copied = [
        text.split()[1:]
        for name, text in instructions((tmp_path / "image" / "Dockerfile").read_text())
        if name == "COPY"
    ]
    assert [(tmp_path / "image" / source).is_dir() for source, _ in copied] == [True]
    assert ts.verify(tmp_path / "image" / "artifact").sha256 == artifact.sha256
    assert "docker build --tag sort-it ." in (tmp_path / "image" / "Dockerfile").read_text()


def test_the_service_does_not_run_as_root_and_can_read_its_files(artifact: Any) -> None:
    found = instructions(ts.export(artifact, to="docker").files["Dockerfile"])
    assert ("USER", "tunesmith") in found
    assert ("COPY", "--chown=tunesmith:tunesmith artifact /srv/artifact") in found


def test_the_embedded_model_is_pulled_when_the_image_is_built(tmp_path: Path) -> None:
    identity = Identity("llamacpp", "embedded", "ab" * 32).to_json()
    artifact = ts.save(tmp_path / "one", program(), lm_identity=identity)
    found = [text for name, text in instructions(ts.export(artifact, to="docker").files["Dockerfile"]) if name == "RUN"]
    assert "libgomp1" in found[1], "which xllamacpp needs and slim images lack"
    assert shlex.split(found[2])[3].startswith("tunesmith[serve,embedded]")
    assert found[3] == "tunesmith models pull embedded"


def test_what_it_cannot_write_is_refused(artifact: Any) -> None:
    with pytest.raises(UsageError, match="takes an artifact"):
        ts.export(program(), to="docker")
    with pytest.raises(UsageError, match="version such as"):
        ts.export(artifact, to="docker", python="3.12\nRUN x")
    with pytest.raises(UsageError, match="one name, path or address"):
        ts.export(artifact, to="docker", package="x' && rm")
