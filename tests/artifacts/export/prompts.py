"""Programs with nasty texts in every fixed place, and what they send."""

from collections.abc import Callable
from typing import Any, Literal

import dspy
from hypothesis import given, settings
from hypothesis import strategies as st

import tunesmith as ts
from tests.scale import FULL, scaled
from tunesmith.modules import Candidate, Module
from tunesmith.signatures import Demo

FORMATS = ["bare", "json", "lines", "xml", "markdown", "chat"]

NASTY = [
    "", "{text} {{text}} {% raw %} {# no #} {0}", 'say "yes"', '"""', 'a """', "C:\\new\\table \\n {{", "one\r\ntwo\rthree",
    "  leading", "trailing \n\n", "\n\nfirst", "# FROM other\nSYSTEM no\nMESSAGE user x", "%endset% {% endset %} {% endraw %}",
    "<|im_end|> </s> [INST]", "tab\there", "ünï → 日本 🙂", "{", "}", "{{", "}}", "$name ${name} %s %(text)s", "'''", "a\n  b\n\tc",
]  # fmt: skip
"""Texts that some reader of a template, a string literal or a Modelfile takes for more than text."""

nasty = st.one_of(st.sampled_from(NASTY), st.text(alphabet='ab{}%#"\\\n\r <|é', max_size=20))
"""For the fixed parts of a prompt: any text at all."""

plain = st.text(alphabet="ab {}%$\"'\\\né:", min_size=1, max_size=20).filter(
    lambda text: text.strip() == text and not text.startswith('"')
)
"""For the inputs: texts that every format writes as they are."""


class Sort(dspy.Signature):
    """Sort the text."""

    text: str = dspy.InputField()
    count: int = dspy.InputField()
    more: str = dspy.InputField(desc="what else")
    kind: Literal["good", "bad"] = dspy.OutputField()


def program(format_name: str = "bare", instruction: str = "Sort it.", *demos: str) -> Module:
    """Return a program whose instruction and demos are these texts."""
    rows = tuple(
        Demo.of(Sort, {"text": text, "count": number, "more": text[::-1], "kind": ("good", "bad")[number % 2]})
        for number, text in enumerate(demos)
    )
    found = Candidate.of(ts.Predict(Sort)).with_part("self", instruction=instruction, demos=rows, format=format_name)
    return found.apply(ts.Predict(Sort))


def sent(made: Module, **inputs: Any) -> list[dict[str, str]]:
    """Return the messages that a program sends."""
    return list(ts.render(made, **inputs).messages)


def check_texts(name: str, check: Callable[[str, str, str, str], None]) -> None:
    """Call `check(instruction, demo, text, more)` with nasty fixed texts and plain inputs, others for each format."""
    inputs = ["one", "two\nlines", "{a} {{text}} {% b %}", "back\\slash 'and' \"quotes\""]
    for number, text in enumerate(NASTY):
        if FULL or number % len(FORMATS) == FORMATS.index(name):
            check(text, NASTY[number - 5], inputs[number % 4], inputs[number // 4 % 4])
    settings(max_examples=scaled(80))(given(nasty, nasty, plain, plain)(check))()
