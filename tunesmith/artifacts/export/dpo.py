"""`dpo`: pairs of a better and a worse reply to the same messages."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from tunesmith.artifacts.export._fine_tuning import FineTuning, Sample
from tunesmith.artifacts.export._preferences import preferences
from tunesmith.artifacts.export._replies import ASSISTANT, Messages
from tunesmith.artifacts.export._run_rows import RunRows
from tunesmith.artifacts.export._target import register_export
from tunesmith.artifacts.export.sharegpt import conversation, turn
from tunesmith.options import option

__all__ = ["DPO"]


@register_export
@dataclass(frozen=True)
class DPO(FineTuning):
    """Pairs of replies to one input that scored differently in a run, with an entry and a config for LLaMA-Factory.

    The best run of an example, which needs `min_score`, is compared with each that scores at least `margin` less. The
    first step in which they part gives the pair.
    """

    name: ClassVar[str] = "dpo"
    stage: ClassVar[str] = "dpo"

    margin: float = option(0.5, "The least difference between the scores of the two runs of a pair.", low=1e-9)

    def samples(self, run: RunRows, left_out: Counter[str]) -> list[Sample]:
        """Return the pairs."""
        messages = Messages(run.program)
        found = preferences(
            run.rows, messages, least=self.min_score, margin=self.margin, first=run.chosen, left_out=left_out
        )
        return [
            Sample(
                one.example,
                one.prompt,
                {
                    "conversations": conversation(one.prompt),
                    "chosen": turn(ASSISTANT, one.chosen),
                    "rejected": turn(ASSISTANT, one.rejected),
                    "system": one.prompt.system,
                },
            )
            for one in found
        ]

    def entry(self, samples: Sequence[Sample]) -> dict[str, Any]:
        """Return the entry."""
        names = ("chosen", "rejected", "system")
        columns = {"messages": "conversations", **{name: name for name in names}}
        return {"formatting": "sharegpt", "ranking": True, "columns": columns}

    def advice(self, run: RunRows) -> str:
        """Return what to do if there are no pairs."""
        counts = Counter(entry.key.example for entry in run.rows)
        several = sum(count > 1 for count in counts.values())
        if not run.rows:
            return super().advice(run)
        return (
            f"A pair needs two runs of one example that part in a reply and whose scores differ by `margin` "
            f"({self.margin:g}), the better one at least `min_score` ({self.min_score:g}). Of {len(counts)} examples "
            f"{several} were run more than once. Set these lower, use `replies='all'`, or compile with more candidates."
        )
