"""`python -m tests.crash`: the protocol server with the rule behind it, which tells another process what was asked."""

import argparse
import json
import signal
import sys
import threading
import time
from typing import Any

from tests.crash.rule import answer, mark_of
from tests.protocol import Entry, FakeModel, ProtocolServer

PATIENCE = 5.0  # seconds, less than who asks waits for an answer


class CountingServer(ProtocolServer):
    """A server that can be asked to wait for its n-th call, and what every call was about."""

    def __init__(self, *given: Any, **options: Any) -> None:
        super().__init__(*given, **options)
        self._paid: list[str] = []
        self._came = threading.Condition()

    def entered(self, entry: Entry) -> Entry:
        found = super().entered(entry)
        if entry.path == "/api/chat" and isinstance(entry.body, dict):  # no call is paid that a kill cut off on its way
            with self._came:
                self._paid.append(mark_of(entry.body["messages"], entry.body["format"], entry.body["options"]))
                self._came.notify_all()
        return found

    def control(self, path: str, raw: bytes) -> Any:
        """Answer `/_test/wait/<n>` whether n calls have come, and `/_test/take` with the calls since the last time.

        Whoever takes them is the only one who is connected: what a process has sent before its end has come by then.
        """
        wanted = path.removeprefix("/_test/wait/")
        if wanted != path:
            with self._came:
                return self._came.wait_for(lambda: len(self._paid) >= int(wanted), PATIENCE)
        if path != "/_test/take":
            return super().control(path, raw)
        end = time.monotonic() + PATIENCE
        while len(self.connections) > 1:
            assert time.monotonic() < end, "a process that was to be ended is still connected"
            time.sleep(0.001)
        with self._came:
            taken, self._paid = self._paid, []
            self.requests.clear()
            return taken


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.crash")
    parser.add_argument("--port", type=int, default=0)
    given = parser.parse_args()
    with CountingServer([FakeModel("m", reply=answer)], port=given.port, slots=8) as server:
        sys.stdout.write(json.dumps({"port": server.port, "url": server.url}) + "\n")
        sys.stdout.flush()
        signal.sigwait({signal.SIGINT, signal.SIGTERM})


if __name__ == "__main__":
    main()
