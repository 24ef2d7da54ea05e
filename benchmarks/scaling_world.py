"""What `scaling.py` runs on workers: a program over a model that answers after a while, and workers that only talk.

`main` takes what follows from the command line:

workers ADDRESS COUNT    COUNT Dask workers of one thread, in this process
hosts                    many seats of hosts that are not there
"""

import asyncio
import json
import os
import sys
import time
from dataclasses import replace
from typing import Any

import tunesmith as ts
from tunesmith.evaluation.ledger_columns import columns_of
from tunesmith.evaluation.ledger_entry import entry_of
from tunesmith.lm.doubles import FunctionEngine
from tunesmith.lm.engine import Capabilities, Identity
from tunesmith.lm.engines.registry import EngineKind, EngineOptions, register_engine

program = ts.Predict("question -> answer")


def metric(example: Any, prediction: Any, trace: object = None) -> bool:
    return bool(prediction.answer == example.answer)


def _engine(spec: str, given: dict[str, Any], slots: int) -> Any:
    seconds = float(spec.partition("/")[2]) / 1000

    def reply(seen: Any) -> str:
        time.sleep(seconds)
        return "yes"

    return FunctionEngine(reply, Identity("waiting", spec), Capabilities()), {}


register_engine(
    EngineKind(
        name="waiting",
        spec="waiting/<milliseconds>",
        help="answers after a while",
        options=EngineOptions,
        make=_engine,
        takes=lambda spec, given: spec.startswith("waiting/"),
        runs_here=True,
    )
)


async def workers(address: str, count: int) -> None:
    import distributed

    started = [
        await distributed.Worker(address, nthreads=1, name=f"{os.getpid()} {n}", host="127.0.0.1") for n in range(count)
    ]
    await asyncio.gather(*(worker.finished() for worker in started))


async def seat(place: dict[str, Any], number: int, reply: dict[str, Any]) -> None:
    """Talk as a worker does, and answer each example after `seconds` with the row of another one."""
    coming, going = await asyncio.open_connection(place["host"], place["port"], limit=2**24)

    def tell(message: Any) -> None:
        going.write(json.dumps(message).encode() + b"\n")

    entry = entry_of(reply["row"])
    tell({"token": place["token"], "name": f"host {number}"})
    while line := await coming.readline():
        said = json.loads(line)
        if "job" in said:
            tell({"ready": True})
            continue
        await asyncio.sleep(reply["seconds"])
        call = entry.calls[0]._replace(key=f"{said['key']} call")
        row = replace(entry, key=replace(entry.key, example=said["key"]), row=replace(entry.row, key=said["key"]))
        tell({"settle": list(call), "leased": said["lease"] is not None})
        tell({"row": list(columns_of(replace(row, calls=(call,)), 0))})


async def hosts() -> None:
    """Read where the driver is and what to answer from standard input, and open as many seats as it says."""
    given = json.loads(sys.stdin.readline())
    await asyncio.gather(*(seat(given["place"], number, given["reply"]) for number in range(given["count"])))


def main() -> None:
    if sys.argv[1] == "workers":
        asyncio.run(workers(sys.argv[2], int(sys.argv[3])))
    else:
        asyncio.run(hosts())
