"""The server as a process of its own."""

import json
from pathlib import Path

import httpx
import ollama
import pytest

from tests.protocol import ServerProcess

HELLO = [{"role": "user", "content": "hello"}]


def test_a_process_is_killed_and_started_again_and_can_die_of_a_schema(tmp_path: Path) -> None:
    script = tmp_path / "script.json"
    script.write_text(json.dumps({"version": "0.24.0", "models": [{"name": "m", "reply": ["one", "two"]}]}))
    with ServerProcess("--script", str(script)) as server:
        port = server.port
        client = ollama.Client(server.url, verify=False)
        assert [client.chat("m", HELLO).message.content for _ in range(3)] == ["one", "two", "two"]
        server.fault("busy")
        with pytest.raises(ollama.ResponseError, match="server busy"):
            client.chat("m", HELLO)
        assert [entry["fault"] for entry in server.requests()] == [None, None, None, "busy"]
        stats = server.stats()
        assert stats["loads"] == {"m:latest": 1}
        assert {"tunesmith", "dspy", "xllamacpp"}.isdisjoint(stats["packages"]), "scripted models need none of them"

        server.kill()
        with pytest.raises(ConnectionError):
            client.chat("m", HELLO)
        server.start()
        assert (client.chat("m", HELLO).message.content, server.port) == ("one", port)

        with pytest.raises(httpx.TransportError):
            client.chat("m", HELLO, format={"type": "string", "pattern": "^(?=a)b$"})
        assert server.wait() == 139
