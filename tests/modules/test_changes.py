"""What differs between two candidates."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.each import each
from tunesmith.modules import Candidate, Nearest, Part, Predict
from tunesmith.modules.changes import Changes, DemoChange
from tunesmith.signatures import Demo, Signature

ROUTE: Any = Signature("message -> queue", "Route.")  # type: ignore[call-arg]


def demo(message: str, queue: str = "billing", *, augmented: bool = False) -> Demo:
    return Demo({"message": message}, {"queue": queue}, augmented=augmented)


def candidate(*demos: Demo, **values: Any) -> Candidate:
    return Candidate({"self": Part("Route.", demos, "bare")}, **values)


def kinds(before: Candidate, after: Candidate) -> list[tuple[str, int | None, int | None]]:
    (part,) = before.changes(after).parts
    return [(change.kind, change.before, change.after) for change in part.demos]


A, B, C, D = (demo(text) for text in "abcd")


@each(
    ("before", "after", "wanted"),
    [
        ((A, B), (A, C, B), [("added", None, 2)]),
        ((A, B, C), (A, C), [("removed", 2, None)]),
        ((A, B, C), (C, A, B), [("moved", 3, 1)]),
        ((A, B, C, D), (B, A, C, D), [("moved", 1, 2)]),
        ((A, A), (A,), [("removed", 2, None)]),
        ((A, B), (demo("a", "cards"), B), [("changed", 1, 1)]),
        ((A,), (demo("a", augmented=True),), [("changed", 1, 1)]),
        ((A, B), (C, D), [("added", None, 1), ("added", None, 2), ("removed", 1, None), ("removed", 2, None)]),
    ],
)
def test_a_demo_is_added_removed_moved_or_changed(before: Any, after: Any, wanted: Any) -> None:
    found = kinds(candidate(*before), candidate(*after))
    assert sorted(found, key=str) == sorted(wanted, key=str)


@given(st.lists(st.integers(0, 4), max_size=7), st.lists(st.integers(0, 4), max_size=7))
def test_the_changes_of_demos_lead_from_one_list_to_the_other(before: list[int], after: list[int]) -> None:
    one, other = (candidate(*(demo(str(number)) for number in numbers)) for numbers in (before, after))
    changes = [change for part in one.changes(other).parts for change in part.demos]
    texts: Any = lambda kind: [change.demo["inputs"]["message"] for change in changes if change.kind == kind]  # noqa: E731
    left = [str(number) for at, number in enumerate(before) if at + 1 not in {change.before for change in changes}]
    made = {change.after: change.demo["inputs"]["message"] for change in changes if change.after is not None}

    assert [made.get(place) or left.pop(0) for place in range(1, len(after) + 1)] == list(map(str, after))
    assert left == []
    assert sorted([*map(str, before), *texts("added")]) == sorted([*map(str, after), *texts("removed")])


def test_the_text_says_what_changed() -> None:
    before = candidate(A, B, demo("c", "cards"), sampling={"temperature": 0.5})
    after = Candidate({"self": Part("Route it.", (C, B, A), "json", {"cards": 0.5})}, {"seed": 1})

    assert str(before.changes(after)).splitlines() == [
        " [self]",
        "-format: bare",
        "+format: json",
        "+offset cards: 0.5",
        " instruction: Route{+ it+}.",
        " demo input message: c",
        "-demo output queue: cards",
        "+demo output queue: billing",
        " demo 1 is now 3: message: a -> queue: billing",
        "-sampling temperature: 0.5",
        "+sampling seed: 1",
    ]
    assert json.loads(json.dumps(before.changes(after).to_json()))["values"][0] == {
        "name": "sampling temperature",
        "before": 0.5,
        "after": None,
    }


def test_a_predictor_of_one_side_is_shown_whole() -> None:
    before = Candidate({"one": Part("Route.", (A,), "bare")})
    found = before.changes(Candidate({"two": Part("Route.", (), None)}))

    assert [(part.path, part.presence) for part in found.parts] == [("one", "removed"), ("two", "added")]
    assert str(found).splitlines() == [
        "-[one]",
        "-format: bare",
        "-instruction: Route.",
        "-demo input message: a",
        "-demo output queue: billing",
        "+[two]",
        "+instruction: Route.",
    ]


def test_the_callers_adapter_has_no_name() -> None:
    given_ = candidate()
    lines = str(given_.changes(given_.with_part("self", format=None))).splitlines()
    assert lines == [" [self]", "-format: bare", "+format: the caller’s adapter"]


def test_settings_are_compared_by_path_and_name() -> None:
    given_ = Candidate.of(Predict(ROUTE))
    found = given_.changes(given_.with_demos("self", (A, B), Nearest(k=1)))
    assert "setting self.nearest.k" in [value.name for value in found.values]
    assert not given_.changes(given_)


def test_a_text_of_several_lines_has_the_sign_on_each() -> None:
    change = DemoChange("added", None, 1, {"inputs": {"text": "one\ntwo"}, "outputs": {"n": [1]}, "augmented": False})
    assert "\n".join(change.lines()).splitlines() == ["+demo input text: one", "+  two", "+demo output n: [1]"]


def test_one_and_true_and_a_float_are_three_values() -> None:
    empty = candidate().to_json()
    found = Changes.of({**empty, "sampling": {"n": 1, "m": 1}}, {**empty, "sampling": {"n": True, "m": 1.0}})
    assert [value.name for value in found.values] == ["sampling n", "sampling m"]
