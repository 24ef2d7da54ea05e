"""Texts of examples that an instruction repeats: copied inputs, and answers that it gives away."""

import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any

from tunesmith.data import fields_of
from tunesmith.lazy import lazy_pattern
from tunesmith.signatures import Example, Signature, labels

__all__ = ["Quotations", "strings"]

_RUN = 8  # words in a row that are a quotation and not a turn of speech
_SHORT_RUN, _LEAST_SHARED = 3, 6  # words in a row, and in all, that a changed copy shares with its example
_LEAST_WORDS, _LEAST_CHARACTERS = 3, 15  # of a value that is a quotation as a whole
_COMMON = 3  # examples that share a text: it is a wording of the task and quotes none of them
_SHOWN = 60  # characters of what is quoted
# A writing without spaces, such as Chinese or Japanese, counts each character as a word.
_WORD = lazy_pattern(
    r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]|[^\W\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]+"
)


class Quotations:
    """Tells whether a text repeats an example.

    Args:
        signatures: of each predictor path: their closed labels may be named.
        train, val: examples.
        own: texts of the program as given, which may be repeated.
    """

    def __init__(
        self,
        signatures: Mapping[str, type[Signature]],
        train: Sequence[Example],
        val: Sequence[Example],
        own: Iterable[str],
    ) -> None:
        self._signatures, self._own = signatures, list(own)
        self._splits = {"training": train, "validation": val}

    def answered(self, text: str) -> str | None:
        """Return a clause if `text` as a whole is an output of an example, or a label."""
        plain = " ".join(_words(text))
        return f"it is an answer and no instruction: {_quoted(plain)}" if plain in self._answers else None

    def repeated(self, text: str) -> str | None:
        """Return which example `text` repeats a part of, as a clause; `None` if it repeats none."""
        words = _words(text)
        joined = f" {' '.join(words)} "
        for split, (values, runs) in self._index.items():
            whole = next((value for value in values if f" {value} " in joined), None)
            if whole is not None:
                return f"it holds {values[whole]} of a {split} example: {_quoted(whole)}"
            run = next((run for run in _runs(words) if run in runs), None)
            if run is not None:
                return f"it holds the text of a {split} example: {_quoted(' '.join(run))}"
        return self._mostly(words)

    def _mostly(self, words: Sequence[str]) -> str | None:
        """A copy with a few words changed shares most of its words with one example, three or more in a row."""
        shared: dict[tuple[str, int], set[int]] = {}
        for at, triple in enumerate(_runs(words, _SHORT_RUN)):
            for row in self._triples.get(triple, ()):
                shared.setdefault(row, set()).update(range(at, at + _SHORT_RUN))
        (split, _), places = max(shared.items(), key=lambda item: len(item[1]), default=(("", 0), set[int]()))
        if len(places) < max(_LEAST_SHARED, len(words) / 2):
            return None
        return f"it is mostly the text of a {split} example: {_quoted(' '.join(words[at] for at in sorted(places)))}"

    @cached_property
    def _triples(self) -> dict[tuple[str, ...], list[tuple[str, int]]]:
        """The rows that have three words in a row, of which no more have them than may quote each other."""
        found: dict[tuple[str, ...], list[tuple[str, int]]] = {}
        for split, rows in self._rows.items():
            for number, row in enumerate(rows):
                texts = [_words(text) for name in row if name not in self._closed for text in strings(row[name])]
                for triple in dict.fromkeys(triple for words in texts for triple in _runs(words, _SHORT_RUN)):
                    found.setdefault(triple, []).append((split, number))
        own = {triple for text in self._own for triple in _runs(_words(text), _SHORT_RUN)}
        return {triple: rows for triple, rows in found.items() if len(rows) < _COMMON and triple not in own}

    @cached_property
    def _rows(self) -> dict[str, list[dict[str, Any]]]:
        return {split: [fields_of(example) for example in examples] for split, examples in self._splits.items()}

    @cached_property
    def _outputs(self) -> list[str]:
        """The names of outputs and of other labels: what is neither an input of the program nor of a predictor."""
        taken = {name for signature in self._signatures.values() for name in signature.input_fields}
        given = [name for signature in self._signatures.values() for name in signature.output_fields]
        labelled = [name for rows in self._rows.values() for row in rows for name in row]
        for examples in self._splits.values():
            taken.update(*(one.inputs().keys() for one in examples[:1]))
        return list(dict.fromkeys(name for name in (*given, *labelled) if name not in taken))

    @cached_property
    def _answers(self) -> set[str]:
        """What the examples have as outputs, and all closed labels."""
        found = {" ".join(_words(text)) for name in self._outputs for text in self._values(name)}
        for signature in self._signatures.values():
            for name in signature.output_fields:
                found.update(" ".join(_words(label)) for label in labels(signature, name) or ())
        return found - {""}

    @cached_property
    def _closed(self) -> set[str]:
        """Outputs with a closed set of labels: declared, or because examples share most of them."""
        found = set[str]()
        for signature in self._signatures.values():
            found |= {name for name in signature.output_fields if labels(signature, name)}
        for name in self._outputs:
            values = list(self._values(name))
            if len(values) >= 2 * len(set(values)):
                found.add(name)
        return found

    def _values(self, name: str) -> Iterable[str]:
        for rows in self._rows.values():
            for row in rows:
                yield from strings(row.get(name), numbers=True)

    @cached_property
    def _index(self) -> dict[str, tuple[dict[str, str], set[tuple[str, ...]]]]:
        """Per split the whole values, with what each is, and the runs of words; without what may be repeated."""
        known = [" ".join(_words(text)) for text in self._own]
        inside, known_runs = f" {' | '.join(known)} ", {run for text in known for run in _runs(text.split())}
        found: dict[str, tuple[dict[str, str], set[tuple[str, ...]]]] = {}
        often, often_run = Counter[str](), Counter[tuple[str, ...]]()
        for split, rows in self._rows.items():
            values, runs = dict[str, str](), set[tuple[str, ...]]()
            for row in rows:
                here, here_runs = self._of_row(row)
                often.update(here.keys())
                often_run.update(here_runs)
                values |= here
                runs |= here_runs
            found[split] = values, runs - known_runs
        return {
            split: (
                {
                    value: kind
                    for value, kind in values.items()
                    if often[value] < _COMMON and f" {value} " not in inside
                },
                {run for run in runs if often_run[run] < _COMMON},
            )
            for split, (values, runs) in found.items()
        }

    def _of_row(self, row: Mapping[str, Any]) -> tuple[dict[str, str], set[tuple[str, ...]]]:
        values, runs = dict[str, str](), set[tuple[str, ...]]()
        for name, value in row.items():
            if name in self._closed:
                continue
            for text in strings(value):
                words = _words(text)
                plain = " ".join(words)
                if len(words) >= _LEAST_WORDS and len(plain) >= _LEAST_CHARACTERS:
                    values[plain] = "the answer" if name in self._outputs else "the text"
                runs.update(_runs(words))
        return values, runs


def strings(value: Any, *, numbers: bool = False) -> Iterable[str]:
    """Return the texts in a value: in mappings, lists and tuples as well; with `numbers` the text of those, too."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from strings(item, numbers=numbers)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from strings(item, numbers=numbers)
    elif numbers and isinstance(value, (int, float)):
        yield str(value)


def _words(text: str) -> list[str]:
    return _WORD.findall(unicodedata.normalize("NFKC", text).casefold())


def _runs(words: Sequence[str], length: int = _RUN) -> Iterable[tuple[str, ...]]:
    return (tuple(words[at : at + length]) for at in range(len(words) - length + 1))


def _quoted(text: str) -> str:
    return f'"{text[:_SHOWN]}"'
