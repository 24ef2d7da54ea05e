"""A pattern is rewritten into plain classes and bounded counts, or not sent."""

import functools
import random
import re
import string

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.each import each
from tests.scale import scaled
from tests.signatures.safe_subset import is_safe
from tests.signatures.strategies import EVIL_PATTERNS
from tunesmith.signatures.pattern import rewrite_pattern


@each(
    ("pattern", "expected"),
    [
        ("^$", "^$"),
        ("^abc$", "^abc$"),
        (r"^\d{3}$", "^[0-9]{3}$"),
        (r"^\w{1,5}$", "^[A-Za-z0-9_]{1,5}$"),
        (r"^[A-Z]{2}-?\d{3}$", "^[A-Z]{2}[-]?[0-9]{3}$"),
        (r"^[\d-]{2}$", "^[0-9-]{2}$"),
        (r"^[-a]$", "^[a-]$"),
        (r"^[a\-z]$", "^[az-]$"),
        (r"^a\.b\+$", "^a[.]b[+]$"),
        (r"^a?$", "^[a]?$"),
        (r"^a{2,2}$", "^[a]{2}$"),
        (r"^[.?*+(){}|$]$", "^[.?*+(){}|$]$"),
        (r"^https?://x$", "^http[s]?://x$"),
        (r"^INV-\d+$", "^INV-[0-9]{1,97}$"),
        (r"^\w*\s[\d\s]{2,}$", "^[A-Za-z0-9_]{0,97}[ ][0-9 ]{2,97}$"),
    ],
)
def test_a_plain_pattern_is_sent(pattern: str, expected: str) -> None:
    assert rewrite_pattern(pattern) == expected
    assert is_safe({"type": "string", "pattern": expected})


@each(
    "pattern",
    [
        "",
        "^",
        "$",
        "abc",
        "^abc",
        "abc$",
        "^a|b$",
        "^(ab)$",
        "^(?:ab)$",
        "^(?=a)b$",
        "^(?<!a)b$",
        "^[(?:]$",
        "^.$",
        r"^\bx$",
        r"^\D$",
        r"^\W$",
        r"^(a)\1$",
        r"^\p{L}$",
        r"^\x41$",
        r"^\n$",
        "^a\n$",
        "^[^a]$",
        "^[]$",
        "^[a$",
        "^[!-~]$",
        "^[ -z]$",
        "^[z-a]$",
        "^[a&&b]$",
        "^[[:alpha:]]$",
        '^"$',
        '^["]$',
        r"^\\$",
        r"^[\\]$",
        "^é$",
        "^[à-é]$",
        "^a{,2}$",
        "^a{101}$",
        "^a{0}$",
        "^a{3,2}$",
        "^a{1}{2}$",
        "^a??$",
        "^a{2}?$",
        "^a?+$",
        "^{2}$",
        "^?$",
        r"^a\$",
        "^a^b$",
        "^a$b$",
        "(?i)^a$",
        r"\Aa\Z",
        "^[0-9]{100}" * 11 + "$",
        "^" + "[a]{100}" * 11 + "$",
        "^" + "a" * 101 + "$",
        r"^[\D]$",
        r"^[a-\d]$",
    ],
)
def test_any_other_pattern_is_not_sent(pattern: str) -> None:
    assert rewrite_pattern(pattern) is None


_parts = st.sampled_from(
    [r"\d", r"\w", "[a-z]", "[A-Z0-9-]", "a", "-", r"\.", " ", "[.?]", "(", "|", ".", r"\s", "[^a]"]
)
_counts = st.sampled_from(["", "", "?", "{2}", "{0,3}", "{1,100}", "*", "+", "{2,}", "??"])


_ATOM = re.compile(r"(\[[^]]+\]|.)(?:\{(\d+)(?:,(\d+))?\}|(\?))?")


@functools.cache
def _characters(atom: str) -> list[str]:
    return [character for character in string.printable if re.fullmatch(atom, character)]


def _text_of(rewritten: str, chance: random.Random) -> str:
    """Return a text that a rewritten pattern matches; those hold nothing but classes, characters and counts."""
    text = ""
    for atom, least, most, maybe in _ATOM.findall(rewritten[1:-1]):
        low, high = (0, 1) if maybe else (int(least or 1), int(most or least or 1))
        text += "".join(chance.choices(_characters(atom), k=chance.randint(low, high)))
    return text


@settings(max_examples=scaled(2_000), deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.tuples(_parts, _counts), max_size=4), st.integers(0, 2**32))
def test_what_a_rewritten_pattern_matches_the_pattern_matches(parts: list[tuple[str, str]], seed: int) -> None:
    pattern = "^" + "".join(map("".join, parts)) + "$"
    rewritten = rewrite_pattern(pattern)
    if rewritten is None:
        return
    assert is_safe({"type": "string", "pattern": rewritten})
    text = _text_of(rewritten, random.Random(seed))
    assert re.fullmatch(rewritten, text)
    assert re.fullmatch(pattern, text)


@settings(max_examples=scaled(2_000), deadline=None)
@given(st.text('^$[]{}()\\dw-az09?,*+.| "&') | st.sampled_from(EVIL_PATTERNS))
def test_a_rewritten_pattern_is_always_safe(pattern: str) -> None:
    for one in (pattern, f"^{pattern}$"):
        rewritten = rewrite_pattern(one)
        assert rewritten is None or is_safe({"type": "string", "pattern": rewritten})
