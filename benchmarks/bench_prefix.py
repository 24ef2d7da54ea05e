"""What the order of calls costs: prompt tokens that a server with one slot really reads.

Two candidates are scored on 30 examples by the compilers' own code, on the embedded model behind the protocol server
(one slot, prompt cache on, `cache_ram_mib` 0, no saved states; counted by `timings.prompt_n`). Then the very
same requests are sent again, to a server that has read nothing yet: all of one candidate before the other, which is
the best order, and one of each in turn. So are the five chains of a vote, which read the same prompt.
"""

import json
import sys
import urllib.request
from pathlib import Path
from typing import Any, Literal

import dspy
from measure import Row, main

sys.path.insert(0, str(Path(__file__).parents[1]))
import tunesmith as ts
from tests.protocol import FakeModel, ProtocolServer, embedded_backend
from tunesmith.compilers import Search, job_of
from tunesmith.evaluation import RACES
from tunesmith.modules import Candidate
from tunesmith.signatures import Demo

EXAMPLES = 30
DEMOS = 4
CHAINS = 5
THINGS = ("soup", "train", "song", "hotel", "lamp", "film", "walk", "bread", "game", "phone", "coat", "desk", "play")
WORDS = {"positive": ("a joy", "so good", "well made"), "negative": ("a mess", "too late", "badly made")}


class Mood(ts.Signature):
    """Say whether the text is positive or negative."""

    text: str = ts.InputField()
    label: Literal["positive", "negative"] = ts.OutputField()


def labelled(number: int) -> dict[str, str]:
    """Return the text of that number and its label; no two are equal."""
    label = "negative" if number % 2 else "positive"
    words = WORDS[label]
    return {"text": f"The {THINGS[number % len(THINGS)]} was {words[number // 2 % len(words)]}", "label": label}


def candidates(program: dspy.Module) -> list[Candidate]:
    """Return two candidates with the same instruction and other demos, as a search draws them."""
    base = Candidate.of(program)
    (path,) = base.parts
    sets = [range(start, start + DEMOS) for start in (100, 200)]
    return [base.with_part(path, demos=tuple(Demo.of(Mood, labelled(n)) for n in numbers)) for numbers in sets]


def race(url: str) -> None:
    """Score both candidates as a compiler does."""
    program = ts.Predict(Mood)
    examples = [dspy.Example(**labelled(number)).with_inputs("text") for number in range(EXAMPLES)]
    model = ts.lm("ollama/m", host=url, num_ctx=2048, cache=False)
    compiler = ts.RandomSearch(metric=lambda example, prediction, trace=None: example.label == prediction.label)
    train = [dspy.Example(**labelled(EXAMPLES + 1)).with_inputs("text")]
    search = Search(job_of(program, compiler, trainset=train, valset=examples, lm=model))
    drawn = candidates(program)

    def extend(index: int, n: int) -> list[float]:
        report = search.score(drawn[index], n)
        return [value or 0.0 for value in report.values()]

    RACES["full"](len(drawn), extend, EXAMPLES, EXAMPLES * len(drawn))


def chats(server: ProtocolServer) -> list[Any]:
    """Return the log of the chat requests."""
    return [entry for entry in server.requests if entry.path == "/api/chat"]


def replay(server: ProtocolServer, bodies: list[dict[str, Any]]) -> int:
    """Send `bodies` in that order to a server that has read nothing, and return what it read."""
    server.stop()
    server.start()
    before = len(chats(server))
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    for body in bodies:
        opener.open(urllib.request.Request(f"{server.url}/api/chat", json.dumps(body).encode()), timeout=120).read()
    return sum(entry.processed_tokens for entry in chats(server)[before:])


def chains(server: ProtocolServer) -> list[int]:
    """Return what a server that has read nothing reads of the prompt of each chain of a vote."""
    server.stop()
    server.start()
    before = len(chats(server))
    program = ts.Predict(Mood)
    vote = ts.SelfConsistency(candidates(program)[0].apply(program), samples=CHAINS)
    with dspy.context(lm=ts.lm("ollama/m", host=server.url, num_ctx=2048, cache=False)):
        vote(text=labelled(0)["text"])
    return [entry.processed_tokens for entry in chats(server)[before:]]


def rows() -> list[Row]:
    with ProtocolServer([FakeModel("m", embedded_backend(), weights="embedded")], slots=1) as server:
        race(server.url)
        calls = chats(server)
        ours = sum(entry.processed_tokens for entry in calls)
        bodies = [entry.body for entry in calls]
        by_prefix: dict[str, list[dict[str, Any]]] = {}
        for body in bodies:
            by_prefix.setdefault(json.dumps(body["messages"][:-1]), []).append(body)
        first, second = by_prefix.values()
        best = replay(server, [*first, *second])
        alternating = replay(server, [body for pair in zip(first, second, strict=True) for body in pair])
        read = chains(server)
    counts = {"race": ours, "best order": best, "alternating": alternating, "calls": len(bodies)}
    return [
        Row(
            "prefix_grouped",
            "prompt tokens read, 2 candidates x 30 examples on one slot, race / best order",
            ours / best,
            1.05,
            required=True,
            details=counts,
        ),
        Row(
            "prefix_alternating",
            "prompt tokens read, candidates in turn call by call / best order",
            alternating / best,
            5.0,
            at_most=False,
            details=counts,
        ),
        Row(
            "prefix_chains",
            f"prompt tokens read for {CHAINS} chains of `SelfConsistency` / for the first",
            sum(read) / read[0],
            1.1,
            details={"chains": read},
        ),
    ]


if __name__ == "__main__":
    main(rows)
