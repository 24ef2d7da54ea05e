"""The model of the crash tests: a rule from the text of a request to a reply, the same in every process."""

import hashlib
import json
import re
from typing import Any

COLOURS = ("red", "green", "blue")
_LETTERS = str.maketrans("0123456789", "ghijklmnop")


def chance(*parts: object) -> float:
    """Return a number from 0 to 1 that depends on `parts` alone."""
    return int(hashlib.sha256(repr(parts).encode()).hexdigest()[:8], 16) / 2**32


def colour_of(thing: int) -> str:
    return COLOURS[int(chance("colour", thing) * 3)]


def mark_of(messages: list[dict[str, Any]], schema: Any, options: dict[str, Any]) -> str:
    """Return what a call is known by, to the server and in the reply that a client stores: letters, so one token."""
    call = [messages, schema, options.get("seed")]
    digest = hashlib.sha256(json.dumps(call, sort_keys=True).encode()).hexdigest()
    return digest[:20].translate(_LETTERS)


def answer(messages: list[dict[str, Any]], options: dict[str, Any]) -> str:
    """Fill in what the schema asks for, and the call's mark; every demo shown makes the answer right more often."""
    found = re.findall(r"thing (\d+)", messages[-1]["content"])
    thing = int(found[-1]) if found else 0
    able = min(0.95, 0.5 + 0.05 * (len(messages) - 2))
    system = messages[0]["content"]
    if "mark " in system:  # an instruction that was proposed
        able += 0.4 * chance("instruction", system)
    colour = colour_of(thing)
    said = colour if chance("difficulty", thing) < able else COLOURS[(COLOURS.index(colour) + 1) % 3]
    schema = options["format"]
    mark = mark_of(messages, schema, options)
    if "better" in schema["properties"]:
        return json.dumps({"reasoning": "because", "better": f"Say which colour it has, mark {mark}."})
    values = {"reasoning": f"mark {mark}", "guess": f"maybe {colour}", "colour": said}
    return json.dumps({name: values[name] for name in schema["properties"]})
