"""`Corpus`: passages with stable ids, made of texts or files, and kept in one file."""

import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from tunesmith.atomic import write_atomically
from tunesmith.errors import DataError, UsageError, brief, counted, shown
from tunesmith.modules.beside import beside
from tunesmith.modules.retrieval.chunking import Chunking
from tunesmith.modules.retrieval.documents import HEAD, documents_of, is_saved_corpus
from tunesmith.modules.retrieval.passage import Passage, as_passages, passage_id

__all__ = ["Corpus", "as_corpus"]

_VERSION = 1
_NAMED = 8  # sources that a message names


@dataclass(frozen=True, repr=False)
class Corpus:
    """Passages that can be searched. A corpus does not change; `updated` returns another one.

    The id of a passage depends on its source and its text alone, so it stays the same if others come or go.

    Attributes:
        texts: of the passages.
        ids: one for each text, all different.
        sources: one for each text: a file, a row or page of it, a given name, or an empty text.
        path: the file in which it is kept, `None` if it is in none.

    Example:
        >>> import tunesmith as ts
        >>> corpus = ts.Corpus.of(["Oslo is in Norway.", "Rome is in Italy."])
        >>> [passage.text for passage in ts.BM25(corpus)("Where is Rome?", k=1)]
        ['Rome is in Italy.']
    """

    texts: tuple[str, ...]
    ids: tuple[str, ...]
    sources: tuple[str, ...]
    path: Path | None = field(default=None, compare=False)

    @classmethod
    def of(
        cls, texts: Iterable[Any] | Mapping[str, str], *, by: str = "none", size: int = 200, overlap: int = 0
    ) -> "Corpus":
        """Return a corpus of texts, or of texts by the name of their source.

        Args:
            texts: the documents: texts, or mappings or objects with a `text` (or `page_content`) and perhaps a
                `source`, such as passages and the documents of LangChain and LlamaIndex.
            by: how they are cut: `none`, `sentences`, `headings` or `tokens` (`Chunking` says more).
            size: most tokens of a passage.
            overlap: tokens that a passage has in common with the one before, at most.

        Raises:
            UsageError: `texts` holds something else, or an option is not allowed.
        """
        if isinstance(texts, Mapping) and all(isinstance(part, str) for pair in texts.items() for part in pair):
            return cls._cut(texts.items(), Chunking(by, size, overlap))
        if isinstance(texts, str | bytes | Mapping) or not isinstance(texts, Iterable):
            raise UsageError(f"`texts` must be a list of texts, or texts by name. Given: {shown(texts)}.")
        return cls._cut(map(_document, texts), Chunking(by, size, overlap))

    @classmethod
    def load(
        cls, path: str | Path, *, by: str = "sentences", size: int = 200, overlap: int = 0, field: str | None = None
    ) -> "Corpus":
        """Return a corpus of a file or of all files below a folder, or the one that `save` wrote.

        Reads `.txt`, `.md`, `.rst`, `.html`, `.jsonl`, `.csv`, `.tsv`, and `.pdf` with the extra `pdf`.

        Args:
            path: a file or folder.
            by: how documents are cut, as in `of`. What `save` wrote is not cut again.
            size: most tokens of a passage.
            overlap: tokens that a passage has in common with the one before, at most.
            field: column of a table that has the text; `None`: `text` if there is one, else all columns together.

        Raises:
            UsageError: there is no such file, none that can be read, or an option is not allowed.
            DataError: a file cannot be read.
        """
        place, chunking = Path(path), Chunking(by, size, overlap)
        saved = _saved(place)
        return cls._cut(documents_of(place, field), chunking) if saved is None else saved

    @classmethod
    def _cut(cls, documents: Iterable[tuple[str, str]], chunking: Chunking) -> "Corpus":
        pieces = [(source, piece) for source, text in documents for piece in chunking.cut(text)]
        texts, sources = tuple(text for _, text in pieces), tuple(source for source, _ in pieces)
        return cls(texts, _ids(zip(sources, texts, strict=True)), sources)

    def __repr__(self) -> str:
        sources = counted(len(set(self.sources)), "source")
        return brief(self, f"{counted(len(self), 'passage')} of {sources}", path=self.path)

    def __len__(self) -> int:
        return len(self.texts)

    def __deepcopy__(self, memo: dict[int, Any]) -> "Corpus":
        return self

    def passage(self, position: int, score: float = 0.0) -> Passage:
        """Return the passage at a position."""
        return Passage(self.texts[position], score, self.ids[position], self.sources[position])

    def updated(self, newer: "Corpus", *, removed: Iterable[str] = ()) -> "Corpus":
        """Return this corpus with the sources of `newer` in place of those of the same name, and without `removed`.

        `file.csv` in `removed` stands for its rows too. Passages that stay keep their ids. Texts without a source are
        added to those that are there; a text that is there already is not added again.

        Raises:
            UsageError: `removed` has a name that is no source of this corpus.
        """
        gone = {removed} if isinstance(removed, str) else set(removed)
        known = {*self.sources, *map(_file, self.sources)}
        if gone - known:
            unknown = ", ".join(f"`{name}`" for name in sorted(gone - known))
            names = sorted({_file(source) for source in self.sources if source})
            some = ", ".join([*names[:_NAMED], *(["..."] if len(names) > _NAMED else [])]) or "none"
            raise UsageError(f"There is no source {unknown}, which `removed` names. Its sources are: {some}.")
        fresh = set(newer.sources) - {""}
        files = {_file(source) for source in fresh}
        kept = [
            (source, text)
            for source, text in zip(self.sources, self.texts, strict=True)
            if not (source and (source in fresh or _file(source) in files)) and not {source, _file(source)} & gone
        ]
        unnamed = {text for source, text in kept if not source}
        kept += [
            (source, text)
            for source, text in zip(newer.sources, newer.texts, strict=True)
            if source or text not in unnamed
        ]
        return Corpus(tuple(text for _, text in kept), _ids(kept), tuple(source for source, _ in kept))

    @cached_property
    def key(self) -> str:
        """The sha256 of ids, sources and texts; made once, because a compile asks for it often."""
        return hashlib.sha256("\n".join(self._lines()).encode("utf-8", "surrogatepass")).hexdigest()

    def _lines(self) -> Iterator[str]:
        for row in zip(self.ids, self.sources, self.texts, strict=True):
            yield json.dumps(dict(zip(("id", "source", "text"), row, strict=True)))

    def save(self, path: str | Path) -> "Corpus":
        """Write the corpus into one file of JSON lines, and return it with that `path`.

        The file is there complete or not at all. An artifact of a program names the file, by its way from the
        artifact's folder, and its hash in place of the texts: move both together.

        Raises:
            DataError: the file cannot be written.
        """
        place = Path(path).absolute()
        head = json.dumps({HEAD: _VERSION, "passages": len(self), "sha256": self.key})
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(place, "".join(f"{line}\n" for line in (head, *self._lines())))
        except OSError as error:
            raise DataError(f"The corpus cannot be written to `{place}`: {error}.") from error
        return Corpus(self.texts, self.ids, self.sources, place)

    def to_json(self) -> dict[str, Any]:
        """Return the corpus as JSON values: its file and the key of what is in it, or its passages."""
        if self.path is not None:
            folder = beside()
            place = self.path if folder is None else Path(os.path.relpath(self.path, folder))
            return {"path": place.as_posix(), "sha256": self.key}
        rows = zip(self.ids, self.sources, self.texts, strict=True)
        return {"passages": [list(row) for row in rows]}


def as_corpus(given: Any) -> Corpus:
    """Return a corpus: one, a list of texts, or what `to_json` returned.

    Raises:
        UsageError: `given` is something else, or the file of a saved corpus is gone or has changed.
    """
    if isinstance(given, Corpus):
        return given
    if isinstance(given, Mapping) and isinstance(rows := given.get("passages"), list):
        ids, sources, texts = (tuple(row[place] for row in rows) for place in range(3))
        return Corpus(texts, ids, sources)
    if isinstance(given, Mapping) and set(given) == {"path", "sha256"}:
        if beside() is not None and os.path.isabs(given["path"]):
            raise UsageError(f"An artifact names a corpus by its way from there. Given: {shown(given['path'])}.")
        place = Path(os.path.normpath((beside() or Path.cwd()) / given["path"]))
        if not place.is_file():
            raise UsageError(f"The corpus of the program is not at `{place}`. Put its file there.")
        found = _saved(place)
        if found is None:
            raise UsageError(f"`{place}` is not a corpus that `ts.Corpus.save` wrote. Pass the program itself.")
        if found.key != given["sha256"]:
            raise UsageError(f"The corpus in `{place}` has changed since it was used. Pass the program itself.")
        return found
    return Corpus.of(given)


def _document(given: Any) -> tuple[str, str]:
    """Return source and text of a document."""
    if isinstance(given, str):
        return "", given
    try:
        (found,) = as_passages([given])
    except UsageError as error:
        raise UsageError(f"`texts` must be a list of texts, or texts by name. {error}") from error
    return found.source, found.text


def _ids(pieces: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    """Return an id for each pair of source and text; a repeated pair has its count at the end."""
    seen: Counter[str] = Counter()
    found = []
    for source, text in pieces:
        key = passage_id(source, text)
        seen[key] += 1
        found.append(key if seen[key] == 1 else f"{key}-{seen[key]}")
    return tuple(found)


def _file(source: str) -> str:
    """Return the file of a row or page."""
    name, sign, number = source.rpartition(":" if ":" in source else "#")
    return name if sign and number.isdigit() else source


def _saved(path: Path) -> Corpus | None:
    """Return the corpus that `save` wrote, `None` if the file is something else.

    Raises:
        DataError: the file is damaged.
    """
    if not path.is_file() or not is_saved_corpus(path):
        return None
    try:
        head, *rows = map(json.loads, path.read_text(encoding="utf-8").splitlines())
        texts, ids, sources = (tuple(str(row[name]) for row in rows) for name in ("text", "id", "source"))
        found = Corpus(texts, ids, sources, path.absolute())
        if head[HEAD] == _VERSION and head["sha256"] == found.key:
            return found
    except (OSError, ValueError, KeyError, TypeError):
        pass
    raise DataError(f"The corpus in `{path}` is damaged, or of another version. Make it again from its documents.")
