"""`markdown`: a page for people, for instance in a pull request."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from tunesmith.artifacts.artifact import Artifact
from tunesmith.artifacts.export._prompt import Prompt
from tunesmith.artifacts.export._source import Source
from tunesmith.artifacts.export._target import Export, Exported, register_export

__all__ = ["Markdown"]

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~!&-])")


@register_export
@dataclass(frozen=True)
class Markdown(Export):
    """A page for people: fields, the exact messages, options and scores."""

    name: ClassVar[str] = "markdown"

    def files(self, source: Source) -> Exported:
        """Return `prompt.md`."""
        prompts = source.prompts
        lines = [f"# {_plain(source.title)}", ""]
        if source.artifact is not None:
            lines += _about(source.artifact)
        for prompt in prompts:
            lines += _described(prompt, alone=len(prompts) == 1)
        notes = (*source.notes, *(note for prompt in prompts for note in prompt.notes))
        lines += ["## What this page leaves out", "", *(f"- {note}" for note in notes)]
        return Exported({"prompt.md": "\n".join(lines) + "\n"})


def _about(artifact: Artifact) -> Iterator[str]:
    model = artifact.lm
    rows = {
        "model": f"{model.get('model')} ({model.get('backend')})",
        "verdict": artifact.verdict,
        "sha256": artifact.sha256,
        **{name: _score(one) for name, one in artifact.scores.items() if _score(one)},
    }
    yield from _table(("", ""), list(rows.items()))


def _score(one: Any) -> str:
    if not isinstance(one, dict) or one.get("mean") is None:
        return ""
    return f"{one['mean']:.3f} ({one['low']:.3f} to {one['high']:.3f}, n = {one['n']})"


def _described(prompt: Prompt, *, alone: bool) -> Iterator[str]:
    yield f"## {'Fields' if alone else f'Predictor {_plain(prompt.path)}'}"
    yield ""
    rows = [
        (role, one["name"], one["type"], one["desc"] or "")
        for role in ("input", "output")
        for one in prompt.fields(role)
    ]
    yield from _table(("role", "field", "type", "description"), rows)
    options = ", ".join(f"`{name}` = {_plain(str(value))}" for name, value in prompt.options.items())
    yield f"Format: `{prompt.format}`. Options: {options}."
    yield ""
    yield f"## {'Messages' if alone else f'Messages of {_plain(prompt.path)}'}"
    yield ""
    marks = prompt.placeholders()
    for message in prompt.messages:
        yield f"**{message.role}**"
        yield ""
        yield from _fenced(message.text(lambda blank: blank.inline + marks[blank.name]))


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield "|---" * len(head) + "|"
    for row in rows:
        yield f"| {' | '.join(_plain(cell) for cell in row)} |"
    yield ""


def _fenced(text: str) -> Iterator[str]:
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    yield f"{fence}text"
    yield text
    yield fence
    yield ""


def _plain(text: str) -> str:
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))
