"""Addresses of Ollama servers, read as the client reads them."""

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.each import each
from tests.protocol import FakeModel, ProtocolServer
from tests.scale import scaled
from tunesmith.errors import UsageError
from tunesmith.lm import lm
from tunesmith.lm.connection import is_loopback
from tunesmith.lm.engines.ollama.engine import _connect
from tunesmith.lm.engines.ollama.host import server_address

ADDRESSES = [
    "", "1.2.3.4", ":56789", "1.2.3.4:56789", "http://1.2.3.4", "https://1.2.3.4", "https://1.2.3.4:56789",
    "example.com", "example.com:56789", "http://example.com", "https://example.com", "example.com/",
    "example.com:56789/path", "https://example.com:56789/path/", "[0001:002:003:0004::1]",
    "[0001:002:003:0004::1]:56789", "http://[0001:002:003:0004::1]", "http://[::1]:56789/path/", "0.0.0.0",
]  # fmt: skip


def clients_own(host: str) -> str:
    """The base URL of the real client; httpx leaves default ports out."""
    client = _connect(host, httpx.MockTransport(lambda request: httpx.Response(200)))
    return str(client._client.base_url).rstrip("/")


@each("host", ADDRESSES)
def test_an_address_is_the_clients(host: str) -> None:
    assert str(httpx.URL(server_address(host))).rstrip("/") == clients_own(host)
    assert clients_own(server_address(host)) == clients_own(host)


@settings(max_examples=max(20, scaled(100)))
@given(
    st.sampled_from(["", "http://", "https://"]),
    st.sampled_from(["a.b", "10.0.0.1", "localhost", "[::1]"]),
    st.none() | st.integers(1, 65535),
    st.sampled_from(["", "/", "/p", "/p/q/"]),
)
def test_any_address_is_the_clients(scheme: str, name: str, port: int | None, path: str) -> None:
    host = f"{scheme}{name}{'' if port is None else f':{port}'}{path}"
    assert str(httpx.URL(server_address(host))).rstrip("/") == clients_own(host)


def test_without_a_host_the_environment_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OLLAMA_HOST", raising=False)
    assert server_address(None) == "http://127.0.0.1:11434"
    monkeypatch.setenv("OLLAMA_HOST", "gpu-box:8080")
    assert server_address(None) == "http://gpu-box:8080"
    assert server_address("10.0.0.2") == "http://10.0.0.2:11434"
    monkeypatch.setenv("OLLAMA_HOST", "gpu-box:port")
    with pytest.raises(UsageError, match="OLLAMA_HOST is not an address"):
        server_address(None)


def test_a_server_named_by_the_environment_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    with ProtocolServer([FakeModel("m", reply="here")]) as server:
        monkeypatch.setenv("OLLAMA_HOST", server.url.removeprefix("http://"))
        assert lm("ollama/m", cache=False)("x") == ["here"]


@each(
    ("host", "here"),
    [
        ("localhost", True),
        ("127.0.0.1", True),
        ("127.8.9.1", True),
        ("::1", True),
        ("[::1]", True),
        ("0.0.0.0", True),
        ("10.0.0.1", False),
        ("localhost.example.com", False),
        ("gpu-box", False),
    ],
)
def test_this_machine_is_told_from_others(host: str, here: bool) -> None:
    assert is_loopback(host) is here
