"""A service in a process of its own, over an engine that writes as slowly as its input says.

    python -m tests.serve.process PORT LOG [NAME=VALUE ...]

An input `slow N S` gets N words, with S seconds before each; LOG gets a line when such a reply ends, and how far it came.
"""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).parents[2]


class Process:
    """A running service."""

    def __init__(self, child: "subprocess.Popen[str]", url: str, replies: Path, log: Path) -> None:
        self.child, self.url, self.replies, self.log = child, url, replies, log

    def ask(self, text: str = "hello", **options: Any) -> httpx.Response:
        return httpx.post(f"{self.url}/predict", json={"text": text}, timeout=60, **options)

    def connected(self) -> socket.socket:
        host, port = self.url.removeprefix("http://").split(":")
        return socket.create_connection((host, int(port)), timeout=20)

    def ended(self, seconds: float = 20) -> int:
        return self.child.wait(seconds)

    def events(self, name: str) -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in self.log.read_text().splitlines()]
        return [line for line in lines if line["event"] == name]

    def rss(self) -> int:
        """Return its memory in bytes."""
        return int(Path(f"/proc/{self.child.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def wait_until(true: Any, seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come true"
        time.sleep(0.01)


@contextlib.contextmanager
def running(folder: Path, **options: Any) -> Iterator[Process]:
    """Run a service with these limits until the end of the block."""
    replies, log = folder / "replies", folder / "log"
    replies.touch()
    words = [f"{name}={json.dumps(value)}" for name, value in options.items()]
    with log.open("w") as file:
        command = [sys.executable, "-m", "tests.serve.process", str(replies), *words]
        child = subprocess.Popen(command, cwd=ROOT, stderr=file, stdout=file, text=True)
    process = Process(child, "", replies, log)
    try:
        wait_until(lambda: '"started"' in log.read_text() or child.poll() is not None, 60)
        assert child.poll() is None, log.read_text()
        process.url = process.events("started")[0]["url"]
        yield process
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()


def main(replies: str, *words: str) -> None:
    import tunesmith as ts
    from tests.serve.front import Triage
    from tunesmith.lm import Capabilities, build_lm, text_response
    from tunesmith.lm.doubles import FunctionEngine
    from tunesmith.lm.engine import Identity, StreamDeltaEvent, TextDelta, whole_events
    from tunesmith.serve import JsonLog, Limits, Service, run_server

    class Slow(FunctionEngine):
        def stream(self, request: Any) -> Iterator[Any]:
            found = re.search(r"slow (\d+) ([0-9.]+)", str(request))
            if found is None:
                yield from whole_events(text_response("billing", model="slow", input_tokens=1, output_tokens=1))
                return
            count, seconds, done = int(found[1]), float(found[2]), 0
            try:
                for done in range(count):
                    time.sleep(seconds)
                    yield StreamDeltaEvent(TextDelta("billing" if done == 0 else "", 0))
            finally:
                with open(replies, "a") as file:
                    file.write(f"{done + 1} of {count}\n")

    given = {name: json.loads(value) for name, _, value in (word.partition("=") for word in words)}
    slots, artifact = given.pop("slots", 8), given.pop("artifact", None)
    token = given.pop("token", None)
    lm = build_lm(
        "slow", Slow(lambda _: "billing", Identity("double", "slow", "0" * 64), Capabilities(frozenset())), slots=slots
    )
    log = JsonLog(sys.stderr)

    def load() -> dict[str, Any]:
        return {"": (ts.Predict(Triage) if artifact is None else ts.load(artifact, lm=lm), lm)}

    service = Service(load, limits=Limits(**given), token=token, log=log)
    run_server(service, host="127.0.0.1", port=0, log=log)


if __name__ == "__main__":
    main(*sys.argv[1:])
