"""`kto`: replies that are good, and replies that are not."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from tunesmith.artifacts.export._fine_tuning import FineTuning, Sample, run_replies
from tunesmith.artifacts.export._replies import ASSISTANT
from tunesmith.artifacts.export._run_rows import RunRows
from tunesmith.artifacts.export._target import register_export
from tunesmith.artifacts.export.sharegpt import conversation, turn
from tunesmith.data import canonical_json
from tunesmith.errors import UsageError
from tunesmith.options import option

__all__ = ["KTO"]


@register_export
@dataclass(frozen=True)
class KTO(FineTuning):
    """Good and bad replies of a run, each with `kto_tag`, with an entry and a config for LLaMA-Factory.

    A reply is good with a score of `min_score`, bad with `margin` less than that; what is between is left out. A reply
    counts by the best score that it led to.
    """

    name: ClassVar[str] = "kto"
    stage: ClassVar[str] = "kto"

    margin: float = option(0.5, "How much less than `min_score` a bad reply scores at most.", low=1e-9)

    def samples(self, run: RunRows, left_out: Counter[str]) -> list[Sample]:
        """Return good and bad replies."""
        found: list[Sample] = []
        for reply in run_replies(run, left_out, calls=False):
            good = reply.score >= self.min_score
            if not good and reply.score > self.min_score - self.margin:
                left_out["that are neither good nor bad (`min_score`, `margin`)"] += 1
            elif not reply.text:  # LLaMA-Factory takes an empty good reply for a bad one
                left_out["without a text"] += 1
            else:
                turns = [*conversation(reply.prompt), turn(ASSISTANT, reply.text)]
                values = {"conversations": turns, "kto_tag": good, "system": reply.prompt.system}
                found.append(Sample(reply.example, reply.prompt, values))
        kinds = {sample.values["kto_tag"] for sample in found}
        if len(kinds) == 1:
            which, other = ("good", "bad") if kinds == {True} else ("bad", "good")
            raise UsageError(
                f"KTO needs good and bad replies. The {len(found)} replies of the run {run.name!r} that can be used "
                f"are all {which}: none is {other} by `min_score` ({self.min_score:g}) and `margin` ({self.margin:g}). "
                "Change these, use `replies='all'`, or compile with more candidates."
            )
        # LLaMA-Factory compares each reply with one to another question: that of the row before.
        return sorted(found, key=lambda one: hashlib.sha256(canonical_json(dict(one.values)).encode()).hexdigest())

    def entry(self, samples: Sequence[Sample]) -> dict[str, Any]:
        """Return the entry."""
        columns = {"messages": "conversations", "kto_tag": "kto_tag", "system": "system"}
        return {"formatting": "sharegpt", "columns": columns}
