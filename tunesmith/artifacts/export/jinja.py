r"""`jinja`: the messages as a Jinja template.

The text of each message stands in a block of its own, so that people can read and change it. What Jinja would read as
its own, and what it would change or drop, stands as a string, as in `{{ "\r" }}`: it makes every line end a newline,
and settings drop white space at the ends of a block.
"""

import json
import re
from dataclasses import dataclass
from typing import ClassVar

from tunesmith.artifacts.export._prompt import Blank, Message, Prompt
from tunesmith.artifacts.export._source import Source
from tunesmith.artifacts.export._target import Export, Exported, register_export

__all__ = ["Jinja"]

_OWN = re.compile(r"\{(?=[{%#\r]|\s*\Z)|\r")
_EDGES = re.compile(r"\A\s+|\s+\Z")
_NEWLINE = '"\\n"'
_USE = """{{#- The messages of `{path}`, for Jinja without autoescape. `json.loads(template.render({inputs}))`
    is the list of messages. -#}}
"""


@register_export
@dataclass(frozen=True)
class Jinja(Export):
    """The messages of each predictor as a Jinja template, which renders to a JSON list of messages."""

    name: ClassVar[str] = "jinja"

    def files(self, source: Source) -> Exported:
        """Return `prompt.jinja`, or a file per predictor."""
        prompts = source.prompts
        alone = len(prompts) == 1
        files = {"prompt.jinja" if alone else f"{prompt.path}.jinja": _template(prompt) for prompt in prompts}
        return Exported(files, (*source.notes, *(note for prompt in prompts for note in prompt.notes)))


def _template(prompt: Prompt) -> str:
    taken = {blank.name for blank in prompt.blanks}
    name = "message"
    while any(one.startswith(name) for one in taken):
        name += "_"
    parts = [_USE.format(path=prompt.path, inputs=", ".join(f"{blank.name}=..." for blank in prompt.blanks))]
    listed = []
    for number, message in enumerate(prompt.messages, 1):
        parts.append(f"{{% set {name}{number} %}}{_text(message)}{{% endset %}}\n")
        listed.append(f'{{"role": {json.dumps(message.role)}, "content": {name}{number}}}')
    parts.append("{{ [" + ",\n    ".join(listed) + "] | tojson }}\n")
    return "".join(parts)


def _text(message: Message) -> str:
    text = message.text(_blank, lambda fixed: _OWN.sub(_expression, fixed))
    return _EDGES.sub(_expression, text)


def _expression(found: re.Match[str]) -> str:
    return f"{{{{ {_literal(found.group())} }}}}"


def _blank(blank: Blank) -> str:
    if not blank.is_moved:
        return f"{{{{ {blank.name} }}}}"
    several = f"{_literal(blank.lead)} ~ {blank.name} | replace({_NEWLINE}, {_literal(blank.joint)})"
    return f"{{{{ {several} if {_NEWLINE} in {blank.name} else {_literal(blank.inline)} ~ {blank.name} }}}}"


def _literal(text: str) -> str:
    """Return a string of Jinja, which reads the escapes of Python."""
    return '"' + text.encode("unicode_escape").decode().replace('"', '\\"') + '"'
