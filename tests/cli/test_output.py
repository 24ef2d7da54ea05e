"""Tables fit the terminal: a long cell goes on below itself, and nothing is cut off. Stdout is for what a verb says."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.cli.conftest import Workspace, run
from tunesmith.cli.output import heading, note, say, table

ROWS = [
    ("candidate", "what differs", "on validation", "n"),
    (
        "candidate 3, returned",
        "4 demos; format `json`; instruction: Sort the comment of the guest by its topic",
        "0.512",
        "80",
    ),
    ("program as given", "", "0.200", "80"),
]


def test_what_cannot_be_seen_is_shown_as_an_escape(capsys: pytest.CaptureFixture[str]) -> None:
    say("Red\x1b[31m, \u202eback, \U000e0041hidden,\r\u200b over.\tTab\nline, 語 é क्\u200dष.")
    heading("a\x1bb")
    note("c\x07d \ud800")
    assert capsys.readouterr() == (
        "Red\\x1b[31m, \\u202eback, \\U000e0041hidden,\\r\\u200b over.\tTab\nline, 語 é क्\u200dष.\n\na\\x1bb\n",
        "c\\x07d \\ud800\n",
    )


def test_a_long_cell_goes_on_below_itself() -> None:
    assert table(ROWS, numbers=2, width=70).splitlines() == [
        "candidate              what differs                  on validation   n",
        "---------------------  ----------------------------  -------------  --",
        "candidate 3, returned  4 demos; format `json`;               0.512  80",
        "                       instruction: Sort the",
        "                       comment of the guest by its",
        "                       topic",
        "program as given                                             0.200  80",
    ]


def test_a_table_that_fits_or_has_no_width_stays_as_it_is() -> None:
    whole = table(ROWS, numbers=2)
    assert table(ROWS, numbers=2, width=200) == whole
    assert len(whole.splitlines()) == 4


@given(st.lists(st.lists(st.text("ab c", max_size=60), min_size=4, max_size=4), min_size=1, max_size=5))
def test_no_line_is_wider_than_the_terminal_and_no_letter_is_lost(rows: list[list[str]]) -> None:
    text = table(rows, width=80)
    assert all(len(line) <= 80 for line in text.splitlines())
    assert sorted("".join(text.split()).replace("-", "")) == sorted(
        "".join("".join(cells) for cells in rows).replace(" ", "")
    )


LOUD = """
import dspy
from program import RouteReport
print("loaded")

class Loud(dspy.Module):
    def __init__(self):
        super().__init__()
        self.step = dspy.Predict(RouteReport)

    def forward(self, report):
        print("called")
        return self.step(report=report)

def metric(example, prediction, trace=None):
    print("scored")
    return prediction.team == example.team
"""


def test_what_a_program_prints_goes_to_stderr_and_spoils_no_json(workspace: Workspace) -> None:
    (workspace.folder / "loud.py").write_text(LOUD, encoding="utf-8")
    found = run("eval", "loud:Loud", "--metric", "loud:metric", "--json", "--quiet")
    assert json.loads(found.stdout)["n"] == 12
    assert {"loaded", "called", "scored"} <= set(found.stderr.splitlines())
    assert run("compile", "--program", "loud:Loud", "--run", "loud", "--quiet").exit_code == 0
    line = run("predict", "runs/loud/artifact", "--allow", "loud:Loud", stdin='{"report": "The bin is full."}\n')
    assert set(json.loads(line.stdout)) == {"team"}
    assert "called" in line.stderr


def test_help_is_still_on_stdout() -> None:
    for arguments in (("--help",), ("eval", "--help"), ("data", "check", "--help")):
        assert "Usage: " in run(*arguments).stdout
