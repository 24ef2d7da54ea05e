"""`Memory`: a step that reads the last turns of a conversation, and those of the earlier ones that matter now."""

from collections.abc import Mapping, Sequence
from threading import Lock
from typing import Any

from tunesmith.errors import UsageError, shown
from tunesmith.lm import LM, lm
from tunesmith.modules.agents.conversation import checked_turns, fitting, plain_turn, turn_text
from tunesmith.modules.flow import Flow, Steps
from tunesmith.modules.flows.parts import Parts, joined_signature, prediction_fields
from tunesmith.modules.module import Module, Prediction
from tunesmith.modules.registry import register_module
from tunesmith.modules.retrieval.vector_index import VectorIndex
from tunesmith.modules.retrieval.word_index import WordIndex
from tunesmith.modules.setting import Setting
from tunesmith.modules.step import as_text
from tunesmith.signatures import InputField

__all__ = ["Memory"]

_MEMORY, _PAST = "memory", "past"
_NOTHING = "Nothing was said before."
_REASONING = "reasoning"
_MOST_KNOWN = 10_000  # vectors that are kept


@register_module
class Memory(Flow):
    """Let a step read a conversation: its last turns (short-term), and earlier ones that matter now (long-term).

    The conversation is a value, `past`: a list of turns, each a mapping of names to texts. A call gets it and returns a
    longer one, so the module itself keeps nothing: it can be evaluated, copied and used by many at once. A fact that
    is to be remembered is a turn, too, such as `{"note": "The guest is Ada."}`.

    The step's input `memory` gets the last turns that fit into `tokens`. Of the earlier turns it gets up to `recalled`
    that are most like the inputs, again within `tokens`. A run is one run of the step.

    Returns the step's fields with `past`, to which this turn is added: the inputs and the outputs, without reasoning.

    Args:
        step: a module with an input `memory`, such as `ts.Predict("memory, message -> reply")`.
        tokens: most tokens of the last turns, and of the recalled ones. A token is a word, a mark, or one Chinese
            character. A longer turn is cut.
        recalled: most turns that are recalled; 0 for none.
        embed: what turns are compared by: `None` for their words (BM25), or a model that gives vectors, its name, or a
            function of a list of texts, as in `ts.Vectors`.

    Raises:
        UsageError: the step has no input `memory`, or a field `past`. At a call: `past` is not a list of mappings.

    Example:
        >>> import dspy
        >>> import tunesmith as ts
        >>> chat = ts.Memory(ts.Predict("memory, message -> reply"))
        >>> with dspy.context(lm=ts.ScriptedLM("Hello Ada!", "You are Ada.")):
        ...     first = chat(message="I am Ada.")
        ...     second = chat(message="Who am I?", past=first.past)
        >>> second.reply, len(second.past)
        ('You are Ada.', 2)
    """

    tokens: int = Setting(500, choices=(200, 500, 1000), low=20, help="most tokens of the last turns")
    recalled: int = Setting(3, choices=(0, 3, 6), low=0, help="most earlier turns that are recalled")

    def __init__(self, step: Module, tokens: int = 500, recalled: int = 3, embed: Any = None) -> None:
        super().__init__()
        self.parts = Parts(self, "step", {"step": step})
        inputs, outputs = self.parts.input_types("step"), self.parts.output_types("step")
        if _MEMORY not in inputs:
            raise UsageError(f"The step needs an input `{_MEMORY}`. Its inputs: {', '.join(inputs) or 'unknown'}.")
        if _PAST in inputs or _PAST in (outputs or ()):
            raise UsageError(f"The step has a field `{_PAST}`, but this module adds that field itself. Rename it.")
        self._outputs = None if outputs is None else [name for name in outputs if name != _REASONING]
        self._search = _Search(lm(embed) if isinstance(embed, str) else embed)
        self.tokens, self.recalled = tokens, recalled
        own = {name: kind for name, kind in inputs.items() if name != _MEMORY}
        joined: Any = None if outputs is None else joined_signature(own, outputs, self.parts.defaults())
        field: Any = InputField(default=[])
        self.signature = None if joined is None else joined.append(_PAST, field, list[dict[str, Any]])

    def spec(self) -> Mapping[str, Any]:
        """Return the constructor's arguments except the settings."""
        return {"step": self.step, "embed": self._search.to_json()}

    def calls(self) -> Mapping[str, int]:
        """Return how often one run runs each inner module."""
        return {"step": 1}

    def steps(self, *, past: Any = (), **inputs: Any) -> Steps:
        """Recall, run the step, and add the turn."""
        turns = checked_turns(past, _PAST)
        given = {**inputs, _MEMORY: self.recall(turns, as_text(plain_turn(inputs)))}
        found = prediction_fields((yield self.parts.call(self, "step", given)), "The step of a `Memory`")
        names = [name for name in found if name != _REASONING] if self._outputs is None else self._outputs
        turn = plain_turn({**inputs, **{name: found.get(name) for name in names}})
        return Prediction(**{**found, _PAST: [*turns, turn]})

    def recall(self, past: Sequence[Mapping[str, Any]], query: str) -> str:
        """Return what the step reads of a conversation if its inputs are `query`."""
        texts = [turn_text(turn, number) for number, turn in enumerate(past, 1)]
        last = fitting(reversed(texts), self.tokens)[::-1]
        earlier = texts[: len(texts) - len(last)]
        found = self._search(earlier, query, self.recalled) if earlier and self.recalled else []
        nearest = fitting((earlier[position] for position in found), self.tokens)
        in_order = [text for _, text in sorted(zip(found, nearest, strict=False))]
        parts = {"Earlier turns that may matter:": in_order, "Last turns:": last}
        return "\n".join(line for title, some in parts.items() if some for line in (title, *some)) or _NOTHING


class _Search:
    """Finds the turns that are most like a query. Copies of a program share the vectors, each of which is made once."""

    def __init__(self, embed: Any) -> None:
        if embed is not None and not callable(embed):
            raise UsageError(f"`embed` must be a model, its name, a function, or None. Given: {shown(embed)}.")
        self._embed = embed
        self._known: dict[str, Any] = {}
        self._gate = Lock()

    def __deepcopy__(self, memo: dict[int, Any]) -> "_Search":
        return self

    def to_json(self) -> Any:
        """Return the constructor's argument for an artifact, which holds no function."""
        if self._embed is None or isinstance(self._embed, LM):
            return None if self._embed is None else self._embed.model
        return {"function": getattr(self._embed, "__qualname__", "")}

    def __call__(self, texts: Sequence[str], query: str, k: int) -> list[int]:
        """Return the positions of up to `k` texts, the best first."""
        if self._embed is None:
            return [position for position, _ in WordIndex(texts).search(query, k)]
        with self._gate:
            index = VectorIndex(texts, self._embed, self._known)
            if len(self._known) > _MOST_KNOWN:
                self._known.clear()
            self._known |= index.vectors()
        return [position for position, _ in index.search(query, k)]
