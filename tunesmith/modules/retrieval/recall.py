"""`Recall`: passages of a conversation's own past."""

from collections.abc import Mapping
from typing import Any

from tunesmith.errors import UsageError, shown
from tunesmith.modules.agents.conversation import checked_turns, turn_text
from tunesmith.modules.flow import Flow, Steps
from tunesmith.modules.module import Prediction
from tunesmith.modules.registry import register_module
from tunesmith.modules.retrieval.passage import Passage, as_passages, passage_id
from tunesmith.modules.retrieval.word_index import WordIndex
from tunesmith.modules.setting import Setting

__all__ = ["Recall"]


@register_module
class Recall(Flow):
    """Search the turns of a conversation, `past`, for those that share the rarest words with one input (BM25).

    The memory of a modular RAG: put it before `ts.Generate`. Returns `passages`: those that it was given first, then
    the turns, with the source `past`. No call.

    Args:
        field: name of the input that is the query.
        k: most turns.

    Raises:
        UsageError: `field` is no name. At a call: `past` is not a list of mappings.

    Example:
        >>> import tunesmith as ts
        >>> past = [{"note": "The guest is Ada."}, {"note": "Tea is served at five."}]
        >>> [passage.text for passage in ts.Recall(k=1)(question="Who is the guest?", past=past).passages]
        ['[1] note: The guest is Ada.']
    """

    k: int = Setting(3, choices=(1, 3), low=1, help="most turns")

    def __init__(self, field: str = "question", k: int = 3) -> None:
        super().__init__()
        if not isinstance(field, str) or not field.isidentifier():
            raise UsageError(f"`field` must be the name of an input. Given: {shown(field)}.")
        self.field, self.k = field, k

    def spec(self) -> Mapping[str, Any]:
        """Return the constructor's arguments except the settings."""
        return {"field": self.field}

    def calls(self) -> Mapping[str, int]:
        """Return how often one run runs each inner module."""
        return {}

    def steps(self, *, past: Any = (), passages: Any = (), **inputs: Any) -> Steps:
        """Search the turns."""
        texts = [turn_text(turn, number) for number, turn in enumerate(checked_turns(past, "past"), 1)]
        found = WordIndex(texts).search(str(inputs.get(self.field, "")), self.k)
        turns = [Passage(texts[place], score, passage_id("past", texts[place]), "past") for place, score in found]
        yield from ()  # a generator, although it asks for nothing
        return Prediction(passages=[*as_passages(passages), *turns])
