"""`python -m tests.crash`: the protocol server with the rule behind it, which tells another process what was asked."""

import argparse
import hashlib
import json
import signal
import sys
import threading
from typing import Any

from tests.crash.rule import answer
from tests.protocol import Entry, FakeModel, ProtocolServer

PATIENCE = 60.0


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
                self._paid.append(hashlib.sha256(json.dumps(entry.body, sort_keys=True).encode()).hexdigest())
                self._came.notify_all()
        return found

    def control(self, path: str, raw: bytes) -> Any:
        """Answer `/_test/wait/<n>` once n calls have come, and `/_test/take` with the calls since the last time."""
        wanted = path.removeprefix("/_test/wait/")
        with self._came:
            if wanted != path:
                return self._came.wait_for(lambda: len(self._paid) >= int(wanted), PATIENCE)
            if path != "/_test/take":
                return super().control(path, raw)
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
