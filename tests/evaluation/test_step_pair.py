"""Where two runs of one example part."""

from tunesmith.evaluation import Step, parting_steps


def steps(*answers: str) -> list[Step]:
    """Return steps that each read the answer before."""
    return [
        Step(f"p{place}", {"given": before}, {"answer": answer})
        for place, (before, answer) in enumerate(zip(("", *answers), answers, strict=False))
    ]


def test_the_first_other_answer_to_the_same_inputs_is_where_they_part() -> None:
    one, other = steps("a", "b", "c"), steps("a", "x", "c")
    assert parting_steps(one, other) == (one[1], other[1])


def test_equal_runs_do_not_part() -> None:
    assert parting_steps(steps("a", "b"), steps("a", "b")) is None


def test_other_inputs_or_another_predictor_are_no_answer() -> None:
    assert parting_steps(steps("a", "b"), [Step("p0", {"given": "else"}, {"answer": "z"})]) is None
    assert parting_steps(steps("a"), [Step("q", {"given": ""}, {"answer": "z"})]) is None


def test_a_run_without_an_end_parts_where_it_has_no_answer() -> None:
    one = steps("a", "b")
    assert parting_steps(one, one[:1]) is None
    assert parting_steps(one, one[:1], answered=False) == (one[1], None)
