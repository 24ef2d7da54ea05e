"""`scored`: the reply is one of a few labels, and the answer is the label with the highest score."""

from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

from tunesmith.errors import FormatError, UsageError, shown
from tunesmith.formats.bare import BareFormat
from tunesmith.formats.fields import field_titles
from tunesmith.formats.format import Adapter, ReplyError, field_notes, thinking_of
from tunesmith.formats.likeliest import label_logprobs
from tunesmith.formats.options import Constraint
from tunesmith.formats.plan import Plan
from tunesmith.formats.registry import get_format, register
from tunesmith.formats.thoughts import is_around
from tunesmith.lazy import lazy_module
from tunesmith.lm import Capabilities, Response
from tunesmith.signatures import Signature, field_names, labels, parse_text, render_text

if TYPE_CHECKING:
    from tunesmith.formats import streaming
    from tunesmith.formats.streaming import FieldReader
else:
    streaming = lazy_module("tunesmith.formats.streaming")  # most calls are not streamed

__all__ = [
    "LABEL_LOGPROBS",
    "LetterFormat",
    "ScoredFormat",
    "calibrated_format",
    "gives_label_logprobs",
    "scored_format",
]

LABEL_LOGPROBS = "label_logprobs"
"""The output that holds the log-probability of each label, by its text."""

_MOST_ALTERNATIVES = 50
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_EDGES = " _-/.:"  # a token of a usual tokenizer does not go on beyond these


class ScoredFormat(BareFormat):
    """`bare` for one closed set of labels, with the log-probability of each label from the same reply.

    The messages are those of `bare`. The request asks for alternatives per token as well, and the answer is the label
    with the highest log-probability plus its offset (0 without calibration). The prediction has the log-probabilities,
    without offsets, as `label_logprobs`: see `label_logprobs` of `likeliest.py` for what they are.

    An engine that takes a grammar holds the reply to the labels. Any other engine gets a stop at the line end and no
    schema: the label has to be the first token, and log-probabilities are the model's own, before the constraint. An
    engine without log-probabilities gets the request of `bare`, and the prediction has no `label_logprobs`; with
    offsets that is an error before the call.

    Attributes:
        offsets: by label text; what a label lacks is 0.
    """

    name: ClassVar[str] = "scored"

    def __init__(self) -> None:
        super().__init__()
        self.offsets: Mapping[str, float] = MappingProxyType({})

    def check_outputs(self, signature: type[Signature]) -> None:
        """Refuse signatures without one output of at least two labels, and offsets of other labels."""
        super().check_outputs(signature)
        name = field_names(signature).outputs[0]
        choices = labels(signature, name)
        if choices is None or len(choices) < 2:
            raise FormatError(
                f"The format `{self.name}` carries one output of two labels or more: a Literal, an Enum or a bool. "
                f"`{name}` is not. Use the format `bare`."
            )
        unknown = sorted(set(self.offsets) - set(choices))
        if unknown:
            raise FormatError(
                f"There are offsets for {', '.join(map(repr, unknown))}, but the labels of `{name}` are "
                f"{', '.join(choices)}. Give offsets of these labels."
            )

    def mode(self, signature: type[Signature], capabilities: Capabilities, *, shown: bool = False) -> str:
        """Ask for alternatives, under a grammar if the engine takes one."""
        if capabilities.logprobs > 1:
            way = "grammar" if "grammar" in capabilities.constraints else "free"
            return f"{way}-{min(capabilities.logprobs, _MOST_ALTERNATIVES)}"
        if any(self.offsets.values()):
            raise FormatError(
                "The predictor is calibrated, which needs the log-probabilities of labels, and this model has none. "
                "Use a model that does (`embedded`, `gguf:`, Ollama from 0.12.11, vLLM), or compile for this one."
            )
        return super().mode(signature, capabilities, shown=shown)

    def constraint(self, signature: type[Signature], mode: str) -> Constraint:
        """Return the constraint of `bare`, with the alternatives."""
        way, _, count = mode.partition("-")
        if not count:
            return super().constraint(signature, way)
        held = super().constraint(signature, "grammar" if way == "grammar" else "likeliest")
        return held._replace(alternatives=int(count))

    def read(self, signature: type[Signature], text: str, mode: str, *, cut: bool) -> dict[str, Any]:
        """Return the label that the reply's text holds."""
        return super().read(signature, text, mode.partition("-")[0], cut=cut)

    def disproves(self, signature: type[Signature], text: str, mode: str, *, cut: bool) -> bool:
        """Return whether the grammar of the labels cannot have allowed the reply."""
        return super().disproves(signature, text, mode.partition("-")[0], cut=cut)

    def reader(self, signature: type[Signature], mode: str) -> "FieldReader":
        """Return a reader that waits for the whole reply: the answer may be another label than its text."""
        return streaming.WholeReader()

    def written(self, signature: type[Signature]) -> Mapping[str, str]:
        """Return the label of each text that the model may write."""
        return {text: text for text in labels(signature, field_names(signature).outputs[0]) or ()}

    def _outputs(self, signature: type[Signature], plan: Plan, response: Response) -> dict[str, Any]:
        texts = self.written(signature)
        found = label_logprobs(list(texts), response.logprobs or ()) if "-" in plan.mode else {}
        if not found or is_around(response.text or "") or thinking_of(response):
            return super()._outputs(signature, plan, response)
        name = field_names(signature).outputs[0]
        values = {texts[text]: value for text, value in found.items()}
        best = max(value + self.offsets.get(label, 0.0) for label, value in values.items())
        tied = [label for label, value in values.items() if value + self.offsets.get(label, 0.0) == best]
        chosen = tied[0] if len(tied) == 1 else self._said(signature, plan, response, tied)
        return {name: parse_text(signature, name, chosen, raw=chosen), LABEL_LOGPROBS: values}

    def _said(self, signature: type[Signature], plan: Plan, response: Response, tied: list[str]) -> str:
        """Return which of the equally likely labels the reply says, the first one if it says none."""
        name = field_names(signature).outputs[0]
        try:
            said = render_text(signature, name, super()._outputs(signature, plan, response)[name])
        except ReplyError:
            return tied[0]
        return said if said in tied else tied[0]


class LetterFormat(ScoredFormat):
    """`scored`, with a letter for each label: the reply is `A`, `B` and so on.

    For labels that begin with the same word, such as `card_arrival` and `card_payment`: their first token is the same,
    so that it does not tell them apart. The prompt lists each letter with its label, and demos reply with letters.
    """

    name: ClassVar[str] = "scored-letters"

    def check_outputs(self, signature: type[Signature]) -> None:
        """Refuse more labels than there are letters."""
        super().check_outputs(signature)
        name = field_names(signature).outputs[0]
        count = len(labels(signature, name) or ())
        if count > len(_LETTERS):
            raise FormatError(
                f"The format `{self.name}` has {len(_LETTERS)} letters, and `{name}` has {count} labels. Use the "
                "format `scored`."
            )

    def system_text(self, signature: type[Signature]) -> str:
        """Return instruction, notes, and each letter with its label."""
        title = field_titles(signature)[field_names(signature).outputs[0]]
        listed = [f"{letter}. {label}" for letter, label in self.written(signature).items()]
        parts = [signature.instructions, field_notes(signature), f"{title} is one of these. Reply with its letter."]
        return "\n".join(part for part in (*parts, *listed) if part)

    def demo_reply(self, signature: type[Signature], values: Mapping[str, Any]) -> str:
        """Return the label's letter."""
        label = super().demo_reply(signature, values)
        return {text: letter for letter, text in self.written(signature).items()}[label]

    def constraint(self, signature: type[Signature], mode: str) -> Constraint:
        """Return a grammar of the letters, or a stop at the line end."""
        way, _, count = mode.partition("-")
        if way == "grammar":
            choice = " | ".join(f'"{letter}"' for letter in self.written(signature))
            return Constraint(grammar=f"root ::= {choice}", alternatives=int(count or 0))
        return super().constraint(signature, mode) if count else Constraint(stop=("\n",) if way == "free" else ())

    def mode(self, signature: type[Signature], capabilities: Capabilities, *, shown: bool = False) -> str:
        """Ask for alternatives, under a grammar if the engine takes one. No schema holds a letter."""
        found = super().mode(signature, capabilities, shown=shown)
        return "none" if found in ("schema", "likeliest") else found

    def read(self, signature: type[Signature], text: str, mode: str, *, cut: bool) -> dict[str, Any]:
        """Return the label of the letter that the reply holds, or the label that it writes in full."""
        letter, texts = text.strip().rstrip(".):").upper(), self.written(signature)
        label = texts.get(letter)
        return super().read(signature, text if label is None else label, "none", cut=cut and label is None)

    def disproves(self, signature: type[Signature], text: str, mode: str, *, cut: bool) -> bool:
        """Return whether the grammar of the letters cannot have allowed the reply."""
        return mode.startswith("grammar") and text not in self.written(signature)

    def written(self, signature: type[Signature]) -> Mapping[str, str]:
        """Return the label of each letter."""
        choices = labels(signature, field_names(signature).outputs[0]) or ()
        return dict(zip(_LETTERS, choices, strict=False))


def scored_format(signature: type[Signature]) -> str | None:
    """Return the format that gives log-probabilities of the labels, `None` if the outputs are not one closed set.

    Labels that begin with the same word have the same first token, so they get letters. Others are told apart by what
    the model reports.

    Example:
        >>> from tunesmith.signatures import declared
        >>> scored_format(declared("text -> mood: Literal['good', 'bad']"))
        'scored'
        >>> scored_format(declared("text -> intent: Literal['card_lost', 'card_stolen']"))
        'scored-letters'
    """
    names = field_names(signature).outputs
    choices = labels(signature, names[0]) if len(names) == 1 else None
    if choices is None or len(choices) < 2:
        return None
    apart = len({_first_word(label) for label in choices}) == len(choices)
    return "scored" if apart or len(choices) > len(_LETTERS) else "scored-letters"


def gives_label_logprobs(name: str | None) -> bool:
    """Return whether predictions in the format called `name` have the log-probabilities of labels."""
    return name is not None and isinstance(get_format(name), ScoredFormat)


def _first_word(label: str) -> str:
    end = next((at for at, char in enumerate(label) if at and char in _EDGES), len(label))
    return label[:end]


def calibrated_format(name: str, offsets: Mapping[str, float]) -> Adapter:
    """Return the format called `name` with these offsets by label, the plain one if there are none.

    Raises:
        UsageError: there is no such format, it takes no offsets, or an offset is not a finite number.
    """
    return _calibrated(name, tuple(offsets.items())) if offsets else get_format(name)


@lru_cache(maxsize=64)
def _calibrated(name: str, offsets: tuple[tuple[str, float], ...]) -> Adapter:
    plain = get_format(name)
    if not isinstance(plain, ScoredFormat):
        raise UsageError(f"The format `{name}` takes no offsets of labels. Use `scored` or `scored-letters`.")
    for label, value in offsets:
        if type(label) is not str or type(value) not in (int, float) or not -1e9 < value < 1e9:
            raise UsageError(f"An offset is a finite number for a label. Given: {shown(label)}: {shown(value)}.")
    made = type(plain)()
    made.offsets = MappingProxyType(dict(offsets))
    return made


register(ScoredFormat())
register(LetterFormat())
