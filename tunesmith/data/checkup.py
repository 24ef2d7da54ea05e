"""Check data files before they are used: wrong rows, duplicates, leaks between splits, labels, lengths, language."""

import statistics
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tunesmith.data.datafile import DataFile, compared_fields, is_empty, plain
from tunesmith.data.keys import canonical_json
from tunesmith.data.language import language_of
from tunesmith.data.rows import Columns
from tunesmith.data.similar import NEAR, similar_texts
from tunesmith.data.source import Row
from tunesmith.errors import DataError, RowError, UsageError, brief
from tunesmith.signatures import Signature, field_names

__all__ = ["FINDINGS", "DataCheck", "FieldFacts", "Finding", "Place", "check_data", "looks_like_labels"]

FINDINGS = {
    "wrong-row": True,
    "contradiction": True,
    "duplicate": True,
    "leak": True,
    "near-leak": True,
    "mixed-types": True,
    "near-duplicate": False,
    "empty": False,
    "imbalance": False,
    "language": False,
}
"""Every kind of finding, and whether it is a problem. The others may be as they should."""

_MOST_LABELS = 200  # different values of a field that looks like a label
_ROWS_PER_LABEL = 4
_LONGEST_LABEL = 60  # characters
_RARE = 5  # rows of a label that are too few to learn it from
_SKEW = 10  # times as many rows of one label as of another
_MAIN_LANGUAGE = 0.5  # of the rows whose language can be told


@dataclass(frozen=True, slots=True)
class Place:
    """A row: the split it is in, and the line on which it starts."""

    split: str
    line: int

    def __str__(self) -> str:
        return f"{self.split}:{self.line}"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that a check found.

    Attributes:
        kind: one of `FINDINGS`.
        text: what it is, in words.
        count: how many rows, or pairs of rows, it is about.
        places: the first of them; of a pair, both rows.
    """

    kind: str
    text: str
    count: int
    places: tuple[Place, ...] = ()

    @property
    def is_problem(self) -> bool:
        """Whether it should be put right; other findings may be as they should."""
        return FINDINGS[self.kind]

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        places = [{"split": place.split, "line": place.line} for place in self.places]
        return {
            "kind": self.kind,
            "problem": self.is_problem,
            "text": self.text,
            "count": self.count,
            "places": places,
        }


@dataclass(frozen=True, slots=True)
class FieldFacts:
    """What the rows of all splits hold in one field.

    Attributes:
        name: the field.
        role: `input`, `output`, or empty if no signature says it.
        types: JSON types of its values, with the number of rows of each.
        filled: rows with a value.
        distinct: different values.
        characters: median, 95 % quantile and maximum of the length of its texts; `None` without texts.
        tokens: the same in tokens, if they were counted.
    """

    name: str
    role: str
    types: Mapping[str, int]
    filled: int
    distinct: int
    characters: tuple[int, int, int] | None
    tokens: tuple[int, int, int] | None = None

    def to_json(self) -> dict[str, Any]:
        """Return them as JSON values."""
        return {
            "name": self.name,
            "role": self.role or None,
            "types": dict(self.types),
            "filled": self.filled,
            "distinct": self.distinct,
            "characters": _lengths_json(self.characters),
            "tokens": _lengths_json(self.tokens),
        }


@dataclass(frozen=True, slots=True)
class DataCheck:
    """What a check of data files found.

    Attributes:
        splits: rows by split, wrong ones included.
        compared: the fields in which two rows must be equal to be the same.
        fields: what each field holds.
        labels: rows by split, by value, by field, for each field that holds one of a few labels.
        languages: rows by split, by language.
        findings: in the order of `FINDINGS`.
        notes: what the reader left out or guessed.
    """

    splits: Mapping[str, int]
    compared: tuple[str, ...]
    fields: tuple[FieldFacts, ...]
    labels: Mapping[str, Mapping[str, Mapping[str, int]]]
    languages: Mapping[str, Mapping[str, int]]
    findings: tuple[Finding, ...]
    notes: tuple[str, ...] = ()

    @property
    def problems(self) -> tuple[Finding, ...]:
        """The findings that should be put right."""
        return tuple(finding for finding in self.findings if finding.is_problem)

    def failed(self, *, strict: bool = False, kinds: Iterable[str] = ()) -> tuple[Finding, ...]:
        """Return the findings that fail a gate: with `strict` every problem, and those of `kinds`.

        Raises:
            UsageError: there is no such kind.
        """
        wanted = set(kinds)
        for kind in sorted(wanted - set(FINDINGS)):
            raise UsageError(f"There is no finding `{kind}`. Use one of: {', '.join(FINDINGS)}.")
        return tuple(one for one in self.findings if one.kind in wanted or (strict and one.is_problem))

    def __repr__(self) -> str:
        found = Counter(finding.kind for finding in self.findings)
        return brief(self, rows=sum(self.splits.values()), findings=dict(found))

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            "splits": dict(self.splits),
            "compared": list(self.compared),
            "fields": [facts.to_json() for facts in self.fields],
            "labels": {name: {value: dict(rows) for value, rows in one.items()} for name, one in self.labels.items()},
            "languages": {name: dict(rows) for name, rows in self.languages.items()},
            "findings": [finding.to_json() for finding in self.findings],
            "problems": len(self.problems),
            "notes": list(self.notes),
        }


def check_data(
    splits: Mapping[str, DataFile],
    *,
    signature: type[Signature] | None = None,
    inputs: Sequence[str] | None = None,
    labels: Sequence[str] | None = None,
    near: float | None = NEAR,
    count_tokens: Callable[[str], int | None] | None = None,
) -> DataCheck:
    """Check the files of one dataset, by split. Nothing is changed.

    Args:
        splits: the files by name, such as `train` and `test`.
        signature: what a row must hold; its inputs say when two rows are the same.
        inputs: the inputs, without a signature. Default: every field that is not a label or the name of a row.
        labels: the fields to count the values of. Default: the outputs, or the fields with few different short values.
        near: the least similarity of two texts that are nearly the same (`similar_texts`); `None` looks for none.
        count_tokens: counts the tokens of a text.

    Raises:
        UsageError: `signature` and `inputs` are both given, or there is no field of that name.
        DataError: a file has no row at all.

    Example:
        >>> from tunesmith.data import DataFile, Row, check_data
        >>> rows = [Row(1, {"text": "Cold soup.", "label": "food"}), Row(2, {"text": "Cold soup.", "label": "room"})]
        >>> found = check_data({"all": DataFile("rows.jsonl", tuple(rows))}, inputs=["text"])
        >>> found.findings[0].kind, [str(place) for place in found.findings[0].places]
        ('contradiction', ['all:1', 'all:2'])
    """
    if signature is not None and inputs is not None:
        raise UsageError("Give `signature` or `inputs`, not both: a signature names its inputs.")
    for file in splits.values():
        if not file.wrong:
            file.checked()
    rows = _Rows.of(splits, signature)
    fields = tuple(dict.fromkeys(name for file in splits.values() for name in file.fields))
    counted = rows.label_fields(fields, signature, labels)
    counters = tuple(name for name in fields if any(name in file.counters for file in splits.values()))
    compared = _compared(fields, signature, inputs, counted, counters)
    answers = counted if signature is None else field_names(signature).outputs
    findings = [*rows.wrong, *_same_rows(rows, compared, answers or _others(fields, compared, counters))]
    if near is not None:
        findings += _near_rows(rows, compared, near)
    findings += [*_mixed_types(rows, fields), *_empty(rows, fields), *_imbalance(rows, counted)]
    languages, foreign = _languages(rows, compared)
    order = list(FINDINGS)
    return DataCheck(
        {name: len(file.rows) + len(file.wrong) for name, file in splits.items()},
        compared,
        tuple(_facts(rows, name, signature, count_tokens) for name in fields),
        {name: rows.counts(name) for name in counted},
        languages,
        tuple(sorted([*findings, *foreign], key=lambda finding: order.index(finding.kind))),
        tuple(note for file in splits.values() for note in file.notes),
    )


@dataclass(frozen=True, slots=True)
class _Rows:
    """The rows that fit, each with its place, and the findings about those that do not."""

    splits: tuple[str, ...]
    all: tuple[tuple[Place, Row], ...]
    wrong: tuple[Finding, ...]

    @classmethod
    def of(cls, splits: Mapping[str, DataFile], signature: type[Signature] | None) -> "_Rows":
        kept: list[tuple[Place, Row]] = []
        wrong: list[Finding] = []
        for split, file in splits.items():
            errors = list(file.wrong)
            columns = None if signature is None else Columns.of(str(file.path), signature, require_outputs=True)
            for row in file.rows:
                try:
                    if columns is not None:
                        columns.example(row)
                    kept.append((Place(split, row.line), row))
                except RowError as error:
                    errors.append(error)
            wrong += _wrong(split, sorted(errors, key=lambda error: error.line or 0))
            wrong += _missing_output(columns, file)
        return cls(tuple(splits), tuple(kept), tuple(wrong))

    def label_fields(
        self, fields: Sequence[str], signature: type[Signature] | None, labels: Sequence[str] | None
    ) -> tuple[str, ...]:
        """Return the fields that hold one of a few labels: those named, else those that look like it."""
        for name in labels or ():
            if name not in fields:
                raise UsageError(f"There is no field `{name}`. The rows have: {', '.join(fields[:20])}.")
        if labels:
            return tuple(labels)
        candidates = (
            fields if signature is None else [name for name in field_names(signature).outputs if name in fields]
        )
        return looks_like_labels([row for _, row in self.all], candidates)

    def counts(self, name: str) -> dict[str, dict[str, int]]:
        """Return the rows by value and split, the most frequent value first."""
        found: dict[str, Counter[str]] = defaultdict(Counter)
        for place, row in self.all:
            if not is_empty(row, name):
                value = row.value[name]
                found[value if isinstance(value, str) else canonical_json(plain(value))][place.split] += 1
        ordered = sorted(found.items(), key=lambda item: (-item[1].total(), item[0]))
        return {value: {split: rows[split] for split in self.splits} for value, rows in ordered}


def looks_like_labels(rows: Sequence[Row], fields: Iterable[str]) -> tuple[str, ...]:
    """Return those of the fields that hold one of a few short values."""
    return tuple(name for name in fields if _looks_like_label(rows, name))


def _looks_like_label(rows: Sequence[Row], name: str) -> bool:
    values = [row.value[name] for row in rows if not is_empty(row, name)]
    if not values or not all(isinstance(value, (str, bool, int)) for value in values):
        return False
    texts = Counter(map(str, values))
    few = 1 < len(texts) <= min(_MOST_LABELS, len(values) / _ROWS_PER_LABEL)
    return few and max(map(len, texts)) <= _LONGEST_LABEL


def _compared(
    fields: tuple[str, ...],
    signature: type[Signature] | None,
    inputs: Sequence[str] | None,
    labels: Sequence[str],
    counters: Sequence[str],
) -> tuple[str, ...]:
    if signature is not None:
        return field_names(signature).inputs
    if inputs is None:
        return compared_fields(fields, labels, counters)
    for name in inputs:
        if name not in fields:
            raise UsageError(f"There is no field `{name}`. The rows have: {', '.join(fields[:20])}.")
    return tuple(inputs)


def _wrong(split: str, errors: Sequence[RowError]) -> list[Finding]:
    """Return a finding for each problem: a column with another name is wrong in every row."""
    rows: dict[str, list[RowError]] = {}
    for error in errors:
        field = "" if error.field is None else f"field `{error.field}`: "
        rows.setdefault(f"{field}{error.problem}", []).append(error)
    return [
        Finding("wrong-row", text, len(same), tuple(Place(split, one.line) for one in same if one.line is not None))
        for text, same in rows.items()
    ]


def _missing_output(columns: Columns | None, file: DataFile) -> list[Finding]:
    if columns is None:
        return []
    try:
        columns.check_seen(set(file.fields))
    except DataError as error:
        return [Finding("wrong-row", str(error), len(file.rows))]
    return []


def _key(row: Row, fields: Sequence[str]) -> str:
    return canonical_json(plain({name: row.value[name] for name in fields if name in row.value}))


def _text(row: Row, fields: Sequence[str]) -> str:
    values = (row.value.get(name) for name in fields)
    return "\n".join(value if isinstance(value, str) else canonical_json(plain(value)) for value in values)


def _others(fields: Sequence[str], compared: Sequence[str], counters: Sequence[str]) -> tuple[str, ...]:
    return tuple(name for name in compared_fields(fields, counters=counters) if name not in compared)


def _same_rows(rows: _Rows, compared: Sequence[str], answers: Sequence[str]) -> Iterator[Finding]:
    """Find rows with the same compared fields: in one split duplicates or contradictions, in two a leak."""
    same: dict[str, list[tuple[Place, Row]]] = defaultdict(list)
    for place, row in rows.all:
        same[_key(row, compared)].append((place, row))
    leaks: dict[tuple[str, str], list[Place]] = defaultdict(list)
    twice: list[list[Place]] = []
    unlike: list[list[Place]] = []
    for found in same.values():
        by_split: dict[str, list[tuple[Place, Row]]] = defaultdict(list)
        for place, row in found:
            by_split[place.split].append((place, row))
        for inside in by_split.values():
            if len(inside) > 1:
                differ = len({_key(row, answers) for _, row in inside}) > 1
                (unlike if differ else twice).append([place for place, _ in inside])
        for one, other in _pairs_of(list(by_split)):
            leaks[one, other] += [by_split[one][0][0], by_split[other][0][0]]
    names = ", ".join(compared)
    if unlike:
        text = f"rows with the same {names} as one before, and another {' or '.join(answers)}"
        yield _groups("contradiction", text, unlike)
    if twice:
        yield _groups("duplicate", f"rows with the same {names} as one before", twice)
    for (one, other), places in leaks.items():
        text = f"rows of `{other}` with the same {names} as one of `{one}`"
        yield Finding("leak", text, len(places) // 2, tuple(places))


def _groups(kind: str, text: str, groups: Sequence[Sequence[Place]]) -> Finding:
    count = sum(len(places) - 1 for places in groups)
    return Finding(kind, text, count, tuple(place for places in groups for place in places))


def _near_rows(rows: _Rows, compared: Sequence[str], near: float) -> Iterator[Finding]:
    """Find rows that are nearly the same, and not the same."""
    found = similar_texts([_text(row, compared) for _, row in rows.all], near)
    pairs: dict[tuple[str, str], list[Place]] = defaultdict(list)
    for one, other in _near_places(rows, compared, found.classes, found.pairs):
        first, second = sorted((one, other), key=lambda place: rows.splits.index(place.split))
        pairs[first.split, second.split] += [first, second]
    for (one_split, other_split), places in sorted(pairs.items(), key=lambda item: item[0][0] != item[0][1]):
        count = len(places) // 2
        if one_split == other_split:
            text = f"pairs of rows of `{one_split}` that are at least {near:g} similar"
            yield Finding("near-duplicate", text, count, tuple(places))
        else:
            text = f"pairs of rows of `{one_split}` and `{other_split}` that are at least {near:g} similar"
            yield Finding("near-leak", text, count, tuple(places))


def _near_places(
    rows: _Rows,
    compared: Sequence[str],
    classes: Sequence[Sequence[int]],
    pairs: Sequence[tuple[int, int, float]],
) -> Iterator[tuple[Place, Place]]:
    """Yield pairs of places. Rows that are the same stand for each other in each split, so that pairs stay few."""
    few: list[list[Place]] = []
    for members in classes:
        first: dict[tuple[str, str], Place] = {}
        for number in members:
            place, row = rows.all[number]
            first.setdefault((place.split, _key(row, compared)), place)
        few.append(list(first.values()))
        keys = [(key, place) for (_, key), place in first.items()]
        yield from ((one, other) for (key, one), (another, other) in _pairs_of(keys) if key != another)
    for a, b, _ in pairs:
        yield from ((one, other) for one in few[a] for other in few[b])


def _pairs_of(items: Sequence[Any]) -> Iterator[tuple[Any, Any]]:
    return ((one, other) for place, one in enumerate(items) for other in items[place + 1 :])


def _type_of(value: Any) -> str:
    if value is None:
        return "null"
    kinds = (
        (bool, "true/false"),
        ((int, float), "number"),
        (str, "text"),
        (Mapping, "object"),
        ((list, tuple), "list"),
    )
    return next((name for kind, name in kinds if isinstance(value, kind)), type(value).__name__)


def _types(rows: _Rows, name: str) -> Counter[str]:
    return Counter(_type_of(row.value[name]) for _, row in rows.all if row.value.get(name) is not None)


def _mixed_types(rows: _Rows, fields: Iterable[str]) -> Iterator[Finding]:
    for name in fields:
        types = _types(rows, name)
        if len(types) > 1:
            (main, _), *others = types.most_common()
            odd = [place for place, row in rows.all if _type_of(row.value.get(name)) not in (main, "null")]
            kinds = " or ".join(kind for kind, _ in others)
            yield Finding(
                "mixed-types", f"rows with a {kinds} in `{name}`; the others have a {main}", len(odd), tuple(odd)
            )


def _empty(rows: _Rows, fields: Iterable[str]) -> Iterator[Finding]:
    for name in fields:
        places = tuple(place for place, row in rows.all if is_empty(row, name))
        if places:
            yield Finding("empty", f"rows with nothing in `{name}`", len(places), places)


def _imbalance(rows: _Rows, labels: Iterable[str]) -> Iterator[Finding]:
    for name in labels:
        counts = rows.counts(name)
        totals = {value: sum(found.values()) for value, found in counts.items()}
        most, least = next(iter(totals)), list(totals)[-1]
        if totals[most] >= _SKEW * totals[least]:
            text = f"rows with {most!r} in `{name}`, {totals[most] / totals[least]:.0f} times as many as with {least!r}"
            yield Finding("imbalance", text, totals[most])
        for value, total in totals.items():
            if total < _RARE:
                text = f"rows with {value!r} in `{name}`: too few to learn or to measure it"
                yield Finding("imbalance", text, total)
            elif "train" in counts[value] and not counts[value]["train"]:
                yield Finding("imbalance", f"rows with {value!r} in `{name}`, none of them in `train`", total)


def _languages(rows: _Rows, compared: Sequence[str]) -> tuple[dict[str, dict[str, int]], tuple[Finding, ...]]:
    told = [(place, language_of(_text(row, compared))) for place, row in rows.all]
    counts = Counter(language for _, language in told if language is not None)
    by_language = {
        language: {split: sum(own == language and place.split == split for place, own in told) for split in rows.splits}
        for language, _ in counts.most_common()
    }
    if len(counts) < 2 or counts.most_common(1)[0][1] < _MAIN_LANGUAGE * counts.total():
        return by_language, ()
    main = counts.most_common(1)[0][0]
    found = []
    for language, count in counts.most_common()[1:]:
        places = tuple(place for place, own in told if own == language)
        found.append(Finding("language", f"rows that look like {language}; most look like {main}", count, places))
    return by_language, tuple(found)


def _facts(
    rows: _Rows, name: str, signature: type[Signature] | None, count_tokens: Callable[[str], int | None] | None
) -> FieldFacts:
    names = None if signature is None else field_names(signature)
    role = "" if names is None else "input" if name in names.inputs else "output" if name in names.outputs else ""
    values = [row.value[name] for _, row in rows.all if not is_empty(row, name)]
    texts = [value for value in values if isinstance(value, str)]
    tokens = [] if count_tokens is None else [found for text in texts if (found := count_tokens(text)) is not None]
    distinct = len({canonical_json(plain(value)) for value in values})
    lengths = _lengths([len(text) for text in texts])
    return FieldFacts(name, role, dict(_types(rows, name)), len(values), distinct, lengths, _lengths(tokens))


def _lengths(found: Sequence[int]) -> tuple[int, int, int] | None:
    if not found:
        return None
    ordered = sorted(found)
    return round(statistics.median(ordered)), ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))], ordered[-1]


def _lengths_json(found: tuple[int, int, int] | None) -> dict[str, int] | None:
    return None if found is None else dict(zip(("median", "p95", "most"), found, strict=True))
