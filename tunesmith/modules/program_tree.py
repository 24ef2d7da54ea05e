"""`tree`: what a program is made of: its modules, their signatures, settings and tools, as text and as a drawing."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tunesmith.errors import UsageError, shown
from tunesmith.modules.agents.tool import Tool, tools_of
from tunesmith.modules.binding import bound_format
from tunesmith.modules.module import DspyPredict, DspyTool, Module, signature_of
from tunesmith.modules.setting import settings_of
from tunesmith.signatures import describe

__all__ = ["ProgramTree", "tree"]

_PART = re.compile(r"[.\[]")
_ENTITIES = str.maketrans({"#": "#35;", '"': "#quot;", "<": "#lt;", ">": "#gt;", "&": "#amp;", "`": "#96;"})


@dataclass(frozen=True, slots=True, repr=False)
class ProgramTree:
    """A module of a program and what is inside.

    Printed, it has a line for each module, setting and tool.

    Attributes:
        name: its attribute in the module around it; `self` for the program.
        kind: name of its class.
        signature: of a predictor: `question -> answer: int`; else empty.
        settings: values of its declared settings, and the format of a predictor if one is bound.
        tools: their names with arguments.
        frozen: whether it was compiled before and stays as it is.
        parts: the modules inside.

    Example:
        >>> import tunesmith as ts
        >>> print(ts.tree(ts.Map(ts.Predict("remark -> mood"), over="remarks", each="remark")))
        self: Map, most = 20
        └─ step: Predict, remark -> mood
    """

    name: str
    kind: str
    signature: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    tools: tuple[str, ...] = ()
    frozen: bool = False
    parts: "tuple[ProgramTree, ...]" = ()

    def __str__(self) -> str:
        return "\n".join(self._lines())

    __repr__ = __str__

    def _lines(self) -> Iterator[str]:
        notes = [f"{name} = {_value(value)}" for name, value in self.settings.items()]
        frozen = ["frozen"] if self.frozen else []
        yield ", ".join(filter(None, [f"{self.name}: {self.kind}", self.signature, *notes, *frozen]))
        inside = [[f"tool {one}"] for one in self.tools] + [list(part._lines()) for part in self.parts]
        for number, lines in enumerate(inside, 1):
            first, rest = ("└─ ", "   ") if number == len(inside) else ("├─ ", "│  ")
            yield from (f"{rest if place else first}{line}" for place, line in enumerate(lines))

    def mermaid(self) -> str:
        """Return a drawing in the language of Mermaid, which GitHub and many editors show in a `mermaid` block."""
        return "\n".join(["flowchart TD", *self._drawn("n")])

    def _drawn(self, own: str) -> Iterator[str]:
        notes = [f"{name} = {_value(value)}" for name, value in self.settings.items()]
        label = _drawn_text("\n".join(filter(None, [f"{self.name}: {self.kind}", self.signature, ", ".join(notes)])))
        yield f'    {own}(["{label}"])' if self.signature else f'    {own}["{label}"]'
        for number, tool in enumerate(self.tools):
            yield f'    {own}t{number}[["{_drawn_text(tool)}"]]'
            yield f"    {own} -.-> {own}t{number}"
        for number, part in enumerate(self.parts):
            yield from part._drawn(f"{own}_{number}")
            yield f"    {own} --> {own}_{number}"

    def to_json(self) -> dict[str, Any]:
        """Return the attributes as JSON values."""
        return {
            "name": self.name,
            "kind": self.kind,
            "signature": self.signature or None,
            "settings": dict(self.settings),
            "tools": list(self.tools),
            "frozen": self.frozen,
            "parts": [part.to_json() for part in self.parts],
        }


def tree(program: Module) -> ProgramTree:
    """Return what a program is made of; of tunesmith, of DSPy, or a class of your own.

    Modules come in the order of their attributes, those in lists and mappings too, as `steps[0]`. A module that stands
    in two places is shown at the first.

    Raises:
        UsageError: `program` is not a module.

    Example:
        >>> import tunesmith as ts
        >>> program = ts.Chain(keywords=ts.Predict("text -> keywords"), title=ts.Predict("text, keywords -> title"))
        >>> print(ts.tree(program))
        self: Chain
        ├─ keywords: Predict, text -> keywords
        └─ title: Predict, text, keywords -> title
    """
    if not isinstance(program, Module):
        raise UsageError(f"A program is a `dspy.Module`. Given: {shown(program)}. Pass an instance, not a class.")
    found: Any = program.named_sub_modules(Module)
    compiled: Any = program.named_sub_modules(Module, skip_compiled=True)
    loose = {id(module) for _, module in compiled}
    modules = dict(found)
    settings = settings_of(program)

    def made(path: str, name: str) -> ProgramTree:
        module = modules[path]
        values = dict(settings.get(path.removeprefix("self."), {}))
        signature = ""
        if isinstance(module, DspyPredict):
            signature = _signature_text(module)
            values |= {} if bound_format(module) is None else {"format": bound_format(module)}
            values |= {} if not module.demos else {"demos": len(module.demos)}
        parts = tuple(made(one, one[len(path) :].lstrip(".")) for one in modules if _holder(one, modules) == path)
        return ProgramTree(
            name,
            type(module).__name__,
            signature,
            values,
            tuple(map(_form, tools_of(module))),
            id(module) not in loose,
            parts,
        )

    return made("self", "self")


def _holder(path: str, paths: Mapping[str, Any]) -> str | None:
    """Return the longest other path that `path` goes on from."""
    ends = [found.start() for found in _PART.finditer(path)]
    return next((path[:end] for end in reversed(ends) if path[:end] in paths), None)


def _signature_text(predictor: DspyPredict) -> str:
    sides = {"input": [], "output": []}  # type: dict[str, list[str]]
    for one in describe(signature_of(predictor))["fields"]:
        sides[one["role"]].append(one["name"] if one["type"] == "str" else f"{one['name']}: {one['type']}")
    return f"{', '.join(sides['input'])} -> {', '.join(sides['output'])}"


def _form(tool: Tool | DspyTool) -> str:
    return tool.form if isinstance(tool, Tool) else str(tool.name)


def _value(value: Any) -> str:
    return repr(value) if isinstance(value, str) and not re.fullmatch(r"[\w-]+", value) else str(value)


def _drawn_text(text: str) -> str:
    return "<br/>".join(line.translate(_ENTITIES) for line in text.splitlines())
