r"""A server that speaks Ollama's protocol, faults included, for tests.

In this process::

    from tests.protocol import FakeModel, ProtocolServer, Reply, embedded_backend, scripted

    server = ProtocolServer(models=[FakeModel("m:latest", reply=scripted(["yes", "no"]))], version="0.24.0")
    with server:
        server.url                  # http://127.0.0.1:port
        server.requests             # the log: entries with method, path, body, time, disconnected, status, fault, ...
        server.fault("busy")        # the next request that asks a model gets a 503; `faults.KINDS` lists all kinds
        server.fault("cut", after=2, times=3, lines=1)
        server.faults.rule = lambda entry: Fault("reset") if entry.number % 10 == 0 else None
        server.loads                # {"m:latest": 1}: a change of `num_ctx` loads the model again
        server.processed_tokens     # prompt tokens really read, cached ones left out
        server.stop(); server.start()   # on the same port, with nothing loaded

`reply` of a model is a text, `scripted([...])` (in order, the last one repeats), `scripted({"part of the last message":
"reply", "": "else"})`, a function `(messages, options) -> str | Reply`, or `embedded_backend()`. A reply that does not
fit the request's `format` is replaced by an instance of the schema. `dressed(reply, THOUGHT, FENCE)` puts a thought
and a fence around what a function says.

What the versions do differently follows `version`. From 0.30 on (`"0.32.15"`) there are two ways to a prompt::

    FakeModel("m", reply)                       # the Go template: neighbours of one role are merged
    FakeModel("m", reply, legacy=True)          # an old one: empty turns are dropped
    FakeModel("m", reply, native=True)          # the GGUF's jinja template; a schema allows white space first, and a
                                                # scripted model uses that: under a stop at the line end its reply is empty
    FakeModel("m", reply, leading=True)         # the same white space, on the Go path

Servers and models that do not hold what they are asked to::

    FakeModel("m", dressed(reply, THOUGHT), thinking=True, obeys_format=False)    # drops `format`
    ProtocolServer(models, constraints=False)                  # drops every constraint, on `/api` and on `/v1`
    ProtocolServer(models, constraints=False, only_v1=True)    # as LM Studio or a proxy: no Ollama can be seen
    ProtocolServer(models, offline=True)                       # nothing can be pulled

`server.create("mine", "FROM m\nSYSTEM Be kind.")` plays `ollama create -f`; JSON goes to `/api/create`.

In a process of its own::

    python -m tests.protocol --port 0 --embedded [--model NAME] [--version 0.32.15] [--native] [--offline]
    python -m tests.protocol --port 0 --script FILE     # {"version": ..., "models": [{"name": ..., "reply": [...]}]}

The first line on its standard output is `{"port": ..., "url": ...}`. `ServerProcess("--embedded")` starts, kills and
asks such a process.
"""

from tests.protocol.backends import FENCE, THOUGHT, Reply, dressed, scripted
from tests.protocol.calls import Entry
from tests.protocol.embedded import EmbeddedBackend, embedded_backend
from tests.protocol.faults import KINDS, Fault
from tests.protocol.models import FakeModel
from tests.protocol.server import ProtocolServer, ServerProcess

__all__ = [
    "EmbeddedBackend",
    "embedded_backend",
    "Entry",
    "FakeModel",
    "Fault",
    "FENCE",
    "KINDS",
    "ProtocolServer",
    "Reply",
    "ServerProcess",
    "THOUGHT",
    "dressed",
    "scripted",
]
