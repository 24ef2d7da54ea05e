"""Every format keeps the contract."""

from tests.contracts.format import FormatContract, OwnFormatContract
from tests.strategies import CASES, Case, by_name
from tunesmith.signatures import labels

LABELLED = [c.name for c in CASES if c.single and labels(c.signature, next(iter(c.signature.output_fields)))]


class TestBare(OwnFormatContract):
    name = "bare"
    carried = tuple(case.name for case in CASES if case.single)
    free = ("Poem", "Essay")


class TestBareSchema(TestBare):
    name = "bare-schema"


class TestBareFree(TestBare):
    name = "bare-free"


class TestBareLikeliest(TestBare):
    name = "bare-likeliest"


class TestBareNearest(TestBare):
    name = "bare-nearest"
    free = ("Poem", "Essay", *LABELLED)

    def sample(self) -> Case:
        return by_name("Rating")


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


class TestScored(TestBare):
    name = "scored"
    carried = tuple(LABELLED)
    free = ()
    test_no_demo_reply_in_json_holds_a_turn_marker = None  # no label is written as JSON


class TestScoredLetters(TestScored):
    name = "scored-letters"
