"""A dataset: examples with marked inputs, identified by content."""

import logging
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from operator import is_
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from tunesmith.data.keys import canonical_json, content_key, example_key, inputs_key
from tunesmith.errors import DataError, RowError, UsageError
from tunesmith.signatures import Example, Signature, input_types, output_types

if TYPE_CHECKING:
    from tunesmith.data.loading import OnBad

__all__ = ["Dataset", "Splits"]

_log = logging.getLogger("tunesmith")


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Dataset(Sequence[Example]):
    """An ordered collection of `dspy.Example`s with their inputs set.

    Two datasets are equal if they hold the same content in the same order. Do not change an
    example in place: its key is cached.

    Attributes:
        examples: the examples.
        inputs: names of the input fields. All other fields are labels or extra columns.
        name: the name in reports.
        skipped: the bad rows, with `on_bad="skip"`.
        group: a field that related examples share, such as a customer. Intervals then count groups, not examples,
            and splits keep groups together. `None` if examples are unrelated.
        notes: what the reader left out or guessed.

    Example:
        >>> import tunesmith as ts
        >>> rows = [{"text": "Cold soup.", "topic": "food"}, {"text": "Loud street.", "topic": "room"}]
        >>> data = ts.Dataset.load(rows, signature=ts.Signature("text -> topic"))
        >>> len(data), data[0].topic
        (2, 'food')
    """

    examples: tuple[Example, ...]
    inputs: tuple[str, ...]
    name: str = "data"
    skipped: tuple[RowError, ...] = ()
    group: str | None = None
    notes: tuple[str, ...] = ()
    _keys: tuple[str, ...] | None = field(default=None, init=False)
    _typed: type[Signature] | None = field(default=None, init=False)
    _fits: type[Signature] | None = field(default=None, init=False)
    _labels: Mapping[str, type[Signature]] | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        examples = tuple(self.examples)
        for row, example in enumerate(examples, 1):
            if not isinstance(example, Example):
                raise RowError("This is not a `dspy.Example`.", source=self.name, line=row, value=example)
        object.__setattr__(self, "examples", examples)
        object.__setattr__(self, "inputs", tuple(self.inputs))
        if self.group is not None:
            self._check_field("group", self.group)

    @classmethod
    def load(
        cls,
        source: str | Path | Iterable[Any],
        *,
        signature: type[Signature] | None = None,
        inputs: Iterable[str] | None = None,
        columns: Mapping[str, str] | None = None,
        delimiter: str | None = None,
        encoding: str | None = None,
        require_outputs: bool = True,
        on_bad: "OnBad" = "raise",
        name: str | None = None,
        group: str | None = None,
    ) -> "Dataset":
        """Read and check a dataset.

        Args:
            source: a `.jsonl`, `.ndjson`, `.json`, `.yaml`, `.csv`, `.tsv` or `.parquet` file (Parquet needs the extra
                `parquet`; text files may end in `.gz`); or examples, mappings, columns by name or a data frame. In a
                data frame, NaN, NaT and NA mean absent. `docs/data.md` lists the shapes of files.
            signature: checks and types every field that it declares. A value is converted if the
                conversion is unambiguous (`docs/data.md` has the table): a number to its text, "Good"
                to the label `good`, JSON text to a list or an object. A CSV cell is text; an empty cell
                of an optional field is `None`. An absent optional field is `None`, an absent field with
                a default gets the default. An output that no row has is an error. Other columns stay
                unchanged.
            inputs: names of the input fields, without a signature. Examples with inputs set need
                neither.
            columns: where fields stand in a row, if not under their own name: `{"answer": "answers.text.0"}` takes the
                first of the list `text` in the column `answers`.
            delimiter: the separator of a `.csv` or `.tsv` file; detected by default.
            encoding: the encoding of a text file; default UTF-8, or the byte order mark's encoding.
            require_outputs: `False` accepts rows without labels; their outputs stay absent.
            on_bad: `raise` stops at the first bad row; `skip` omits bad rows and lists them in
                `skipped`. An error of the whole file is always raised.
            name: the name in reports; default the file's name without its suffix.
            group: the field whose value related examples share.

        Raises:
            RowError: a row does not fit; the error has file, line, field and value.
            DataError: the file cannot be read, no row is left, or no row has an output.
            UsageError: a wrong argument or file name, a missing extra, or a missing field `group`.
            SignatureError: `signature` is not a signature class.
        """
        from tunesmith.data.frames import own_inputs  # here: a program that names `Dataset` may read no file
        from tunesmith.data.loading import check_arguments, columns_of, examples_of, open_source, picked
        from tunesmith.data.source import Reading

        check_arguments(signature, inputs, on_bad, columns)
        notes: list[str] = []

        def note(text: str) -> None:
            notes.append(text)
            _log.warning(text)  # now, because it may explain an error that follows

        rows, where, own = open_source(source, name, Reading(note, delimiter, encoding))
        if signature is None and inputs is None and not isinstance(source, (str, Path)):
            rows, inputs = own_inputs(rows, where)
            new_names = {path: field for field, path in (columns or {}).items()}
            inputs = tuple(new_names.get(name, name) for name in inputs)
        rows = picked(rows, columns)
        wanted = columns_of(where, signature, inputs, require_outputs=require_outputs, rows=rows)
        skipped: list[RowError] = []
        pairs = list(examples_of(rows, wanted, skipped.append if on_bad == "skip" else None, columns))
        if not pairs:
            first = f" First of {len(skipped)} skipped: {skipped[0]}" if skipped else ""
            raise DataError(f"`{where}` has no usable rows.{first}")
        dataset = cls(tuple(pair[0] for pair in pairs), wanted.inputs, own, tuple(skipped), group, tuple(notes))
        object.__setattr__(dataset, "_keys", tuple(pair[1] for pair in pairs))
        object.__setattr__(dataset, "_typed", signature if require_outputs else None)
        return dataset

    @property
    def keys(self) -> tuple[str, ...]:
        """The content key of each example, in order (`example_key`)."""
        keys = self._keys
        if keys is None:
            keys = tuple(map(example_key, self.examples))
            object.__setattr__(self, "_keys", keys)
        return keys

    @property
    def fingerprint(self) -> str:
        """The sha256 of the sorted keys and input names: equal for the same rows in any order."""
        return content_key({"inputs": sorted(self.inputs), "keys": sorted(self.keys)})

    @property
    def groups(self) -> tuple[str, ...] | None:
        """The group of each example, in order; `None` without a `group` field.

        An example with the group `None` is related only to examples with the same content.
        """
        if self.group is None:
            return None
        values = [canonical_json(example[self.group]) for example in self.examples]
        return tuple(f"alone {key}" if value == "null" else value for value, key in zip(values, self.keys, strict=True))

    def fitted(self, signature: type[Signature]) -> "tuple[Dataset, tuple[str, ...]]":
        """Return the dataset typed for a program of `signature`, and notes; see `fitting.fitted`.

        Raises:
            RowError: an example lacks an input.
        """
        from tunesmith.data.fitting import Fitted, fitted

        if self._fits is not None and _same_fields(self._fits, signature):
            return self, ()
        typed = self._typed is not None and _same_fields(self._typed, signature)
        found = Fitted(self.examples, self.inputs, ()) if typed else fitted(self.examples, signature, self.name)
        dataset = Dataset(found.examples, found.inputs, self.name, self.skipped, self.group, self.notes)
        object.__setattr__(dataset, "_fits", signature)
        object.__setattr__(dataset, "_keys", self._keys if _same_examples(dataset, self) else None)
        return dataset, found.notes

    def with_labels(self, signatures: Mapping[str, type[Signature]]) -> "tuple[Dataset, tuple[str, ...]]":
        """Return the dataset with texts converted to labels, and notes; see `fitting.with_labels`."""
        from tunesmith.data.fitting import with_labels

        if self._labels == signatures:
            return self, ()
        examples, notes = with_labels(self.examples, signatures, self.name)
        dataset = Dataset(examples, self.inputs, self.name, self.skipped, self.group, self.notes)
        object.__setattr__(dataset, "_labels", dict(signatures))
        object.__setattr__(dataset, "_keys", self._keys if _same_examples(dataset, self) else None)
        return dataset, notes

    def split(
        self,
        *,
        train: int | float | None = None,
        val: int | float | None = None,
        test: int | float | None = None,
        seed: int = 0,
        stratify: str | None = None,
        group: str | None = None,
        near: float | None = None,
    ) -> "Splits":
        """Split into disjoint parts. The same content and seed give the same parts in any row order.

        Examples with the same inputs, or with the same value of the field `group` (except `None`),
        always land in the same part, so the parts pass `check_disjoint`.

        Args:
            train: a number of rows (int) or a fraction of all rows (float): `1` is one row, `1.0` is
                all. Rows beyond the sum of the parts are left out.
            val: like `train`.
            test: like `train`.
            seed: another seed gives another split.
            stratify: a field whose values keep their proportions in every part, within a few rows.
            group: a field whose equal values stay together; default the dataset's `group`. The parts keep it.
            near: examples whose inputs are at least that similar stay together too (`similar_texts`), such as 0.8.

        A number of rows is exact. A fraction may be missed if groups are large.

        Raises:
            UsageError: a size is out of range, or an example lacks a field.
            SplitError: the sizes do not fit.
        """
        from tunesmith.data.partition import allocate, parts_of, units_of
        from tunesmith.data.similar import near_groups

        wanted = parts_of(len(self), {"train": train, "val": val, "test": test})
        group = self.group if group is None else group
        order = sorted(range(len(self)), key=lambda row: self.keys[row])
        random.Random(seed).shuffle(order)
        links = [[("inputs", inputs_key(example))] for example in self.examples]
        if group is not None:
            for link, value in zip(links, self._texts("group", group), strict=True):
                if value != "null":
                    link.append(("group", value))
        if near is not None:
            for link, number in zip(links, near_groups(map(_inputs_text, self.examples), near), strict=True):
                link.append(("near", str(number)))
        strata = [""] * len(self) if stratify is None else self._texts("stratify", stratify)
        chosen = allocate(units_of(order, links), wanted, strata, seed)
        parts = {
            part.name: self._taken([row for row in order if row in rows], f".{part.name}", group)
            for part, rows in zip(wanted[:-1], chosen, strict=False)
        }
        return Splits(**parts)

    def sample(self, count: int, *, seed: int = 0, stratify: str | None = None) -> "Dataset":
        """Return `count` examples, drawn at random. The same content and seed give the same ones in any row order.

        Args:
            count: how many.
            seed: another seed draws others.
            stratify: a field whose values keep their proportions, within a row each.

        Raises:
            UsageError: `count` is not a whole number above zero, or an example lacks the field.
            SplitError: there are fewer examples.
        """
        from tunesmith.data.partition import allocate, parts_of

        if isinstance(count, float):
            raise UsageError(f"`count` must be a whole number of examples. Given: {count!r}.")
        wanted = parts_of(len(self), {"count": count})
        order = sorted(range(len(self)), key=lambda row: self.keys[row])
        random.Random(seed).shuffle(order)
        strata = [""] * len(self) if stratify is None else self._texts("stratify", stratify)
        (chosen, _) = allocate([[row] for row in order], wanted, strata, seed)
        return self._taken([row for row in order if row in chosen], "", self.group)

    def _taken(self, rows: Iterable[int], suffix: str, group: str | None) -> "Dataset":
        rows = list(rows)
        taken = Dataset(tuple(self.examples[row] for row in rows), self.inputs, f"{self.name}{suffix}", group=group)
        object.__setattr__(taken, "_typed", self._typed)
        object.__setattr__(taken, "_fits", self._fits)
        object.__setattr__(taken, "_labels", self._labels)
        if self._keys is not None:
            object.__setattr__(taken, "_keys", tuple(self._keys[row] for row in rows))
        return taken

    def ordered(self, rows: Iterable[int]) -> "Dataset":
        """Return a dataset of the examples at these positions, in this order; their keys are not computed again."""
        return self._taken(rows, "", self.group)

    def _texts(self, argument: str, name: str) -> list[str]:
        self._check_field(argument, name)
        return [canonical_json(example[name]) for example in self.examples]

    def _check_field(self, argument: str, name: str) -> None:
        for row, example in enumerate(self.examples, 1):
            if name not in example:
                raise UsageError(
                    f"`{argument}` names the field `{name}`, which example {row} lacks. It has: "
                    f"{', '.join(example.keys())}."
                )

    def __len__(self) -> int:
        return len(self.examples)

    def __iter__(self) -> Iterator[Example]:
        return iter(self.examples)

    @overload
    def __getitem__(self, index: int) -> Example: ...
    @overload
    def __getitem__(self, index: slice) -> "Dataset": ...
    def __getitem__(self, index: int | slice) -> "Example | Dataset":
        if isinstance(index, slice):
            return self._taken(range(len(self))[index], "", self.group)
        return self.examples[index]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Dataset):
            return NotImplemented
        return (self.keys, set(self.inputs)) == (other.keys, set(other.inputs))

    def __hash__(self) -> int:
        return hash(self.keys)

    def __repr__(self) -> str:
        skipped = f", {len(self.skipped)} skipped" if self.skipped else ""
        return f"<Dataset {self.name}: {len(self)} examples, inputs {self.inputs}{skipped}>"


def _same_examples(one: Dataset, other: Dataset) -> bool:
    """Return whether both datasets hold the same objects."""
    return len(one) == len(other) and all(map(is_, one.examples, other.examples))


def _inputs_text(example: Example) -> str:
    values = dict(example.inputs()).values()
    return "\n".join(value if isinstance(value, str) else canonical_json(value) for value in values)


def _same_fields(one: type[Signature], other: type[Signature]) -> bool:
    return one is other or (input_types(one) == input_types(other) and output_types(one) == output_types(other))


@dataclass(frozen=True, slots=True)
class Splits:
    """Disjoint parts of one dataset; a part that was not requested is `None`."""

    train: Dataset | None = None
    val: Dataset | None = None
    test: Dataset | None = None
