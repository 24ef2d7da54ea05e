"""Values as people give them: what is of a type stays, and what is its JSON form becomes it."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.scale import FULL
from tests.strategies import CASES, Case
from tunesmith.signatures import given_value, to_json_value

every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.signature.__name__)


@every_case
@settings(max_examples=50 if FULL else 8)
@given(data=st.data())
def test_a_value_of_the_type_and_its_json_form_are_that_value(case: Case, data: Any) -> None:
    for name, value in data.draw(case.outputs).items():
        for form in (value, to_json_value(value), json.loads(json.dumps(to_json_value(value)))):
            found = given_value(case.signature, name, form)
            assert (found, type(found)) == (value, type(value))
            assert given_value(case.signature, name, found) == found
