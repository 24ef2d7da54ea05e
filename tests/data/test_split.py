"""Splits: disjoint, of the asked sizes, the same for the same content and seed."""

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.each import each
from tests.scale import scaled
from tunesmith.data import Dataset, Splits, check_disjoint
from tunesmith.errors import SplitError, UsageError


def made(rows) -> Dataset:
    return Dataset.load(rows, inputs=["q"])


def distinct(count: int, labels: int = 3) -> Dataset:
    return made([{"q": f"q{i}", "a": f"label {i % labels}"} for i in range(count)])


def parts_of(splits: Splits) -> list[Dataset]:
    return [part for part in (splits.train, splits.val, splits.test) if part is not None]


ROWS = st.lists(
    st.fixed_dictionaries({"q": st.integers(0, 30).map(str), "a": st.integers(0, 2), "g": st.integers(0, 5)}),
    min_size=1,
    max_size=40,
)
SIZES = st.fixed_dictionaries(
    {},
    optional={name: st.integers(1, 12) | st.floats(0.05, 1.0) for name in ("train", "val", "test")},
)


@given(ROWS, SIZES, st.integers(0, 5), st.sampled_from([None, "a"]), st.sampled_from([None, "g"]))
def test_parts_are_disjoint_and_numbers_of_rows_are_met(rows, sizes, seed, stratify, group) -> None:
    data = made(rows)
    try:
        splits = data.split(**sizes, seed=seed, stratify=stratify, group=group)
    except (SplitError, UsageError):
        return

    parts = {name: getattr(splits, name) for name in ("train", "val", "test")}
    check_disjoint(**parts)
    for name, part in parts.items():
        assert (part is None) == (name not in sizes)
        if isinstance(sizes.get(name), int):
            assert len(part) == sizes[name]
        if part is not None:
            assert len(part) > 0
            assert part.inputs == data.inputs
    together = Counter(key for part in parts_of(splits) for key in part.keys)
    assert together <= Counter(data.keys)
    for key, count in together.items():
        assert count == Counter(data.keys)[key], "a row with a twin left the twin behind"
    if group is not None:
        seen = [{example.g for example in part} for part in parts_of(splits)]
        assert sum(map(len, seen)) == len(set().union(*seen))


@given(st.integers(1, 60), SIZES, st.integers(0, 3), st.sampled_from([None, "a"]))
def test_rows_without_twins_meet_every_size_exactly(count, sizes, seed, stratify) -> None:
    try:
        splits = distinct(count).split(**sizes, seed=seed, stratify=stratify)
    except (SplitError, UsageError):
        return

    for name, size in sizes.items():
        wanted = size if isinstance(size, int) else size * count
        assert abs(len(getattr(splits, name)) - wanted) < 1


@given(ROWS, st.integers(0, 5), st.randoms(use_true_random=False), st.sampled_from([None, "a"]))
def test_a_split_depends_on_content_and_seed_alone(rows, seed, shuffler, stratify) -> None:
    turned = list(rows)
    shuffler.shuffle(turned)
    try:
        one = made(rows).split(train=0.5, val=0.3, seed=seed, stratify=stratify)
    except SplitError:
        return
    other = made(turned).split(train=0.5, val=0.3, seed=seed, stratify=stratify)

    assert [part.keys for part in parts_of(one)] == [part.keys for part in parts_of(other)]


@given(
    st.lists(st.integers(1, 30), min_size=1, max_size=5),
    st.sampled_from([(0.6, 0.2, 0.2), (0.5, 0.5, None), (0.34, 0.33, 0.33), (0.1, 0.1, 0.1)]),
    st.integers(0, 5),
)
def test_strata_keep_their_proportions(counts, fractions, seed) -> None:
    rows = [{"q": f"{label}/{i}", "a": label} for label, count in enumerate(counts) for i in range(count)]
    train, val, test = fractions
    try:
        splits = made(rows).split(train=train, val=val, test=test, seed=seed, stratify="a")
    except SplitError:
        return

    shares = [fraction for fraction in fractions if fraction is not None]
    for part, share in zip(parts_of(splits), shares, strict=True):
        have = Counter(example.a for example in part)
        for label, count in enumerate(counts):
            assert abs(have[label] - share * count) < 3


def test_fractions_that_add_up_use_every_row() -> None:
    for count in range(4, 40):
        splits = distinct(count).split(train=0.6, val=0.2, test=0.2)
        assert sum(map(len, parts_of(splits))) == count
    halves = distinct(5).split(train=0.5, val=0.5)
    assert (len(halves.train), len(halves.val)) == (3, 2)
    assert halves.test is None


def test_numbers_and_fractions_can_be_mixed_and_rows_left_out() -> None:
    splits = distinct(100).split(train=0.5, val=7, test=3)

    assert [len(part) for part in parts_of(splits)] == [50, 7, 3]
    assert splits.train.name == "rows.train"


def test_seeds_give_different_splits() -> None:
    data = distinct(50)
    firsts = {data.split(train=10, seed=seed).train.keys for seed in range(10)}

    assert len(firsts) == 10
    assert data.split(train=10).train == data.split(train=10, seed=0).train


def test_every_row_is_as_likely_to_be_in_train() -> None:
    data = distinct(10)
    counts = Counter(key for seed in range(400) for key in data.split(train=5, seed=seed).train.keys)

    assert all(150 < counts[key] < 250 for key in data.keys)


def test_the_rows_of_a_part_are_not_sorted_by_stratum() -> None:
    labels = [example.a for example in distinct(90).split(train=60, stratify="a").train]

    assert labels != sorted(labels)


def test_groups_stay_together_with_fractions_near_their_share() -> None:
    rows = [{"q": f"q{i}", "a": 1, "doc": f"d{i // 10}"} for i in range(100)]

    splits = made(rows).split(train=0.75, val=0.25, group="doc")

    assert {len(splits.train), len(splits.val)} in ({70, 30}, {80, 20})
    assert not {e.doc for e in splits.train} & {e.doc for e in splits.val}


def test_rows_without_a_group_are_on_their_own() -> None:
    rows = [{"q": f"q{i}", "a": 1, "doc": None} for i in range(10)]

    assert len(made(rows).split(train=5, group="doc").train) == 5


def test_the_same_inputs_with_another_label_stay_together() -> None:
    rows = [{"q": f"q{i // 2}", "a": i} for i in range(20)]

    splits = made(rows).split(train=10, test=10)

    check_disjoint(train=splits.train, test=splits.test)
    assert len(splits.train) == 10


@each(
    "sizes",
    [
        {"train": 8, "val": 3},
        {"train": 11},
        {"train": 0.9, "val": 0.2},
        {"train": 0.95, "val": 1},
        {"train": 0.01},
        {"train": 1.0, "val": 0.04},
    ],
)
def test_sizes_that_do_not_fit_are_split_errors(sizes) -> None:
    with pytest.raises(SplitError):
        distinct(10).split(**sizes)


@each(
    "sizes",
    [
        {},
        {"train": 0},
        {"train": -1},
        {"train": 0.0},
        {"train": 1.5},
        {"train": float("nan")},
        {"train": True},
        {"train": "0.8"},
        {"train": 5, "stratify": "nothing"},
        {"train": 5, "group": "nothing"},
    ],
)
def test_sizes_and_fields_are_checked(sizes) -> None:
    with pytest.raises(UsageError):
        distinct(10).split(**sizes)


def test_a_number_that_whole_groups_cannot_meet_is_a_split_error() -> None:
    rows = [{"q": f"q{i}", "a": 1, "doc": f"d{i // 10}"} for i in range(30)]

    with pytest.raises(SplitError, match="whole groups"):
        made(rows).split(train=15, val=15, group="doc")
    with pytest.raises(SplitError, match="whole groups"):
        made(rows).split(train=0.25, val=0.25, test=0.25, group="a")


def test_an_empty_dataset_cannot_be_split() -> None:
    with pytest.raises(SplitError):
        distinct(3)[3:].split(train=0.5)


def test_values_that_are_lists_can_be_strata() -> None:
    rows = [{"q": f"q{i}", "a": [i % 2]} for i in range(40)]

    splits = made(rows).split(train=20, test=20, stratify="a")

    assert abs(Counter(e.a[0] for e in splits.train)[0] - 10) <= 1


def test_a_large_dataset_with_twins_is_split_near_its_fractions() -> None:
    rows = random.Random(0).choices(range(scaled(100_000)), k=scaled(200_000))
    data = made([{"q": str(value), "a": value % 7} for value in rows])

    splits = data.split(train=0.8, test=0.2, stratify="a")

    assert abs(len(splits.train) - 0.8 * len(data)) <= 10


# A dataset that knows its groups ----------------------------------------------------------------------------


def grouped(count: int = 24) -> Dataset:
    return Dataset.load(
        [{"q": f"q{i}", "doc": None if i < 2 else i // 4} for i in range(count)], inputs=["q"], group="doc"
    )


def test_a_group_is_named_by_its_value_and_nobody_is_related_by_having_none() -> None:
    data = grouped(8)
    assert data.groups == (f"alone {data.keys[0]}", f"alone {data.keys[1]}", "0", "0", "1", "1", "1", "1")
    assert made([{"q": "a"}]).groups is None


def test_parts_and_slices_keep_the_group_and_groups_stay_together() -> None:
    parts = parts_of(grouped().split(train=0.5, val=0.25, test=0.25))
    assert [part.group for part in parts] == ["doc"] * 3
    groups = [set(part.groups or ()) for part in parts]
    assert sum(map(len, groups)) == len(set().union(*groups))
    assert grouped()[4:8].groups == ("1",) * 4


def test_the_group_of_a_split_is_that_of_its_parts() -> None:
    data = made([{"q": f"q{i}", "doc": i // 4} for i in range(24)])
    assert [part.group for part in parts_of(data.split(train=0.5, test=0.5, group="doc"))] == ["doc", "doc"]


def test_a_group_is_no_part_of_the_content() -> None:
    data = grouped()
    assert data.fingerprint == made([dict(example.items()) for example in data]).fingerprint


def test_a_group_that_an_example_lacks_is_refused() -> None:
    with pytest.raises(UsageError, match="`group` names the field `doc`, which example 2 lacks"):
        Dataset.load([{"q": "a", "doc": 1}, {"q": "b"}], inputs=["q"], group="doc")


def test_with_near_what_is_nearly_the_same_stays_together() -> None:
    rows = [{"q": " ".join(f"w{i // 2}x{place}" for place in range(12)) + f" end{i % 2}"} for i in range(20)]
    train, test = parts_of(made(rows).split(train=0.5, test=0.5, near=0.8))
    assert {row.q.split()[0] for row in train}.isdisjoint({row.q.split()[0] for row in test})
    with pytest.raises(UsageError, match="above 0 and up to 1"):
        made(rows).split(train=0.5, near=8)


def test_a_sample_is_exact_keeps_proportions_and_ignores_the_order_of_rows() -> None:
    data = distinct(30)
    sample = data.sample(9, seed=1, stratify="a")
    assert Counter(row.a for row in sample) == {f"label {i}": 3 for i in range(3)}
    assert made([dict(row.items()) for row in reversed(data)]).sample(9, seed=1, stratify="a") == sample
    assert data.sample(9, seed=2) != data.sample(9, seed=3)


def test_a_sample_of_more_than_there_are_or_of_a_share_is_refused() -> None:
    with pytest.raises(SplitError, match="only 30"):
        distinct(30).sample(31)
    for count in (0, 0.5, True):
        with pytest.raises(UsageError, match="`count` must be a"):
            distinct(30).sample(count)  # type: ignore[arg-type]
