"""A simulated landscape for compilers: programs, examples, and a model of which every effect is known. No LM is needed.

`Landscape(kind, seed, skill)` is one drawn world. Its `lm()` answers the calls of the program and the proposals that a
compiler asks for; `truth(program)` is the exact expected score of any program.

**Task calls.** The chance of a right answer is the logistic function of `able - difficulty`. The difficulty belongs to
the item, the same for all prompts. What makes a prompt able is added up:

| effect | how it works |
|---|---|
| instruction | its hidden quality, up to the limit of its way of working (see below); demos take a part of its place |
| demos | each training item teaches or harms by an amount of its own; a wrong demo harms; more than 8 confuse |
| nearness (kind `near`) | demos of the item's own topic help most, the others little |
| format | an amount of its own, and it carries demos well or badly |
| setting | `style` of the program: an amount of its own, and another one with each format |
| temperature | takes away |

The outcome of a prompt and an item is fixed, as greedy decoding fixes it; above temperature 0 it depends on the seed.

**Instructions.** The quality of a text can be read off the text alone: "in the careful way: bako" says the way of
working and, in two syllables, the quality. A text that says no way is worse than the program's own. The seed is
deceptive: its way, `careful`, ends at a low limit, so whoever only improves on it ends there. Of the other two ways one
is better, one much better, and only texts that are written without sight of an instruction begin there.

**Proposals.** Every other call asks for a proposal. All outputs of its reply schema are filled. With the chance `skill`
the writer is able: it improves on the best instruction that it is shown, more if it is shown examples as well; shown
none, it writes one from scratch. Else it writes a text of random quality about and below the seed's, or repeats what it
was shown, or nothing, or what cannot be read. Asked which predictor is to blame, an able writer names the weakest.

A program of kind `three` is right on an item if its three predictors are.
"""

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from hashlib import sha256
from statistics import NormalDist, fmean
from typing import Any, Literal

import dspy

import tunesmith as ts
from tunesmith.lm import Capabilities, Seen, current_scope
from tunesmith.modules import Candidate, Module

VERSION = 1
"""Of what the landscape answers: change it with every change that changes a score."""

KINDS = ("one", "near", "three")
SKILLS = (0.0, 0.3, 1.0)
WAYS = ("careful", "plain", "bold")
STYLES = ("plain", "brief", "formal")

_TRAIN, _VAL = 40, {"one": 30, "near": 30, "three": 16}
_HARDNESS = 1.2  # spread of difficulties
_QUADRATURE = [NormalDist(0, _HARDNESS).inv_cdf((i + 0.5) / 40) for i in range(40)]
_PROBES = 24  # items that stand for all; difficulties are integrated over
_SYLLABLES = ("ba", "ce", "di", "fo", "gu", "ka", "le", "mi", "no", "ru")
_LOWEST, _STEP = -2.0, 0.045  # of qualities: 100 levels
_WAY = re.compile(rf"\b({'|'.join(WAYS)}) way: ((?:{'|'.join(_SYLLABLES)}){{2}})\b", re.IGNORECASE)
_ITEM = re.compile(r"\bitem (\d+) about (\w+)")
_STYLE = re.compile(r"\((\w+) style\)")
_NO_INSTRUCTION = re.compile(
    r"reason|thought|critique|gradient|feedback|observ|summar|analy|diagnos|role|descr|tip|blame|guid|advice|lesson|"
    r"why|cause|note|expla|inspect|rule|remark|hint|principle|problem|flaw|pattern|comparison"
)
"""Outputs of these names say something about a task or an instruction, and are none themselves."""

_TOPICS = {
    "garden": "soil spade seeds",
    "kitchen": "oven plates flour",
    "harbour": "ropes sails tide",
    "school": "desks chalk pupils",
    "railway": "tracks signals coaches",
    "forest": "moss branches deer",
}
_LABELS = {
    "kind": ("oak", "elm", "ash", "fir"),
    "size": ("tiny", "small", "large", "huge"),
    "shade": ("amber", "blue", "coral", "denim"),
}
_OPENERS = ("Read the text and answer.", "Look at the text, then answer.", "Answer for the text that is given.")


class Shade(dspy.Signature):
    """Read the text and answer. Work in the careful way: guka."""

    text: str = dspy.InputField()
    shade: Literal["amber", "blue", "coral", "denim"] = dspy.OutputField()


class Kind(dspy.Signature):
    """Read the text and answer. Work in the careful way: guka."""

    text: str = dspy.InputField()
    kind: Literal["oak", "elm", "ash", "fir"] = dspy.OutputField()


class Size(dspy.Signature):
    """Read the text and answer. Work in the careful way: guka."""

    text: str = dspy.InputField()
    kind: str = dspy.InputField()
    size: Literal["tiny", "small", "large", "huge"] = dspy.OutputField()


class Joined(dspy.Signature):
    """Read the text and answer. Work in the careful way: guka."""

    text: str = dspy.InputField()
    kind: str = dspy.InputField()
    size: str = dspy.InputField()
    shade: Literal["amber", "blue", "coral", "denim"] = dspy.OutputField()


class One(Module):
    """One predictor and a setting."""

    style: str = ts.Setting("plain", choices=STYLES, help="in which the text is put")

    def __init__(self) -> None:
        super().__init__()
        self.answer = dspy.Predict(Shade)

    def forward(self, text: str) -> dspy.Prediction:
        """Put the text in the style and answer."""
        return self.answer(text=f"{text} ({self.style} style)")


class Three(Module):
    """Three predictors, each of which needs what those before it found, and a setting."""

    style: str = ts.Setting("plain", choices=STYLES, help="in which the text is put")

    def __init__(self) -> None:
        super().__init__()
        self.kind, self.size, self.join = dspy.Predict(Kind), dspy.Predict(Size), dspy.Predict(Joined)

    def forward(self, text: str) -> dspy.Prediction:
        """Put the text in the style and take the steps."""
        text = f"{text} ({self.style} style)"
        kind = self.kind(text=text).kind
        size = self.size(text=text, kind=kind).size
        return self.join(text=text, kind=kind, size=size)


_BEFORE = {"kind": (), "size": ("kind",), "shade": ("kind", "size")}  # inputs that were found before, by output
_PATHS = {"kind": "kind", "size": "size", "shade": "join"}  # of `Three`, by output


def right(example: Any, prediction: Any, trace: Any = None) -> Any:
    """Judge one prediction, with a word on what would have been right."""
    if prediction.shade == example.shade:
        return ts.Score(1.0, "Right.")
    return ts.Score(0.0, f"Wrong: the right answer is {example.shade}.")


def chance(*parts: object) -> float:
    """Return a number above 0 and below 1 that depends on `parts` alone, in every process."""
    return (int(sha256(repr(parts).encode()).hexdigest()[:12], 16) + 0.5) / 16**12


def normal(*parts: object) -> float:
    """Return such a number from the normal distribution."""
    return _NORMAL.inv_cdf(chance(*parts))


_NORMAL = NormalDist()


@dataclass(frozen=True, slots=True)
class Text:
    """What a text says about itself: the way of working, and how well it describes that."""

    way: str
    quality: float

    def written(self, opener: str) -> str:
        """Return an instruction that says it."""
        level = max(0, min(99, round((self.quality - _LOWEST) / _STEP)))
        return f"{opener} Work in the {self.way} way: {_SYLLABLES[level // 10]}{_SYLLABLES[level % 10]}."


def texts_in(text: str) -> list[Text]:
    """Return every instruction in `text` that says a way of working."""
    found = []
    for way, code in _WAY.findall(text):
        level = 10 * _SYLLABLES.index(code[:2].lower()) + _SYLLABLES.index(code[2:].lower())
        found.append(Text(way.lower(), _LOWEST + _STEP * level))
    return found


@cache
def _topic_of(number: int) -> str:
    return list(_TOPICS)[int(chance("topic", number) * len(_TOPICS))]


@cache
def _truth_of(output: str, number: int) -> str:
    """Return the right answer of a predictor on an item."""
    labels = _LABELS[output]
    return labels[int(chance("answer", output, number) * len(labels))]


def _text_of(number: int) -> str:
    topic = _topic_of(number)
    words = _TOPICS[topic].split()
    return f"item {number} about {topic} {words[number % 3]} {words[number // 3 % 3]}"


def _examples(numbers: range) -> list[dspy.Example]:
    return [dspy.Example(text=_text_of(n), shade=_truth_of("shade", n)).with_inputs("text") for n in numbers]


@dataclass
class Landscape:
    """One drawn world.

    Attributes:
        kind: a name of `KINDS`.
        seed: of all that is drawn.
        skill: of the writer of proposals, from 0 to 1.
        proposals: how many were asked for so far.
    """

    kind: str
    seed: int
    skill: float = 0.0
    proposals: int = 0
    _recorded: list[float] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        first = 10_000 * (1 + self.seed)
        self.train = _examples(range(first, first + _TRAIN))
        self.val = _examples(range(first + 1000, first + 1000 + _VAL[self.kind]))
        self._probes = _examples(range(first + 2000, first + 2000 + _PROBES))
        self.outputs = ("kind", "size", "shade") if self.kind == "three" else ("shade",)
        levels = sorted((-0.1, 0.6, 1.4), key=lambda level: chance(self.seed, "level", level))
        self.base = dict(zip(self.outputs, levels, strict=True)) if self.kind == "three" else {"shade": -0.4}
        second, third = (1.0, 1.8) if chance(self.seed, "ways") < 0.5 else (1.8, 1.0)
        self.limits = {"careful": 0.45, "plain": second, "bold": third}

    def program(self) -> Module:
        """Return the program as given."""
        return Three() if self.kind == "three" else One()

    def lm(self) -> Any:
        """Return the model. It keeps no state but the count of proposals."""
        return ts.FunctionLM(
            self._answer,
            name="landscape",
            version=f"{VERSION} {self.kind} {self.seed} {self.skill}",
            capabilities=Capabilities(constraints=frozenset({"json_object", "json_schema"})),
        )

    def truth(self, program: Module) -> float:
        """Return the expected score of `program`: over all difficulties, and the texts of some items."""
        found, bound = [], Candidate.of(program).apply(program)
        with dspy.context(lm=self.lm()):
            for example in self._probes:
                self._recorded = []
                try:
                    bound(**example.inputs())
                finally:
                    able, self._recorded = self._recorded, None
                found.append(fmean(math.prod(_logistic(a - d) for a in able) for d in _QUADRATURE))
        return fmean(found)

    # Task calls ------------------------------------------------------------------------------------------------

    def _answer(self, seen: Seen) -> str:
        output = next((name for name in self.outputs if all(label in seen.system for label in _LABELS[name])), None)
        if output is None or current_scope().role == "prompt":
            return self._propose(seen)
        item = _ITEM.search(seen.text)
        if item is None:  # somebody has rewritten the input
            return "none"
        number, labels = int(item[1]), _LABELS[output]
        able = self.able(output, seen)
        place = labels.index(_truth_of(output, number))
        if self._recorded is not None:
            self._recorded.append(able)
            return _in_form(seen, output, labels[place])
        drawn = (seen.request.config.seed if seen.request.config.temperature else 0, seen.system, *seen.messages)
        if not chance(self.seed, output, drawn) < _logistic(able - _difficulty(number)):
            place += 1
        if self.kind == "three":
            place += sum(_wrong_inputs(seen.text, number, output))
        return _in_form(seen, output, labels[place % len(labels)])

    def able(self, output: str, seen: Seen) -> float:
        """Return how able the prompt makes the model, before the difficulty of the item."""
        name, demos = _format_of(seen.system), _demos_of(seen, output)
        style = found[1] if (found := _STYLE.search(seen.text)) else "plain"
        topic = _ITEM.findall(seen.text)[-1][1]
        shown = texts_in(seen.system)
        quality = self.worth(shown[-1]) if shown else -0.6 + 0.4 * normal(self.seed, "text", seen.system)
        able = self.base[output] + quality * (1 - 0.3 * min(len(demos), 4) / 4)
        able += self._of_demos(output, name, demos, topic)
        able += self._formats(output, name, style)
        return able - 0.4 * (seen.request.config.temperature or 0.0)

    def worth(self, text: Text) -> float:
        """Return what a text adds: its quality up to the limit of its way."""
        return min(text.quality, self.limits[text.way])

    def _of_demos(self, output: str, name: str, demos: Sequence[tuple[int, str, bool]], topic: str) -> float:
        if not demos:
            return 0.0
        taught = sum(0.15 + 0.6 * normal(self.seed, output, "demo", n) if ok else -0.5 for n, _, ok in demos)
        carried = 0.3 + chance(self.seed, output, "carries", name)
        found = carried * 1.2 * math.tanh(taught / 3) - 0.04 * max(0, len(demos) - 8)
        if self.kind != "near":
            return found
        near = sum(ok and of == topic for _, of, ok in demos) / max(4, len(demos))
        return 0.4 * found + 1.8 * near

    def _formats(self, output: str, name: str, style: str) -> float:
        """Return what format and style add to those of the program as given."""
        found = 0.45 * normal(self.seed, output, "format", name) if name != "bare" else 0.0
        if style != "plain":
            found += 0.35 * normal(self.seed, "style", style) + 0.3 * normal(self.seed, output, "both", name, style)
        return found

    # Proposals -------------------------------------------------------------------------------------------------

    def _propose(self, seen: Seen) -> str:
        self.proposals += 1
        draw = _Draw(self, seen)
        if draw.unreadable:
            return "I am sorry, I cannot do that."
        schema = (seen.request.config.response_format or {}).get("schema")
        if schema is not None:
            return json.dumps(draw.filled(schema, _last_field(seen)))
        names = list(dict.fromkeys(re.findall(r"\[\[ ## (\w+) ## \]\]", seen.text.rpartition("Respond with")[2])))
        if names:  # DSPy's markers
            parts = [f"[[ ## {name} ## ]]\n{draw.text(name)}" for name in names if name != "completed"]
            return "\n\n".join([*parts, "[[ ## completed ## ]]"])
        return draw.text(_last_field(seen))


class _Draw:
    """One reply to a question for proposals."""

    def __init__(self, world: Landscape, seen: Seen) -> None:
        self._world, self._key = world, (world.seed, seen.request.config.seed, seen.system, *seen.messages)
        whole = "\n".join((seen.system, *(text for _, text in seen.messages)))
        self._shown = texts_in(whole)
        self._examples = len(set(_ITEM.findall(whole)))
        self._count = 0
        self._able = self._chance("able") < world.skill
        self.unreadable = not self._able and self._chance("unreadable") < 0.1

    def text(self, name: str) -> str:
        """Return the text of the output `name`."""
        self._count += 1
        if _NO_INSTRUCTION.search(name.lower()):
            return f"The answers need more care, in case {int(self._chance('remark') * 1000)}."
        best = max(self._shown, key=self._world.worth, default=None)
        found = self._better(best) if self._able else self._useless(best)
        return "" if found is None else found.written(_OPENERS[int(self._chance("opener") * len(_OPENERS))])

    def filled(self, schema: Mapping[str, Any], name: str) -> Any:
        """Return a value of the schema; `name` is of the output."""
        if "$ref" in schema or "anyOf" in schema:
            return self.filled(schema["anyOf"][0], name) if "anyOf" in schema else {}
        if "enum" in schema:
            return self._choice(schema["enum"])
        kind = schema.get("type")
        if kind == "object":
            return {key: self.filled(part, key) for key, part in schema.get("properties", {}).items()}
        if kind == "array":
            count = max(schema.get("minItems", 0), min(schema.get("maxItems", 3), 3))
            return [self.filled(schema.get("items", {"type": "string"}), name) for _ in range(count)]
        if kind in ("integer", "number"):
            low, high = schema.get("minimum", 0), schema.get("maximum", 10)
            return low + int(self._chance(name) * (high - low))
        return self._chance(name) < 0.5 if kind == "boolean" else self.text(name)

    def _choice(self, values: Sequence[Any]) -> Any:
        weakest = _PATHS[min(self._world.base, key=self._world.base.__getitem__)]
        if self._able and weakest in values:
            return weakest
        return values[int(self._chance("choice", *map(str, values)) * len(values))]

    def _better(self, best: Text | None) -> Text:
        """Write from scratch, or improve on the best that was shown."""
        if best is None:
            way = WAYS[int(self._chance("way") * len(WAYS))]
            return Text(way, 0.35 + 0.35 * self._normal("scratch"))
        step = 0.35 if self._examples > 1 else 0.22
        return Text(best.way, self._world.worth(best) + step + 0.25 * self._normal("step"))

    def _useless(self, best: Text | None) -> Text | None:
        luck = self._chance("useless")
        if luck < 0.1:
            return None
        if luck < 0.2 and best is not None:
            return best
        return Text(WAYS[int(self._chance("way") * len(WAYS))], -0.5 + 0.4 * self._normal("quality"))

    def _chance(self, *what: str) -> float:
        return chance(self._key, self._count, *what)

    def _normal(self, *what: str) -> float:
        return normal(self._key, self._count, *what)


def _logistic(value: float) -> float:
    return 1 / (1 + math.exp(-value))


@cache
def _difficulty(number: int) -> float:
    return _HARDNESS * normal("difficulty", number)


def _wrong_inputs(text: str, number: int, output: str) -> Iterator[bool]:
    """Yield for each input that an earlier predictor has found whether it is wrong."""
    for name in _BEFORE[output]:
        shown = re.search(rf"\b{name}\b\W+(\w+)", text.rpartition("style)")[2], re.IGNORECASE)
        yield shown is not None and shown[1] != _truth_of(name, number)


def _demos_of(seen: Seen, output: str) -> list[tuple[int, str, bool]]:
    """Return the item, its topic and whether the answer is right, of each demo."""
    found = []
    for (_, asked), (_, answered) in zip(seen.messages[:-1:2], seen.messages[1::2], strict=False):
        item = _ITEM.search(asked)
        if item is not None:
            said = next((label for label in _LABELS[output] if label in answered), "")
            found.append((int(item[1]), item[2], said == _truth_of(output, int(item[1]))))
    return found


@cache
def _format_of(system: str) -> str:
    """Return the prompt format of a task call; the variants of `bare` are one."""
    return next((name for mark, name in _MARKS.items() if mark in system), "bare")


_MARKS = {
    "[[ ## ": "chat",
    "Reply with one JSON object": "json",
    "Reply in this form:\n<": "xml",
    "Reply in this form:\n##": "markdown",
    "Reply in this form:": "lines",
}


def _in_form(seen: Seen, name: str, value: str) -> str:
    """Return an answer in the form of its format."""
    shape = _format_of(seen.system)
    if shape == "bare":
        return value if seen.request.config.response_format is None else json.dumps(value)
    return _FORMS[shape](name, value)


_FORMS: Mapping[str, Callable[[str, str], str]] = {
    "chat": lambda name, value: f"[[ ## {name} ## ]]\n{value}\n\n[[ ## completed ## ]]",
    "json": lambda name, value: json.dumps({name: value}),
    "xml": lambda name, value: f"<{name}>{value}</{name}>",
    "markdown": lambda name, value: f"## {name.capitalize()}\n{value}",
    "lines": lambda name, value: f"{name.capitalize()}: {value}",
}


def _last_field(seen: Seen) -> str:
    """Return the name of the output that a prompt ends with, as `bare` does."""
    line = seen.text.strip().rpartition("\n")[2]
    return line.removesuffix(":").lower().replace(" ", "_") if line.endswith(":") else ""
