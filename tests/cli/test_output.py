"""Tables fit the terminal: a long cell goes on below itself, and nothing is cut off."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
