"""The front of candidates over examples, and what two candidates make together."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

import tunesmith as ts
from tests.compilers.worlds import Steps
from tests.each import each
from tunesmith.compilers._pareto import ancestors, front, merged
from tunesmith.modules import Candidate, Nearest
from tunesmith.signatures import Demo

BASE = Candidate.of(Steps())
TABLES = st.integers(0, 6).flatmap(
    lambda width: st.lists(
        st.lists(st.sampled_from([0.0, 0.5, 1.0, None]), min_size=width, max_size=width), min_size=1, max_size=6
    )
)
CHANGES = st.dictionaries(st.sampled_from(list(BASE.parts)), st.sampled_from(["One.", "Two."]))


def changed(texts: dict[str, str], base: Candidate = BASE) -> Candidate:
    for path, text in texts.items():
        base = base.with_part(path, instruction=text)
    return base


def top(scores: Sequence[Sequence[float | None]], example: int) -> float | None:
    return max((row[example] for row in scores if row[example] is not None), default=None)  # type: ignore[type-var]


def test_a_candidate_is_drawn_as_often_as_it_is_best() -> None:
    assert front([[1, 0, 0, 1], [0, 1, 1, 1], [0, 1, 0, 0]]) == [2, 3, 0]
    assert front([[0.2, 0.9], [0.3, 0.8]]) == [1, 1]


def test_of_equal_candidates_the_first_stays() -> None:
    assert front([[1, 0], [1, 0], [0, 0]]) == [2, 0, 0]


def test_what_is_best_nowhere_or_never_scored_is_out() -> None:
    assert front([]) == []
    assert front([[], []]) == [0, 0]
    assert front([[None, None], [0.0, None]]) == [0, 1]
    assert front([[0.5], [0.5, 0.1]]) == [0, 2], "the second is as good, and seen on more"
    assert front([[1, 1], [0.9, 0.9]]) == [2, 0]


@given(TABLES)
def test_every_example_keeps_a_candidate_that_is_best_on_it(scores: list[list[float | None]]) -> None:
    weights = front(scores)
    for example in range(len(scores[0])):
        best = top(scores, example)
        if best is not None:
            assert any(weight and row[example] == best for weight, row in zip(weights, scores, strict=True))


@given(TABLES)
def test_no_candidate_that_is_kept_is_needless(scores: list[list[float | None]]) -> None:
    weights = front(scores)
    kept = [number for number, weight in enumerate(weights) if weight]
    for number in kept:
        others = [scores[other] for other in kept if other != number]
        best = [n for n, value in enumerate(scores[number]) if value is not None and value == top(scores, n)]
        assert weights[number] == len(best)
        assert any(all(row[n] != scores[number][n] for row in others) for n in best)


@given(CHANGES, CHANGES)
def test_a_merge_has_the_changes_of_both(one: dict[str, str], other: dict[str, str]) -> None:
    a, b = changed(one), changed(other)
    found = merged(BASE, a, b)
    wanted = changed({**other, **one})
    assert found == (None if wanted in (BASE, a, b) else wanted)


def test_demos_go_with_their_format_and_apart_from_the_instruction() -> None:
    signature = Steps().answer.signature
    demo = Demo.of(signature, {"thing": "thing 1", "colour": "red"})
    a = BASE.with_part("answer", demos=(demo,), format="json")
    b = BASE.with_part("answer", instruction="Name it.", format="chat")

    found = merged(BASE, a, b)

    assert found is not None
    part = found.parts["answer"]
    assert (part.instruction, part.demos, part.format) == ("Name it.", (demo,), "json")
    assert merged(BASE, b, a) is None, "all that the second changed, the first changed as well"


def test_a_choice_among_demos_goes_with_them() -> None:
    program = ts.Predict("text -> label")
    base = Candidate.of(program)
    pool = [ts.Demo({"text": text}, {"label": text}) for text in "abc"]
    chosen = base.with_demos("self", pool, Nearest(k=2))
    worded = base.with_part("self", instruction="Name it.")

    assert merged(base, chosen, worded) == chosen.with_part("self", instruction="Name it.")
    assert merged(base, worded, chosen) == chosen.with_part("self", instruction="Name it.")
    static = chosen.with_demos("self", pool[:1])
    assert merged(chosen, static, chosen.with_part("self", instruction="Name it.")) == static.with_part(
        "self", instruction="Name it."
    )


def test_offsets_stay_with_the_prompt_that_they_were_learned_on() -> None:
    learned = BASE.with_part("answer", offsets={"red": 0.5}).with_part("weigh", instruction="Weigh.")
    other = BASE.with_part("look", instruction="Look.")
    kept, dropped = merged(BASE, learned, other), merged(BASE, learned, other.with_part("answer", instruction="Say."))

    assert kept is not None
    assert kept.parts["answer"].offsets == {"red": 0.5}
    assert dropped is not None
    assert dropped.parts["answer"].offsets == {}


def test_settings_are_merged_one_by_one() -> None:
    base = Candidate.of(ts.SelfConsistency(ts.Predict("q -> a")))
    names = [(path, name) for path, values in base.settings.items() for name in values]
    path, name = names[0]
    a = base.with_setting(path, name, 3)
    b = base.with_part(next(iter(base.parts)), instruction="Be brief.")
    found = merged(base, a, b)
    assert found is not None
    assert found.settings[path][name] == 3
    assert next(iter(found.parts.values())).instruction == "Be brief."


@each(("number", "wanted"), [(0, []), (2, [0, 1]), (4, [0, 1, 2, 3])])
def test_the_ancestors_of_a_merge_are_those_of_both_parents(number: int, wanted: list[int]) -> None:
    assert ancestors([[], [0], [1], [0], [2, 3]], number) == wanted
