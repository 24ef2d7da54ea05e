"""Every format keeps the contract."""

from tests.contracts.format import FormatContract, OwnFormatContract, ask, predictor, reply_of
from tests.strategies import CASES, by_name
from tunesmith.lm import ScriptedLM, text_response


class TestBare(OwnFormatContract):
    name = "bare"
    carried = tuple(case.name for case in CASES if case.single)
    free = ("Poem", "Essay")


class TestJson(OwnFormatContract):
    name = "json"


class TestChat(FormatContract):
    name = "chat"
    carried = tuple(case.name for case in CASES)
    modes = ("none",)
