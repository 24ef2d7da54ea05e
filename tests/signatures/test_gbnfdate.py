"""Grammars of the days between two days."""

from datetime import date

from hypothesis import given
from hypothesis import strategies as st

from tests.each import each
from tests.formats.gbnf import allows
from tunesmith.signatures.gbnfdate import date_body

DAYS = st.dates() | st.dates(date(2019, 12, 1), date(2024, 3, 31))


@given(DAYS, DAYS, DAYS)
def test_a_day_is_allowed_if_it_is_within(one: date, other: date, day: date) -> None:
    low, high = sorted((one, other))
    body = date_body(low, high)

    assert body is not None
    assert allows(f"root ::= {body}", day.isoformat()) is (low <= day <= high)
    assert allows(f"root ::= {body}", low.isoformat())
    assert allows(f"root ::= {body}", high.isoformat())


@each("text", ["1900-02-29", "2023-02-29", "2024-02-30", "2024-04-31", "2024-13-01", "2024-00-10", "0000-01-01"])
def test_a_day_that_there_is_not_is_never_allowed(text: str) -> None:
    for low, high in (
        (date.min, date.max),
        (date(1890, 5, 6), date(2500, 2, 3)),
        (date(2023, 2, 1), date(2024, 12, 1)),
    ):
        assert not allows(f"root ::= {date_body(low, high)}", text)


def test_no_day_is_between_two_in_the_wrong_order() -> None:
    assert date_body(date(2024, 1, 2), date(2024, 1, 1)) is None
