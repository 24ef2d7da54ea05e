"""Addresses, keys, headers, proxies and time limits that no connection can be made of: each is told before, typed."""

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.each import each
from tests.protocol import FakeModel, ProtocolServer
from tunesmith.errors import ModelError, ModelMissing, RequestRefused, UsageError
from tunesmith.lm import LM, Request, lm, reply_cache
from tunesmith.lm.connection import proxy_for
from tunesmith.lm.engine import Message

AWAY = "http://example.invalid:5"
SECRET = "s3cret"


def native(**options: Any) -> LM:
    return lm("ollama/m", cache=False, **{"host": AWAY, **options})


def over_v1(**options: Any) -> LM:
    return lm("openai/m", cache=False, **{"base_url": f"{AWAY}/v1", "dialect": "openai", **options})


def ask(model: LM) -> None:
    model.send(Request(model="m", messages=(Message.user("x"),)))


@each(
    "host",
    [
        "a b",
        "local\nhost",
        "http://.",
        "http://a..b",
        "http://*",
        "a" * 64,
        "//h:1",
        "http://h?x=1",
        "http://h#f",
        "::1",
        5,
    ],
)
def test_a_host_that_is_none_is_a_usage_error(host: Any) -> None:
    with pytest.raises(UsageError, match="`host`"):
        native(host=host)


@each("url", ["http://a b/v1", "http://./v1", "http://a..b", "http://*/v1", f"http://{'a' * 64}/v1"])
def test_a_base_url_without_a_host_is_a_usage_error(url: str) -> None:
    with pytest.raises(UsageError, match="base_url"):
        over_v1(base_url=url)


def test_a_password_in_a_host_is_refused_and_not_shown() -> None:
    with pytest.raises(UsageError, match="password") as caught:
        native(host=f"http://me:{SECRET}@h:1")
    assert SECRET not in str(caught.value)


@each("make", [native, over_v1])
@each("seconds", [float("nan"), float("inf"), 1e10, 0, -1, True, "5"])
def test_a_time_that_cannot_be_waited_is_a_usage_error(make: Callable[..., LM], seconds: Any) -> None:
    with pytest.raises(UsageError, match="timeout"):
        make(timeout=seconds)


@each("name", [" m", "m ", "a b", "gpt:cloud ", "m\n"])
def test_a_model_name_holds_no_space(name: str) -> None:
    with pytest.raises(UsageError, match="no space"):
        lm(f"ollama/{name}", host=AWAY, cache=False)


@pytest.mark.parametrize("key", [f"{SECRET}\n", f"{SECRET}\nx", f" {SECRET}", f"{SECRET}é"])
def test_a_key_that_cannot_be_sent_is_refused_and_not_shown(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="`api_key`") as given:
        over_v1(base_url="http://127.0.0.1:1", api_key=key)
    with pytest.raises(UsageError, match="header 'X-Key'") as header:
        over_v1(headers={"X-Key": key})
    monkeypatch.setenv("OLLAMA_API_KEY", key)
    with pytest.raises(UsageError, match="OLLAMA_API_KEY") as environment:
        native()
    assert not any(SECRET in str(caught.value) for caught in (given, header, environment))


@each("given", [{"headers": "x"}, {"headers": {"X": 5}}, {"headers": {"a b": "c"}}, {"api_key": 5}])
def test_headers_and_keys_are_texts(given: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        over_v1(**given)
    with pytest.raises(UsageError, match="`dialect` is a text"):
        over_v1(dialect=[])


@pytest.mark.parametrize("make", [native, over_v1])
@pytest.mark.parametrize("proxy", [f"ftp://me:{SECRET}@h:1", "socks9://h:1"])
def test_a_proxy_that_cannot_be_used_is_typed_and_not_shown(
    make: Callable[..., LM], proxy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "all_proxy"):
        monkeypatch.setenv(name, proxy)
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ModelError, match="HTTP_PROXY") as caught:
        ask(make())
    assert SECRET not in str(caught.value)


def test_a_proxy_without_a_scheme_is_an_http_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", "proxy.example:3128")
    assert proxy_for("http", "h.example") == "http://proxy.example:3128"


def test_a_missing_file_of_certificates_is_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere.pem")
    with pytest.raises(ModelMissing, match="SSL_CERT_FILE"):
        ask(native(host="https://example.invalid"))


def test_one_machine_under_two_names_is_no_pool() -> None:
    with ProtocolServer([FakeModel("m")]) as server:
        hosts = [server.url, server.url.replace("127.0.0.1", "localhost")]
        with pytest.raises(UsageError, match="each once"):
            native(host=hosts)


def test_a_refusal_through_dspys_own_engine_is_typed_and_names_our_spec() -> None:
    with ProtocolServer([FakeModel("m")]) as server, pytest.raises(RequestRefused, match="`ollama/m`"):
        ask(lm("ollama_chat/m", host=server.url, cache=False, api_key="x"))


def test_where_nothing_can_be_written_replies_come_without_a_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A user with more rights than that of the file system sees `mkdir` succeed, so it is refused here."""

    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setenv("TUNESMITH_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(Path, "mkdir", refuse)
    with ProtocolServer([FakeModel("m", reply="here")]) as server:
        model = lm("ollama/m", host=server.url)
        assert [model("x"), model("x")] == [["here"], ["here"]]
    assert [record.levelname for record in caplog.records if record.name == "tunesmith"] == ["WARNING"]
    assert reply_cache().lost_writes == 2
