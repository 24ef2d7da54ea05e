"""What stands behind the models of a test: a script, or the embedded model."""

from dataclasses import dataclass, replace
from typing import Any

import ollama
import pytest

from tests.protocol import FakeModel, ProtocolServer, embedded_backend

HELLO = [{"role": "user", "content": "hello"}]
FEW = {"num_predict": 5, "temperature": 0}


@dataclass(frozen=True)
class Behind:
    """Makes models; `text` is what they say to `HELLO` with the options `FEW`."""

    text: str
    reply: Any

    def model(self, name: str, **more: Any) -> FakeModel:
        return FakeModel(name, self.reply, **more)


@pytest.fixture(
    scope="session", params=["scripted", pytest.param("embedded", marks=[pytest.mark.model, pytest.mark.slow])]
)
def behind(request: pytest.FixtureRequest) -> Behind:
    if request.param == "scripted":
        return Behind("one two three four five", "one two three four five")
    found = Behind("", embedded_backend())
    with ProtocolServer([found.model("m")]) as server:
        texts = [ollama.Client(server.url).chat("m", HELLO, options=FEW).message.content for _ in range(2)]
    return replace(found, text=texts[-1] or "")
