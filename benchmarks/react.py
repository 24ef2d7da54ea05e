"""CPU that a call of a model costs beyond the model, in ReAct, SelfConsistency, RAG and TreeOfThoughts, against DSPy.

    nice -n 10 python benchmarks/react.py [ROUNDS]

The engine answers at once. Both sides take turns over ROUNDS (7) rounds of 60 runs, each with new inputs, with history
and trace on. DSPy's side is `dspy.ReAct`; `dspy.majority` over five `dspy.ChainOfThought`, also against TreeOfThoughts,
which DSPy has not; and the RAG of DSPy's tutorial. Both search by a function that costs nothing, and use their own
adapters. Prints a line for each figure, and writes benchmarks/react.json. Exit code 1 if one is above its limit.
"""

import itertools
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import dspy
from dspy.lm15 import Message, Request, Response, Usage
from measure import REPEATS, Row, in_turn, medians, ratio, report, spread
from noop import NoopEngine

import tunesmith as ts
from tunesmith.lm import build_lm
from tunesmith.modules import Passage

RUNS, CHAINS, LIMIT = 60, 5, 0.5
OUT = Path(__file__).with_suffix(".json")
PASSAGES = [
    Passage(f"The capital of {name} is {name[::-1]}, a city with an old harbour and many bridges.", 1.0, name)
    for name in ("Norway", "Italy", "Spain")
]


class InTurn(NoopEngine):
    """Gives its replies one after the other, again and again."""

    def __init__(self, replies: Sequence[str]) -> None:
        super().__init__("")
        self._turns = itertools.cycle(
            Response(id=None, model="noop", message=Message.assistant(one), finish_reason="stop", usage=Usage(10, 2))
            for one in list(replies)
        )

    def complete(self, request: Request) -> Response:
        """Return the next reply."""
        self.calls += 1
        return next(self._turns)


def capital(country: str) -> str:
    """Look up the capital of a country."""
    return country[::-1]


def found(query: str) -> list[Passage]:
    """Return three passages."""
    return PASSAGES


class TheirRAG(dspy.Module):
    """As in DSPy's tutorial of RAG."""

    def __init__(self, search: Callable[[str], list[Passage]]) -> None:
        super().__init__()
        self.search, self.respond = search, dspy.ChainOfThought("context, question -> response")

    def forward(self, question: str) -> Any:
        """Search and answer; called by `__call__`."""
        return self.respond(context=[passage.text for passage in self.search(question)], question=question)


class TheirVote(dspy.Module):
    """Five chains and `dspy.majority`."""

    def __init__(self) -> None:
        super().__init__()
        self.step = dspy.ChainOfThought("question -> answer")

    def forward(self, question: str) -> Any:
        """Ask and vote; called by `__call__`."""
        found = [self.step(question=question, config={"rollout_id": n, "temperature": 0.7}) for n in range(CHAINS)]
        return dspy.majority([dict(one.items()) for one in found], field="answer")


def chat(**fields: str) -> str:
    """Return a reply as DSPy's `ChatAdapter` reads it."""
    return "\n\n".join([*(f"[[ ## {name} ## ]]\n{value}" for name, value in fields.items()), "[[ ## completed ## ]]"])


THOUGHT = "The capital of the country is still unknown, so I look it up."
ARGUMENTS = '{"country": "Norway"}'
STEPS, RATING = '["look it up", "guess it", "ask for it"]', "likely"


def act(tool: str, arguments: str) -> str:
    return f'{{"thought": "{THOUGHT}", "action": {{"tool": "{tool}", "arguments": {arguments}}}}}'


def their_act(tool: str, arguments: str) -> str:
    return chat(next_thought=THOUGHT, next_tool_name=tool, next_tool_args=arguments)


def sides() -> dict[str, tuple[str, tuple[Any, list[str]], tuple[Any, list[str]]]]:
    """Return of each comparison what it is, then program and replies of a run of ours and of theirs."""
    thoughts = '{"reasoning": "Norway is asked for.", "answer": "yawroN"}'
    theirs = chat(reasoning="Norway is asked for.", answer="yawroN")
    return {
        "react": (
            "ReAct, three tools and the answer / dspy.ReAct",
            (
                ts.ReAct("question -> answer", tools=[capital]),
                [*[act("capital", ARGUMENTS)] * 3, act("finish", '{"answer": "yawroN"}')],
            ),
            (
                dspy.ReAct("question -> answer", tools=[capital]),
                [*[their_act("capital", ARGUMENTS)] * 3, their_act("finish", "{}"), theirs],
            ),
        ),
        "self_consistency": (
            f"SelfConsistency, {CHAINS} chains / dspy.majority over dspy.ChainOfThought",
            (ts.SelfConsistency(ts.ChainOfThought("question -> answer"), samples=CHAINS), [thoughts]),
            (TheirVote(), [theirs]),
        ),
        "tree_of_thoughts": (
            "TreeOfThoughts, three proposals, nine ratings and the answer / dspy.majority over dspy.ChainOfThought",
            (
                ts.TreeOfThoughts("question -> answer", depth=2, generated=3, evaluations=1, beam=2),
                [STEPS, *[RATING] * 3, STEPS, STEPS, *[RATING] * 6, "yawroN"],
            ),
            (TheirVote(), [theirs]),
        ),
        "rag": (
            "RAG with citations / the RAG of DSPy's tutorial",
            (ts.RAG(found, k=3), ['{"answer": "yawroN", "citations": [1]}']),
            (
                TheirRAG(found),
                [chat(reasoning="It is in the first passage.", response="yawroN")],
            ),
        ),
    }


def timed(program: Any, engine: InTurn, lm: Any, numbers: "itertools.count[int]") -> Callable[[], float]:
    """Return a function that gives the CPU seconds of one call, over `RUNS` runs on new inputs."""

    def run() -> float:
        questions = [f"What is the capital of Norway, asked for the {next(numbers)}th time?" for _ in range(RUNS)]
        called = engine.calls
        with dspy.context(lm=lm, trace=[]):
            start = time.process_time()
            for question in questions:
                found = program(question=question)
                if (found.response if "response" in found else found.answer) != "yawroN":
                    raise AssertionError(f"a wrong answer: {found}")
            spent = time.process_time() - start
        return spent / (engine.calls - called)

    return run


def compared(name: str, what: str, ours: tuple[Any, list[str]], theirs: tuple[Any, list[str]], rounds: int) -> Row:
    numbers = itertools.count()
    engines = {"tunesmith": InTurn(ours[1]), "dspy": InTurn(theirs[1])}
    runs = {
        "dspy": timed(theirs[0], engines["dspy"], dspy.LM("noop/noop", engine=engines["dspy"], cache=False), numbers),
        "tunesmith": timed(ours[0], engines["tunesmith"], build_lm("noop", engines["tunesmith"]), numbers),
    }
    for run in runs.values():
        run()  # imports, plans and first-time work
    found = in_turn(runs, rounds)
    details = {"microseconds": medians(found, 1e6), "rounds": spread(found, "tunesmith", "dspy")}
    return Row(name, f"CPU of a call, {what}", ratio(found, "tunesmith", "dspy"), LIMIT, details=details)


def main() -> int:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else REPEATS
    return report((compared(name, *side, rounds) for name, side in sides().items()), OUT)


if __name__ == "__main__":
    sys.exit(main())
