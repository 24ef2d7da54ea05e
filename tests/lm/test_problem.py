"""What a server says went wrong is read out of any shape."""

import json

from hypothesis import given
from hypothesis import strategies as st

from tunesmith.lm.problem import read_problem


def test_json_inside_json_is_unwrapped_and_its_numbers_are_known() -> None:
    inner = '{"error": {"type": "exceed_context_size_error", "message": "too long", "n_ctx": 8, "n_prompt_tokens": 9}}'
    found = read_problem(json.dumps({"error": inner, "status": 400}))
    assert (found.text, found.too_long) == ("too long", True)
    assert (found.prompt_tokens, found.context_tokens) == (9, 8)
    assert found.fields["status"] == 400


def test_a_page_and_nothing_at_all_are_put_into_words() -> None:
    assert str(read_problem(" <html>no</html>")) == "it sent an HTML page"
    assert str(read_problem('{"error": null}')) == "it gave no reason"


@given(
    st.recursive(
        st.none() | st.integers() | st.text(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(st.sampled_from(["error", "message", "detail", "type", "n_ctx", "x"]), inner)
        ),
    )
)
def test_no_shape_is_too_strange(value: object) -> None:
    found = read_problem(json.dumps(value))
    assert str(found)
