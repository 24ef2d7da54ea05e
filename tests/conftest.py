"""What holds for every test: no network, an own home, nothing of the caller's environment."""

import ipaddress
import os
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from tunesmith.lm.home import home_path

_VARIABLES = ("TUNESMITH_LM", "TUNESMITH_SLOTS")
_LIVE = ("OLLAMA_HOST", "TUNESMITH_LIVE_MODEL")
_connect, _connect_ex = socket.socket.connect, socket.socket.connect_ex

hypothesis.settings.register_profile("tunesmith", deadline=None, derandomize=os.environ.get("CI") is not None)
hypothesis.settings.load_profile("tunesmith")


@pytest.fixture(scope="session", autouse=True)
def _own_home() -> Iterator[None]:
    """A home of the run's own, where only the weights are those of the machine."""
    models, before = home_path() / "models", os.environ.get("TUNESMITH_HOME")
    with tempfile.TemporaryDirectory(prefix="tunesmith-tests-") as folder:
        if models.is_dir():
            (Path(folder) / "models").symlink_to(models)
        os.environ["TUNESMITH_HOME"] = folder
        yield
        if before is None:
            del os.environ["TUNESMITH_HOME"]
        else:
            os.environ["TUNESMITH_HOME"] = before


@pytest.fixture(autouse=True)
def _own_environment(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in _VARIABLES:
        monkeypatch.delenv(name, raising=False)
    if request.node.get_closest_marker("live") is None:
        monkeypatch.setattr(socket.socket, "connect", _connect_here)
        monkeypatch.setattr(socket.socket, "connect_ex", _connect_ex_here)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs a server or much time, unless the environment names the one or allows the other."""
    for item in items:
        if item.get_closest_marker("live") is not None and any(os.environ.get(name) is None for name in _LIVE):
            item.add_marker(pytest.mark.skip(reason=f"needs {' and '.join(_LIVE)}"))
        if item.get_closest_marker("slow") is not None and not os.environ.get("TUNESMITH_SLOW"):
            item.add_marker(pytest.mark.skip(reason="runs in `make test-slow`"))


class NetworkUsed(Exception):
    """A test reached out of the machine. It is no `OSError`, lest it be taken for an outage."""


def _connect_here(self: socket.socket, address: Any) -> None:
    _refuse_others(self, address)
    _connect(self, address)


def _connect_ex_here(self: socket.socket, address: Any) -> int:
    _refuse_others(self, address)
    return _connect_ex(self, address)


def _refuse_others(connection: socket.socket, address: Any) -> None:
    if connection.family in {socket.AF_INET, socket.AF_INET6} and not _is_here(str(address[0])):
        raise NetworkUsed(f"a test connects to {address}; mark it `live` or use a double")


def _is_here(host: str) -> bool:
    if host in {"", "localhost"}:
        return True
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False
