"""GBNF for a range of days."""

from calendar import isleap, monthrange
from datetime import date

from tunesmith.signatures.forms import BY_FOUR, MONTH_AND_DAY

__all__ = ["date_body"]

_LISTED = 400  # a shorter range lists each leap year


def date_body(low: date, high: date) -> str | None:
    """Return the body of a rule for the days from `low` to `high`, or `None` if there is no day."""
    if low > high:
        return None
    if low.year == high.year:
        return " | ".join(_within(low, high))
    parts = [*_within(low, date(low.year, 12, 31)), *_within(date(high.year, 1, 1), high)]
    first, last = low.year + 1, high.year - 1
    if first <= last:
        parts += [f'{_span(f"{first:04}", f"{last:04}")} "-" {MONTH_AND_DAY}', *_leap_days(first, last)]
    return " | ".join(parts)


def _within(low: date, high: date) -> list[str]:
    """Return alternatives for the days of one year."""
    parts = []
    for month in range(low.month, high.month + 1):
        first = low.day if month == low.month else 1
        last = high.day if month == high.month else monthrange(low.year, month)[1]
        parts.append(f'"{low.year:04}-{month:02}-" {_span(f"{first:02}", f"{last:02}")}')
    return parts


def _leap_days(first: int, last: int) -> list[str]:
    """Return alternatives for the 29th of February of whole years."""
    if last - first <= _LISTED:
        return [f'"{year:04}-02-29"' for year in range(first, last + 1) if isleap(year)]
    start, end = -(-first // 100), (last + 1) // 100  # the whole centuries
    ends = [*_leap_days(first, 100 * start - 1), *_leap_days(100 * end, last)]
    round_years = [f'"{100 * at:04}-02-29"' for at in range(start, end) if isleap(100 * at)]
    return [*ends, *round_years, f'{_span(f"{start:02}", f"{end - 1:02}")} {BY_FOUR} "-02-29"']


def _span(low: str, high: str) -> str:
    """Return a pattern for the numbers from `low` to `high`, which have the same number of digits."""
    if not low:
        return '""'
    if not low.strip("0") and not high.strip("9"):
        return f"[0-9]{{{len(low)}}}"
    if low[0] == high[0]:
        return f'"{low[0]}" {_span(low[1:], high[1:])}'
    rest, first, last = len(low) - 1, int(low[0]), int(high[0])
    if low[1:].strip("0"):
        parts, first = [f'"{first}" {_span(low[1:], "9" * rest)}'], first + 1
    else:
        parts = []
    upper = [] if not high[1:].strip("9") else [f'"{last}" {_span("0" * rest, high[1:])}']
    last -= len(upper)
    if first <= last:
        parts.append(f"[{first}-{last}] [0-9]{{{rest}}}" if rest else f"[{first}-{last}]")
    return f"({' | '.join(parts + upper)})"
