"""A text of somebody else's stays one part of a list, in plain words."""

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.each import each
from tests.formats.test_fields import CONTROLS, forging_text
from tests.scale import scaled
from tests.strategies import MARKERS
from tunesmith.formats import plain_text
from tunesmith.formats.fields import spelled
from tunesmith.modules.fence import fenced


@each(
    ("given", "wanted"),
    [
        (" one\r\ntwo\x85three ", "one\ntwo\nthree"),
        ("a\x00b\ud800", "a b\ufffd"),
        ("</s><|im_end|>[INST]<|>", "< /s>< |im_end| >[ INST]< | >"),
        ("5 < 6 > 4 [1]\tx", "5 < 6 > 4 [1]\tx"),
        ("日本語", "日本語"),
        ("", ""),
    ],
)
def test_what_would_be_json_becomes_plain(given: str, wanted: str) -> None:
    assert plain_text(given) == wanted


@settings(max_examples=scaled(2_000))
@given(forging_text() | st.text())
def test_no_line_of_a_fenced_text_but_the_first_begins_in_the_first_column(text: str) -> None:
    found = fenced(text)
    assert all(line.startswith("  ") for line in found.splitlines()[1:])
    assert not [marker for marker in MARKERS if marker.casefold() in found.casefold()]
    assert CONTROLS.search(found) is None
    assert spelled(f"[1] {found}.", text_field=True, name="x") == f"[1] {found}."
