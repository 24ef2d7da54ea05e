"""Measure the server over a model that costs nothing, beside a minimal FastAPI program with DSPy and bare FastAPI.

    python benchmarks/serving.py [--quick]

Each server is a process of its own. What others do on the machine changes times, so requests are counted per CPU second
of the server; with `--quick` everything is shorter, and nothing is written. Writes benchmarks/serving.json, from which
`python benchmarks/tables.py` makes the table of docs/benchmarks.md.

    python benchmarks/serving.py --side ours|dspy|bare     what is measured, run by this script
"""

import argparse
import asyncio
import json
import os
import re
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
OUT = HERE / "serving.json"
CLIENTS = 50
STREAMS = 100
BODY = json.dumps(
    {"text": "Visit 0 to the corner bakery: fresh bread, warm and kind service, I will come again"}
).encode()


# The sides -------------------------------------------------------------------------------------------------------


def ours(port: int) -> None:
    """Serve a `ts.Predict`, and under /words one that writes ten words a second, for 2.5 s."""
    from noop import BARE_REPLY, Mood, NoopEngine

    import tunesmith as ts
    from tunesmith.lm import (
        Capabilities,
        Identity,
        Request,
        StreamDeltaEvent,
        StreamEndEvent,
        TextDelta,
        Usage,
        build_lm,
        text_response,
    )
    from tunesmith.serve import Limits, Log, Service, run_server

    events = [StreamDeltaEvent(TextDelta("positive", 0)), StreamEndEvent(finish_reason="stop", usage=Usage(10, 2))]

    class Noop(NoopEngine):
        def stream(self, request: Request) -> Iterator[Any]:
            self.complete(request)
            yield from events  # made once, as the replies are

    class Words(NoopEngine):
        identity = Identity("words", "words", "0")
        capabilities = Capabilities(frozenset())

        def stream(self, request: Request) -> Iterator[Any]:
            time.sleep(0.05)
            for number in range(25):
                # The time is the word, so that the client knows how long it was under way.
                yield StreamDeltaEvent(TextDelta(f"{' ' if number else ''}{time.monotonic():.6f}", 0))
                time.sleep(0.1)

        def complete(self, request: Request) -> Any:
            return text_response("word", model="words")

    noop = build_lm("noop", Noop(BARE_REPLY), slots=CLIENTS)
    words = build_lm("words", Words(BARE_REPLY), slots=STREAMS)
    programs = {"": (ts.Predict(Mood), noop), "words": (ts.Predict("text -> answer"), words)}
    service = Service(lambda: programs, limits=Limits(in_flight=2 * STREAMS))
    run_server(service, host="127.0.0.1", port=port, log=Log())


def theirs(port: int) -> None:
    """Serve a `dspy.Predict` as DSPy's page on deployment shows it."""
    import dspy
    import uvicorn
    from fastapi import FastAPI, HTTPException
    from noop import Mood, their_lm
    from pydantic import BaseModel

    app = FastAPI()

    class Question(BaseModel):
        text: str

    dspy.configure(lm=their_lm(), async_max_workers=CLIENTS)  # noqa: TID251 - as the page does
    program = dspy.asyncify(dspy.Predict(Mood))

    @app.post("/predict")
    async def predict(question: Question) -> Any:
        try:
            result = await program(text=question.text)
            return {"status": "success", "data": result.toDict()}
        except Exception as error:
            raise HTTPException(status_code=500, detail=str(error)) from error

    uvicorn.run(app, port=port, log_level="error", access_log=False)


def bare(port: int) -> None:
    """Serve the same types with FastAPI, and no program."""
    import uvicorn
    from fastapi import FastAPI
    from pydantic import BaseModel, ConfigDict

    app = FastAPI()

    class Inputs(BaseModel):
        model_config = ConfigDict(extra="forbid")
        text: str

    class Outputs(BaseModel):
        label: str

    @app.post("/predict")
    async def predict(inputs: Inputs) -> Outputs:
        return Outputs(label="positive")

    uvicorn.run(app, port=port, log_level="error", access_log=False)


SIDES = {"ours": ours, "dspy": theirs, "bare": bare}


class Server:
    """A running side."""

    def __init__(self, child: "subprocess.Popen[bytes]", port: int) -> None:
        self.child, self.port = child, port

    def cpu(self) -> float:
        """Return the CPU seconds that it has used."""
        found = Path(f"/proc/{self.child.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(found[11]) + int(found[12])) / os.sysconf("SC_CLK_TCK")

    def rss(self) -> float:
        """Return its memory in MB."""
        pages = int(Path(f"/proc/{self.child.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


@contextmanager
def running(side: str) -> Iterator[Server]:
    """Run a side until the end of the block."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        port = found.getsockname()[1]
    child = subprocess.Popen([sys.executable, __file__, "--side", side, "--port", str(port)])
    try:
        end = time.monotonic() + 60
        while is_deaf(port):
            assert time.monotonic() < end, f"{side} does not listen"
            time.sleep(0.05)
        asyncio.run(closed_loop(port, 200))
        yield Server(child, port)
    finally:
        child.kill()
        child.wait()


def is_deaf(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except OSError:
        return True
    return False


# The clients -----------------------------------------------------------------------------------------------------


def request(path: str) -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(BODY)}"
    return f"{head}\r\n\r\n".encode() + BODY


async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, sent: bytes) -> None:
    """Send one request and read its answer."""
    writer.write(sent)
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200"), head
    await reader.readexactly(int(re.search(rb"content-length: (\d+)", head)[1]))  # type: ignore[index]


async def closed_loop(port: int, count: int) -> float:
    """Return the seconds of `count` requests by 50 clients, each with its next request after its last answer."""
    sent, left = request("/predict"), iter(range(count))

    async def client() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in left:
            await one(reader, writer, sent)
        writer.close()

    start = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(CLIENTS)))
    return time.perf_counter() - start


async def offered(port: int, seconds: float, *, rate: float = 50.0) -> list[float]:
    """Return the milliseconds of requests that come at a fixed rate over 50 open connections."""
    sent = request("/predict")
    free: asyncio.Queue[Any] = asyncio.Queue()
    for _ in range(CLIENTS):
        free.put_nowait(await asyncio.open_connection("127.0.0.1", port))
    times: list[float] = []

    async def ask() -> None:
        connection = await free.get()
        start = time.perf_counter()
        await one(*connection, sent)
        times.append((time.perf_counter() - start) * 1000)
        free.put_nowait(connection)

    tasks = []
    start = time.perf_counter()
    for number in range(int(seconds * rate)):
        await asyncio.sleep(max(0.0, start + number / rate - time.perf_counter()))
        tasks.append(asyncio.create_task(ask()))
    await asyncio.gather(*tasks)
    return times


async def first_words(port: int) -> list[float]:
    """Return the milliseconds from the engine's first word to the client, of 100 streams that are open at once."""

    async def stream(number: int) -> float:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.sleep(number * 0.02)  # one after the other; after two seconds all are open at once
        writer.write(request("/words/predict/stream"))
        while b"data: " not in (line := await reader.readline()):
            pass
        came = time.monotonic()
        while b"event: outputs" not in await reader.readline():
            pass
        writer.close()
        return (came - float(json.loads(line[6:])["text"])) * 1000

    return list(await asyncio.gather(*map(stream, range(STREAMS))))


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def measured(*, quick: bool) -> dict[str, Any]:
    count, rounds = (500, 2) if quick else (2000, 5)
    per_second: dict[str, list[float]] = {side: [] for side in SIDES}
    wall: dict[str, list[float]] = {side: [] for side in SIDES}
    with running("ours") as us, running("dspy") as dspy, running("bare") as plain:
        servers = {"ours": us, "dspy": dspy, "bare": plain}
        for _ in range(rounds):
            for side, server in servers.items():
                before = server.cpu()
                wall[side].append(count / asyncio.run(closed_loop(server.port, count)))
                per_second[side].append(count / (server.cpu() - before))
        times = asyncio.run(offered(us.port, 2 if quick else 20))
        words = asyncio.run(first_words(us.port))
        before = us.rss()
        requests = 2_000 if quick else 100_000
        asyncio.run(closed_loop(us.port, requests))
        grown = us.rss() - before
    cpu = {side: statistics.median(found) for side, found in per_second.items()}
    return {
        "requests_per_cpu_second": {side: round(found) for side, found in cpu.items()},
        "requests_per_second": {side: round(statistics.median(found)) for side, found in wall.items()},
        "to_dspy": round(cpu["ours"] / cpu["dspy"], 2),
        "to_bare": round(cpu["ours"] / cpu["bare"], 2),
        "offered_ms": {"p50": round(percentile(times, 0.5), 2), "p99": round(percentile(times, 0.99), 2)},
        "first_word_ms": {"p50": round(percentile(words, 0.5), 2), "p99": round(percentile(words, 0.99), 2)},
        "memory": {"requests": requests, "grown_mb": round(grown, 2)},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer requests; nothing is written")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.side is not None:
        SIDES[given.side](given.port)
        return
    found = measured(quick=given.quick)
    print(json.dumps(found, indent=1))
    if not given.quick:
        from measure import facts

        OUT.write_text(json.dumps({**facts(), **found}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
