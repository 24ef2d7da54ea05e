"""`python -m tests.protocol`: the server as a process of its own."""

import argparse
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from tests.protocol import FakeModel, ProtocolServer, embedded_backend

_SEGFAULT = 139


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.protocol")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--embedded", action="store_true", help="the embedded model behind it")
    parser.add_argument("--script", type=Path, help="a JSON file that names models and replies")
    parser.add_argument("--model", default="smollm2", help="the embedded model's name on the server")
    parser.add_argument("--version", default="0.24.0")
    parser.add_argument("--offline", action="store_true", help="it has no network: nothing can be pulled")
    parser.add_argument("--native", action="store_true", help="the embedded model without a Go template")
    parser.add_argument("--num-ctx", type=int, default=4096)
    parser.add_argument("--slots", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    script: dict[str, Any] = json.loads(given.script.read_text(encoding="utf-8")) if given.script else {}
    models = [FakeModel(**model) for model in script.get("models", [])]
    if given.embedded:
        backend = embedded_backend(threads=given.threads)
        models.append(FakeModel(given.model, backend, weights="embedded", native=given.native))
        models.append(FakeModel(f"{given.model}-think", backend, weights="embedded", thinking=True))
    version = script.get("version", given.version)
    server = ProtocolServer(
        models, version, port=given.port, num_ctx=given.num_ctx, slots=given.slots, offline=given.offline
    )
    server.on_death = lambda: os._exit(_SEGFAULT)
    with server:
        sys.stdout.write(json.dumps({"port": server.port, "url": server.url}) + "\n")
        sys.stdout.flush()
        signal.sigwait({signal.SIGINT, signal.SIGTERM})


if __name__ == "__main__":
    main()
