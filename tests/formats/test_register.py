"""A format is one file: what such a file holds, and that it keeps the contract."""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import dspy
import pytest

from tests.contracts.format import OwnFormatContract
from tunesmith.errors import UsageError
from tunesmith.formats import Layout, Section, SectionFormat, carries, format_names, get_format, register, registry
from tunesmith.lm import ScriptedLM
from tunesmith.modules import Candidate, bind


class _Bars(Layout):
    """`|name|` on a line of its own, then the value; each line of a value begins with a space."""

    inline: ClassVar[str] = " "

    def opening(self, label: str) -> str:
        return f"|{label}|\n"

    def write_text(self, text: str) -> str:
        return " " + text.replace("\n", "\n ")

    def read_text(self, body: str) -> str:
        return "\n".join(line.removeprefix(" ") for line in body.strip("\n").split("\n")).strip()

    def sections(self, labels: Mapping[str, str], text: str) -> list[Section]:
        names = {f"|{label}|": name for name, label in labels.items()}
        found: list[tuple[str, list[str]]] = []
        for line in text.split("\n"):
            if line in names:
                found.append((names[line], []))
            elif found:
                found[-1][1].append(line)
        return [Section(name, "\n".join(body), at < len(found) - 1) for at, (name, body) in enumerate(found)]

    def text_rule(self, least: int, most: int | None) -> str:
        return '" " [^ \\n|] [^\\n]* ("\\n " [^\\n]*)*'


class BarsFormat(SectionFormat):
    """Fields behind bars."""

    name: ClassVar[str] = "bars"
    layout: ClassVar[Layout] = _Bars()


@pytest.fixture(autouse=True, scope="module")
def _registered() -> Iterator[None]:
    register(BarsFormat())
    yield
    del registry._FORMATS["bars"]


class TestBars(OwnFormatContract):
    name = "bars"


def test_a_new_format_is_known_everywhere() -> None:
    program = dspy.Predict("question -> answer")
    bind(program, "bars")

    assert "bars" in format_names()
    assert carries("bars", program.signature)
    with dspy.context(lm=ScriptedLM("|Answer|\n yes\n no")):
        assert program(question="?").answer == "yes\nno"
    assert Candidate.of(program).parts["self"].format == "bars"
    assert get_format("bars").read_inputs(program.signature, "|Question|\n a\n  b") == {"question": "a\n b"}


def test_a_name_is_given_once() -> None:
    for kind in (BarsFormat, type("Nameless", (BarsFormat,), {"name": ""})):
        with pytest.raises(UsageError, match="unique name"):
            register(kind())


@pytest.mark.parametrize("given", [BarsFormat, "bars", None])
def test_what_is_no_format_is_not_registered(given: Any) -> None:
    with pytest.raises(UsageError, match="an instance of a subclass"):
        register(given)
