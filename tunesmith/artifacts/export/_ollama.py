"""A one-predictor program as a model of Ollama: base, system text, turns and parameters."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tunesmith.artifacts.export._prompt import Prompt
from tunesmith.artifacts.export._source import Source
from tunesmith.artifacts.export._target import Export
from tunesmith.errors import UsageError, shown
from tunesmith.options import option

__all__ = ["OllamaExport", "OllamaModel"]

_PARAMETERS = {
    "frequency_penalty", "min_p", "num_keep", "presence_penalty", "repeat_last_n", "repeat_penalty", "seed",
    "temperature", "top_k", "top_p", "typical_p",
}  # fmt: skip
_NO_PENALTY = 1.0  # what is sent to Ollama if neither the program nor the model says otherwise
_BASE = re.compile(r'[^\s"\'\x00-\x1f\x7f](?:[^\r\n"\x00-\x1f\x7f]*[^\s"\x00-\x1f\x7f])?')


@dataclass(frozen=True)
class OllamaModel:
    """What Ollama makes the model of.

    Attributes:
        base: the model that it is made from.
        system: the system text, `None` if the program sends none.
        turns: of the demos, by turns of the user and the assistant.
        parameters: by their names in Ollama.
        question: the form of the message that a client sends.
        notes: what is not carried.
    """

    base: str
    system: str | None
    turns: tuple[tuple[str, str], ...]
    parameters: Mapping[str, Any]
    question: str
    notes: tuple[str, ...]


@dataclass(frozen=True)
class OllamaExport(Export):
    """The shared options of what makes a model of Ollama."""

    base: str | None = option(
        None, "The model that it is made from, such as `qwen3:0.6b`. Default: the artifact's, if that ran on Ollama."
    )
    num_ctx: int | None = option(None, "Tokens of context. Default: the artifact's, if that ran on Ollama.", low=1)
    stop: tuple[str, ...] = option((), "Texts that end a reply; they take the place of the base model's own.")

    def model(self, source: Source) -> OllamaModel:
        """Return the model.

        Raises:
            UsageError: Ollama cannot carry the program, or there is no base.
        """
        prompt = source.only_prompt(self.name)
        ran = _ran_on_ollama(source)
        *before, asked = prompt.messages
        texts = [(one.role, one.text(lambda _: "")) for one in before]
        system = texts.pop(0)[1] if texts and texts[0][0] == "system" else None
        _check(prompt, texts)
        marks = prompt.placeholders()
        question = asked.text(lambda blank: blank.inline + marks[blank.name])
        notes = (*source.notes, *_notes(prompt, self.stop), *prompt.notes)
        if system is None:
            notes = ("The program sends no system text, so that of the base stays.", *notes)
        parameters = self._parameters(prompt, ran)
        return OllamaModel(self._base(ran), system, tuple(texts), parameters, question, notes)

    def _base(self, ran: Mapping[str, Any]) -> str:
        base = self.base or ran.get("model")
        if base is None:
            raise UsageError(
                "Which model is it made from? The program was not compiled on Ollama. Give `base=NAME`, on the command "
                "line `--set base=NAME`."
            )
        if _BASE.fullmatch(base) is None:
            raise UsageError(f"`base` must be the name of a model, such as `qwen3:0.6b`. Given: {shown(base)}.")
        return str(base)

    def _parameters(self, prompt: Prompt, ran: Mapping[str, Any]) -> dict[str, Any]:
        options = dict(prompt.options)
        found = {name: options[name] for name in sorted(_PARAMETERS & options.keys())}
        known = dict(ran.get("details") or {})
        if "repeat_penalty" not in found and (not ran or "repeat_penalty" in known):
            found["repeat_penalty"] = float(known.get("repeat_penalty", _NO_PENALTY))
        room = self.num_ctx or known.get("num_ctx")
        if room is not None:
            found["num_ctx"] = int(room)
        if "max_tokens" in options:
            found["num_predict"] = options["max_tokens"]
        if self.stop:
            found["stop"] = list(self.stop)
        return found


def _ran_on_ollama(source: Source) -> Mapping[str, Any]:
    """Return the identity of the artifact's model if it is one of Ollama, else nothing."""
    identity = source.artifact.lm if source.artifact is not None else {}
    return identity if str(identity.get("backend", "")).split()[:1] == ["ollama"] else {}


def _check(prompt: Prompt, turns: list[tuple[str, str]]) -> None:
    def refuse(why: str) -> UsageError:
        return UsageError(f"A model of Ollama cannot carry the messages of `{prompt.path}`: {why}")

    if [role for role, _ in turns] != ["user", "assistant"] * (len(turns) // 2):
        raise refuse("its demos are not by turns of the user and the assistant, and Ollama merges turns of one role.")
    if any(text == "" for _, text in turns):
        raise refuse("a turn of a demo is empty, and Ollama drops those. Remove that demo.")


def _notes(prompt: Prompt, stop: tuple[str, ...]) -> Iterator[str]:
    yield (
        "The reply is not held to its form (`format`), a prompt that is too long is cut in silence, and a model that "
        "can think may do so: a model of Ollama has no setting for these. A client that sends a system message of its "
        "own takes the place of this one's."
    )
    moved = [blank for blank in prompt.blanks if blank.is_moved]
    if moved:
        names = ", ".join(blank.name for blank in moved)
        yield (
            f"A client that asks with several lines in {names} writes them as the program does: below the name of the "
            f"field, each set in by {len(moved[0].joint) - 1} blanks."
        )
    wanted = [text for text in prompt.options.get("stop", ()) if text not in stop]
    if wanted:
        yield (
            f"tunesmith also ends a reply at {', '.join(map(repr, wanted))}. A model's own stops would get lost beside "
            "that, so it is not written; give all of them with `stop`."
        )
    lost = sorted(prompt.options.keys() - _PARAMETERS - {"max_tokens", "stop"})
    if lost:
        yield f"These options of a request are no parameters of a model: {', '.join(lost)}."
