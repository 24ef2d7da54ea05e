"""What the order of a race's calls costs: prompt tokens that a server with one slot really reads.

    python benchmarks/race_tokens.py        about half an hour on one core

Writes benchmarks/race_tokens.json after each compile. Guest comments of the demo are sorted by a raced compile
(`RandomSearch`, its default race, one call at a time) on the embedded model behind the protocol server, run as Ollama
runs it: one slot, prompt cache on, `cache_ram_mib` 0, no saved states. What the server read is llama.cpp's
`timings.prompt_n`, from the server's log. The very same requests are then sent to a server that has read nothing yet,
in two other orders, the second one of a small compile alone, because it reads so much:

- best order: block by block, each candidate's calls together, the candidates of a block in the order that reads least.
  That is found by counting the tokens that each prompt shares with the one before it; it knows who will survive.
- example by example: block by block, in each all candidates on the first example, then all on the second.
"""

import argparse
import itertools
import json
import re
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench_prefix import chats, replay

sys.path.insert(0, str(Path(__file__).parents[1]))
import tunesmith as ts
from tests.protocol import FakeModel, ProtocolServer, embedded_backend
from tests.protocol.backends import Backend
from tests.protocol.prompts import render
from tests.protocol.tokens import default_tokenizer
from tunesmith.experiments.demo import GuestComment, demo_splits
from tunesmith.lm import ReplyCache

OUT = Path(__file__).with_suffix(".json")
SEEDS = (0, 1)
CANDIDATES, EXAMPLES, TRAIN = 12, 60, 60
SMALL = (6, 24)  # candidates and examples of the compile that is also sent example by example
MOST_OVER_BEST, MOST_OF_ALTERNATING = 1.05, 0.5

Body = dict[str, Any]
Group = list[Body]  # one candidate's calls in one block
Block = list[Group]


@dataclass(slots=True)
class Blocks:
    """Sorts the calls of a compile into blocks, by what its progress says; for one call at a time."""

    server: ProtocolServer
    blocks: list[tuple[str, Block]] = field(default_factory=list)
    taken: int = 0

    def tell(self, label: str, _done: int, _total: int) -> None:
        """Take what was asked since the last time."""
        calls = chats(self.server)
        for entry in calls[self.taken :]:
            self._take(re.sub(r"candidate \d+", "candidate", label), entry.body)
        self.taken = len(calls)

    def _take(self, name: str, body: Body) -> None:
        if not self.blocks or self.blocks[-1][0] != name:
            self.blocks.append((name, []))
        groups = self.blocks[-1][1]
        group = next((group for group in groups if _candidate(group[0]) == _candidate(body)), None)
        if group is None:
            groups.append([body])
        else:
            group.append(body)


def _candidate(body: Body) -> str:
    """Return what all calls of a candidate have in common."""
    return json.dumps([body["messages"][:-1], body.get("format")])


def compiled(server: ProtocolServer, seed: int, *, candidates: int, examples: int) -> list[Block]:
    """Compile the demo's program, and return the calls that were made."""
    splits = demo_splits(seed)
    assert splits.val is not None
    blocks = Blocks(server)
    metric = ts.metrics.exact_match("topic")
    with tempfile.TemporaryDirectory() as folder:
        ts.compile(
            ts.Predict(GuestComment),
            metric=metric,
            trainset=splits.train[:TRAIN],
            valset=splits.val[:examples],
            compiler=ts.RandomSearch(metric=metric, num_candidates=candidates, seed=seed, slots=1),
            lm=ts.lm("ollama/m", host=server.url, num_ctx=4096, cache=ReplyCache(Path(folder))),
            seed=seed,
            progress=blocks.tell,
        )
    assert blocks.taken == len(chats(server))
    return [block for _, block in blocks.blocks]


def alternating(blocks: list[Block]) -> list[Body]:
    """Return the calls example by example: in each block all candidates on one example, then on the next."""
    found = []
    for block in blocks:
        turns = itertools.zip_longest(*block)
        found += [body for turn in turns for body in turn if body is not None]
    return found


def best_order(blocks: list[Block]) -> list[Body]:
    """Return the calls block by block, the candidates of each block in the order that reads least in all.

    Exact, by dynamic programming over what was sent of a block and what was sent last (Held & Karp 1962).
    """
    read = _Reading()
    best: dict[str, tuple[int, list[Group]]] = {"": (0, [])}  # by the last call so far
    for block in blocks:
        first = [
            min(((cost + read.more(last, group[0]), path) for last, (cost, path) in best.items()), key=_cost)
            for group in block
        ]
        more = [[read.more(read.text(one[-1]), other[0]) for other in block] for one in block]
        sent = {(1 << k, k): (cost, (k,), path) for k, (cost, path) in enumerate(first)}
        for _ in block[1:]:
            longer: dict[tuple[int, int], tuple[int, tuple[int, ...], list[Group]]] = {}
            for (done, last), (cost, order, path) in sent.items():
                for k in range(len(block)):
                    key, total = (done | 1 << k, k), cost + more[last][k]
                    if not done >> k & 1 and (key not in longer or total < longer[key][0]):
                        longer[key] = (total, (*order, k), path)
            sent = longer
        best = {
            read.text(block[last][-1]): (cost, [*path, *(block[k] for k in order)])
            for (_, last), (cost, order, path) in sent.items()
        }
    _, path = min(best.values(), key=_cost)
    return [body for group in path for body in group]


def _cost(item: tuple[int, list[Group]]) -> int:
    return item[0]


class _Reading:
    """Counts the tokens of a prompt that the one before it does not begin with."""

    def __init__(self) -> None:
        self._ids: dict[str, list[int]] = {}
        self._more: dict[tuple[str, str], int] = {}

    def text(self, body: Body) -> str:
        return render(body["messages"], thinking=False, think=False)

    def more(self, previous: str, body: Body) -> int:
        pair = (previous, self.text(body))
        if pair not in self._more:
            one, other = map(self._tokens, pair)
            same = sum(1 for _ in itertools.takewhile(lambda two: two[0] == two[1], zip(one, other, strict=False)))
            self._more[pair] = max(1, len(other) - same)
        return self._more[pair]

    def _tokens(self, text: str) -> list[int]:
        if text not in self._ids:
            self._ids[text] = default_tokenizer().ids(text)
        return self._ids[text]


def measured(
    backend: Callable[[], Backend],
    seed: int = 0,
    *,
    candidates: int = CANDIDATES,
    examples: int = EXAMPLES,
    in_turn: bool = False,
) -> dict[str, Any]:
    """Return what one compile read, and what its calls read in the best order, and `in_turn` example by example."""
    with ProtocolServer([FakeModel("m", backend(), weights="embedded")], slots=1) as server:
        blocks = compiled(server, seed, candidates=candidates, examples=examples)
        ours = sum(entry.processed_tokens for entry in chats(server))
        prompts = sum(entry.prompt_tokens for entry in chats(server))
        made = [entry.body for entry in chats(server)]
        orders = {"best_order": best_order(blocks)}
        if in_turn:
            orders["example_by_example"] = alternating(blocks)
        assert all(sorted(map(json.dumps, order)) == sorted(map(json.dumps, made)) for order in orders.values())
        read = {name: replay(server, order) for name, order in orders.items()}
    return {
        "seed": seed,
        "candidates": candidates,
        "examples": examples,
        "calls": len(made),
        "blocks": [len(block) for block in blocks],
        "prompt_tokens": prompts,
        "race": ours,
        **read,
        **{f"of_{name}": round(ours / tokens, 4) for name, tokens in read.items()},
    }


def broken(rows: list[dict[str, Any]]) -> list[str]:
    """Return the promises that the figures break; a small compile promises less of the best order."""
    wrong = []
    for row in rows:
        if row["candidates"] >= CANDIDATES and row["of_best_order"] > MOST_OVER_BEST:
            wrong.append(f"seed {row['seed']}: {row['of_best_order']} times the best order")
        if row.get("of_example_by_example", 0) > MOST_OF_ALTERNATING:
            wrong.append(f"seed {row['seed']}: {row['of_example_by_example']} of example-by-example order")
    return wrong


def main() -> None:
    """Measure the small compile, then the large ones."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args()
    rows: list[dict[str, Any]] = []
    few, short = SMALL
    wanted = [lambda: measured(embedded_backend, candidates=few, examples=short, in_turn=True)]
    wanted += [lambda seed=seed: measured(embedded_backend, seed) for seed in SEEDS]
    for make in wanted:
        rows.append(make())
        OUT.write_text(json.dumps({"train": TRAIN, "rows": rows}, indent=1) + "\n", encoding="utf-8")
        print(json.dumps(rows[-1]), flush=True)
    wrong = broken(rows)
    print(*wrong, sep="\n")
    raise SystemExit(bool(wrong))


if __name__ == "__main__":
    main()
