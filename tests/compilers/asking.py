"""A compiler that asks for instructions and races them, as somebody who adds one would write it: all of it is here."""

from dataclasses import dataclass

import tunesmith as ts
from tunesmith.compilers import Compiler, Effort, Search, option, outcome_texts, pair_texts


class Propose(ts.Signature):
    """Write one better instruction for the task. Give no answer and no example."""

    instruction: str = ts.InputField(desc="that is used now")
    pairs: list[str] = ts.InputField(desc="inputs and right outputs")
    reasoning: str = ts.OutputField()
    better: str = ts.OutputField(desc="the instruction")


@dataclass(frozen=True)
class Asking(Compiler):
    """Ask for instructions, keep those that may be used, race them, and go on from the best."""

    proposals: int = option(4, "Instructions that are asked for at a time.", low=1)
    rounds: int = option(1, "How often they are asked for.", low=1)
    failing: int = option(4, "Training examples that are run to find failures.", low=0)

    def effort(self, *, train: int, calls: float) -> Effort:
        """Return the last race, which has the candidates of all rounds, and the proposals."""
        asked, runs = self.proposals * self.rounds, min(self.failing, train) * self.rounds
        return Effort(candidates=asked, race="paired-halving", proposals=asked, runs=runs, most_runs=runs)

    def search(self, search: Search) -> None:
        """Improve one predictor after the other."""
        best = search.base
        if not search.paths:
            return
        for number in range(self.rounds):
            path = search.paths[number % len(search.paths)]
            wrong = search.failures(best, self.failing, draw=number) if self.failing else []
            pairs = pair_texts(search.examples(path, 2, draw=number)) + outcome_texts(wrong, path)
            given = best.parts[path].instruction
            texts = search.propose(path, Propose, self.proposals, instruction=given, pairs=pairs)
            tried = [best.with_part(path, instruction=text) for text in texts]
            best = next(iter(search.race(tried) if tried else []), best)
