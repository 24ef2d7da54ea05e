"""The embedded engine with two slots against one: replies per second on calls of the demo.

One slot is one context with a thread per core, which answers one call after the other: the only way until commit
5741c49. Two slots are two contexts that share the threads. Both sides answer the same calls, in turn, without a cache:
the demo's program as declared, with one demo per topic, and with ten demos in two other formats. Then every call is
made once more with log-probabilities, in shuffled order on two slots, and what differs is counted.
"""

import random
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from measure import Row, in_turn, main, medians, ratio, spread

import tunesmith as ts
from tunesmith.compilers import few_shot_candidate
from tunesmith.experiments.demo import GuestComment, demo_splits
from tunesmith.lm import LM, Engine, Request, Response
from tunesmith.modules.binding import bind

COMMENTS = 5  # for each program
LIMIT = 1.35


class Noting:
    """Stands before an engine and keeps what reaches it."""

    def __init__(self, engine: Engine) -> None:
        self._engine, self.requests = engine, list[Request]()

    def __getattr__(self, name: str) -> object:
        return getattr(self._engine, name)

    def complete(self, request: Request) -> Response:
        """Answer through the engine."""
        self.requests.append(request)
        return self._engine.complete(request)


def calls(lm: LM) -> list[Request]:
    """Return requests of the demo, as its programs make them."""
    splits = demo_splits()
    train, test = list(splits.train), list(splits.test or ())
    noting = Noting(lm._stack.engine)
    own = ts.lm("embedded", cache=False)
    own._stack.engine = noting  # type: ignore[assignment]
    declared = ts.Predict(GuestComment)
    programs = [declared]
    for demos, name in ((5, None), (10, "json"), (10, "markdown")):
        program = few_shot_candidate(declared, train, demos, 0).apply(declared)
        if name is not None:
            bind(program, name)
        programs.append(program)
    for number, program in enumerate(programs):
        ts.evaluate(
            program, test[number * COMMENTS : (number + 1) * COMMENTS], ts.metrics.exact_match("topic"), lm=own, slots=1
        )
    return noting.requests


def answered(engine: Engine, requests: list[Request], slots: int) -> list[Response]:
    """Return the replies in the order of `requests`, `slots` calls at once."""
    with ThreadPoolExecutor(slots) as pool:
        return list(pool.map(engine.complete, requests))


def rows() -> list[Row]:
    one, two = (ts.lm("embedded", cache=False, slots=slots, threads=2) for slots in (1, 2))
    engines = {"one slot": (one._stack.engine, 1), "two slots": (two._stack.engine, 2)}
    requests = calls(one)
    cpu: dict[str, list[float]] = {name: [] for name in engines}

    def side(name: str) -> Callable[[], float]:
        def run() -> float:
            start, used = time.perf_counter(), time.process_time()
            answered(engines[name][0], requests, engines[name][1])
            cpu[name].append((time.process_time() - used) / len(requests))
            return len(requests) / (time.perf_counter() - start)

        return run

    for name in engines:  # loads contexts and reads prefixes
        side(name)()
        cpu[name].clear()
    found = in_turn({name: side(name) for name in engines})
    asked = [replace(request, config=replace(request.config, logprobs=5)) for request in requests]
    alone = answered(one._stack.engine, asked, 1)
    order = list(range(len(asked)))
    random.Random(0).shuffle(order)
    met = dict(zip(order, answered(two._stack.engine, [asked[index] for index in order], 2), strict=True))
    different = sum(met[index] != reply for index, reply in enumerate(alone))
    return [
        Row(
            "slots",
            "replies per second on calls of the demo, two slots / one slot of two threads",
            ratio(found, "two slots", "one slot"),
            LIMIT,
            at_most=False,
            details={
                "calls": len(requests),
                "replies_per_second": medians(found, digits=2),
                "cpu_milliseconds_per_reply": medians(cpu, 1e3),
                "rounds": spread(found, "two slots", "one slot"),
            },
        ),
        Row(
            "slots_different",
            "replies or log-probabilities that two slots in shuffled order give otherwise than one slot",
            different,
            0,
            required=True,
            details={"calls": len(asked)},
        ),
    ]


if __name__ == "__main__":
    main(rows)
