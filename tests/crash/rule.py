"""The model of the crash tests: a rule from the text of a request to a reply, the same in every process."""

import hashlib
import json
import re
from typing import Any

COLOURS = ("red", "green", "blue")


def chance(*parts: object) -> float:
    """Return a number from 0 to 1 that depends on `parts` alone."""
    return int(hashlib.sha256(repr(parts).encode()).hexdigest()[:8], 16) / 2**32


def colour_of(thing: int) -> str:
    return COLOURS[int(chance("colour", thing) * 3)]


def answer(messages: list[dict[str, Any]], options: dict[str, Any]) -> str:
    """Fill in what the schema asks for; every demo shown makes the answer right more often."""
    found = re.findall(r"thing (\d+)", messages[-1]["content"])
    thing = int(found[-1]) if found else 0
    able = min(0.95, 0.5 + 0.05 * (len(messages) - 2))
    colour = colour_of(thing)
    said = colour if chance("difficulty", thing) < able else COLOURS[(COLOURS.index(colour) + 1) % 3]
    values = {"reasoning": f"thing {thing} is what it is", "guess": f"maybe {colour}", "colour": said}
    schema = options.get("format") or {}
    if schema.get("type") == "object":
        return json.dumps({name: values[name] for name in schema["properties"]})
    return json.dumps(said)
