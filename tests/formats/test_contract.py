"""Every format keeps the contract."""

from tests.contracts.format import FormatContract, OwnFormatContract
from tests.strategies import CASES


class TestBare(OwnFormatContract):
    name = "bare"
    carried = tuple(case.name for case in CASES if case.single)
    free = ("Poem", "Essay")


class TestJson(OwnFormatContract):
    name = "json"


class TestLines(OwnFormatContract):
    name = "lines"


class TestMarkdown(OwnFormatContract):
    name = "markdown"


class TestXml(OwnFormatContract):
    name = "xml"


class TestChat(FormatContract):
    name = "chat"
    carried = tuple(case.name for case in CASES)
    modes = ("none",)
    free = ("Nickname",)  # DSPy takes an absent one for `None`, and writes `None` as a word
    lossy = ("Nickname",)
    hostile = False
