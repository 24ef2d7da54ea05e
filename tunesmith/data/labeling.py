"""Decide about the rows of a data file, one by one: right as it is, put right, or not to be used."""

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tunesmith.data.datafile import DataFile, plain
from tunesmith.data.journal import Journal
from tunesmith.data.keys import content_key
from tunesmith.data.rows import Columns
from tunesmith.data.source import Row
from tunesmith.data.writers import check_targets, jsonl, write_rows
from tunesmith.errors import DataError, RowError, UsageError, shown
from tunesmith.signatures import Signature, field_names, to_json_value

__all__ = ["Decision", "Labeling"]

_VERDICTS = ("accept", "reject")


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided about a row.

    Attributes:
        verdict: `accept`, `fix` or `reject`.
        values: the fields that a fix changes, as JSON values.
    """

    verdict: str
    values: Mapping[str, Any] = field(default_factory=dict)


class Labeling:
    """The rows of a file with what was decided about each. The file itself is never changed.

    A decision is in the journal, on the disk, when `decide` returns. It belongs to the content of a row, so it is found
    again if other rows of the file were changed.

    Args:
        file: the data file, as it was read just now.
        journal: the file of the decisions. Default: `NAME.decisions.jsonl` beside the data file.
        out: the file of the result. Default: `NAME.labeled.jsonl` beside the data file.
        signature: what a row holds. The result has its fields with their types, and the other fields as they are.
        changed: go on with a file that was changed since the decisions were made.
        force: replace a file at `out` that was not written from these decisions.

    Attributes:
        file: its rows; a place counts them from 0. Rows that are not objects are in `file.wrong`.
        lost: how many decisions are about rows that the file no longer has.

    Raises:
        UsageError: a wrong argument; the file was changed since; another process has the journal open; there is another
            file at `out`.
        DataError: a file cannot be read or written, there is no row, or no row has a field of the signature.

    Example:
        >>> import pathlib, tempfile
        >>> from tunesmith.data import DataFile, Labeling, write_rows
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "few.jsonl"
        >>> write_rows(path, [{"text": "Cold soup.", "topic": "room"}, {"text": "?", "topic": "food"}])
        >>> with Labeling(DataFile.read(path)) as labeling:
        ...     labeling.decide(0, "accept", {"topic": "food"})
        ...     labeling.decide(1, "reject")
        ...     print(labeling.counts, labeling.write().name)
        {'fix': 1, 'reject': 1} few.labeled.jsonl
        >>> DataFile.read(labeling.out).rows[0].value
        {'text': 'Cold soup.', 'topic': 'food'}
    """

    def __init__(
        self,
        file: DataFile,
        *,
        journal: Path | None = None,
        out: Path | None = None,
        signature: type[Signature] | None = None,
        changed: bool = False,
        force: bool = False,
    ) -> None:
        self.file, path = file, file.path
        if not file.rows:
            raise file.wrong[0] if file.wrong else DataError(f"`{path}` has no rows.")
        stem = path.with_name(path.name.removesuffix(".gz")).stem
        self.out = path.with_name(f"{stem}.labeled.jsonl") if out is None else out
        place = path.with_name(f"{stem}.decisions.jsonl") if journal is None else journal
        self._check_apart(path, place)
        self.signature, self._columns = signature, _columns(self.file, signature)
        self._keys = list(_keys(self.file.rows))
        self._place = {key: place for place, key in enumerate(self._keys)}
        self._seen, self._sha256 = _stamp(path), _sha256(path)
        self._decided: dict[str, Decision] = {}
        self._history: list[tuple[str, Decision | None]] = []
        self._written: set[str] = set()
        is_new, self._force = not place.exists(), force
        self._journal = Journal(place)
        self._fresh = is_new and not self._journal.entries
        try:
            self._resume(changed=changed)
            self._check_out()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> "Labeling":
        return self

    def __exit__(self, *problem: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the journal free; one that was made for nothing is removed."""
        if self._fresh and not self._history and not self._written:
            self.journal.unlink(missing_ok=True)
        self._journal.close()

    @property
    def journal(self) -> Path:
        """The file of the decisions."""
        return self._journal.path

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields that may be put right: those of the signature, without one all that the rows have."""
        if self.signature is None:
            return self.file.fields
        names = field_names(self.signature)
        return (*names.inputs, *names.outputs)

    @property
    def counts(self) -> dict[str, int]:
        """How many rows there are of each verdict."""
        return dict(Counter(one.verdict for key, one in self._decided.items() if key in self._place))

    @property
    def left(self) -> int:
        """How many rows nothing is decided about."""
        return len(self._keys) - sum(self.counts.values())

    @property
    def lost(self) -> int:
        """How many decisions are about rows that the file no longer has."""
        return sum(key not in self._place for key in self._decided)

    def decision(self, place: int) -> Decision | None:
        """Return what was decided about a row, `None` if nothing was."""
        return self._decided.get(self._keys[place])

    def values(self, place: int) -> dict[str, Any]:
        """Return a row as it would be in the result if it were accepted now; as in the file if it does not fit."""
        row, decision = self.file.rows[place], self.decision(place)
        changes = {} if decision is None else decision.values
        try:
            return self._result(row, changes)
        except RowError:
            return {**plain(row.value), **changes}

    def problem(self, place: int) -> str | None:
        """Return why a row cannot be accepted as it is, `None` if it can."""
        try:
            self._result(self.file.rows[place], {})
        except RowError as error:
            return _told(error)
        return None

    def decide(self, place: int, verdict: str, values: Mapping[str, Any] | None = None) -> None:
        """Write down what is decided about a row.

        Args:
            place: of the row.
            verdict: `accept` or `reject`.
            values: what the fields of an accepted row should be; those that differ make it a fix.

        Raises:
            UsageError: there is no such row, verdict or field, or the file was changed since it was read.
            RowError: the values do not fit the signature.
            DataError: the decision cannot be written.
        """
        if isinstance(place, bool) or not isinstance(place, int) or not 0 <= place < len(self._keys):
            raise UsageError(f"There is no row {shown(place)}. The rows are 0 to {len(self._keys) - 1}.")
        if verdict not in _VERDICTS:
            raise UsageError(f"A row is decided with `accept` or `reject`. Given: {shown(verdict)}.")
        self._check_unchanged()
        decision = Decision(verdict)
        if verdict == "accept":
            changes = self._changes(self.file.rows[place], values or {})
            decision = Decision("fix", changes) if changes else decision
        key, row = self._keys[place], self.file.rows[place]
        values_of = {"values": dict(decision.values)} if decision.values else {}
        self._journal.add({"row": key, "line": row.line, "decision": decision.verdict, **values_of})
        self._take(key, decision)

    def undo(self) -> int | None:
        """Take the last decision back, also one of an earlier session; return its row, `None` if there is none.

        Raises:
            DataError: it cannot be written down.
        """
        if not self._history or self._history[-1][0] not in self._place:
            return None
        key = self._history[-1][0]
        self._journal.add({"undo": key})
        self._take_back()
        return self._place[key]

    def result(self) -> list[dict[str, Any]]:
        """Return the accepted and fixed rows in the order of the file.

        Raises:
            RowError: an accepted row does not fit, because the signature was changed since.
        """
        found = []
        for row, key in zip(self.file.rows, self._keys, strict=True):
            decision = self._decided.get(key)
            if decision is not None and decision.verdict != "reject":
                found.append(self._result(row, decision.values))
        return found

    def write(self) -> Path | None:
        """Write the result, whole or not at all, and return its file; `None` if nothing was ever decided.

        Raises:
            UsageError: there is a file that was not written from these decisions.
            DataError: it cannot be written.
        """
        if not self.counts and not self._written:  # what was written before has to follow what was taken back
            return None
        rows = self.result()
        self._check_out()
        # Before it is written: a kill in between must not make our own file look like another one.
        if self.out.suffix.lower() == ".jsonl":
            self._note_written(hashlib.sha256(jsonl(rows).encode("utf-8")).hexdigest())
        write_rows(self.out, rows)
        self._note_written(_sha256(self.out))
        return self.out

    def _note_written(self, sha256: str) -> None:
        if sha256 not in self._written:
            self._journal.add({"writes": self.out.name, "sha256": sha256})
            self._written.add(sha256)

    def _result(self, row: Row, changes: Mapping[str, Any]) -> dict[str, Any]:
        merged = {**row.value, **changes}
        self._check_answered(row, merged)
        example, _ = self._columns.example(Row(row.line, merged, row.is_text))
        declared = {column.name for column in self._columns.columns}
        return {
            name: to_json_value(value) if name in declared else plain(value) for name, value in example._store.items()
        }

    def _check_answered(self, row: Row, merged: Mapping[str, Any]) -> None:
        """Check that each output was given: a default would be a label that nobody has looked at."""
        for column in self._columns.columns:
            value = merged.get(column.name)
            absent = value is None or (row.is_text and value == "")
            if absent and not column.is_input and not (column.takes_none and column.name in merged):
                raise RowError("There is no value yet.", source=self._columns.source, line=row.line, field=column.name)

    def _changes(self, row: Row, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return the values that differ from the row.

        Raises:
            UsageError: neither the row nor the signature has a field.
            RowError: they do not fit.
        """
        for name in values:
            if name not in self.fields and name not in row.value:
                raise UsageError(f"There is no field `{name}`. The fields are: {', '.join(self.fields[:20])}.")
        fixed = self._result(row, values)
        try:
            now = self._result(row, {})
        except RowError:
            now = plain(row.value)
        return {name: fixed[name] for name in values if name not in now or _differ(fixed[name], now[name])}

    def _resume(self, *, changed: bool) -> None:
        entries, began = self._journal.entries, None
        for number, entry in enumerate(entries, 1):
            try:
                began = entry if "file" in entry else began
                self._replay(entry)
            except (KeyError, TypeError, IndexError) as error:
                raise DataError(
                    f"`{self.journal}`, entry {number} is not one of a labeling. Mend it, or name another file with "
                    "`--decisions`."
                ) from error
        path = self.file.path
        if began is None:
            self._journal.add({"file": path.name, "sha256": self._sha256, "rows": len(self._keys)})
        elif began["sha256"] != self._sha256:
            other = "" if began["file"] == path.name else f" They are of a file {shown(began['file'])}."
            if not changed:
                raise UsageError(
                    f"`{path}` was changed since the decisions in `{self.journal}` were made.{other} "
                    f"{len(self._decided) - self.lost} of {len(self._decided)} decided rows are still in it. Pass "
                    "--changed to go on with those, or name another file with --decisions to start afresh."
                )
            self._journal.add({"file": path.name, "sha256": self._sha256, "rows": len(self._keys)})

    def _replay(self, entry: Mapping[str, Any]) -> None:
        if "row" in entry:
            self._take(entry["row"], Decision(entry["decision"], dict(entry.get("values", {}))))
        elif "undo" in entry:
            self._take_back()
        elif "writes" in entry:
            self._written.add(entry["sha256"])
        else:
            entry["file"], entry["sha256"]  # an entry without them is not one of ours

    def _take(self, key: str, decision: Decision) -> None:
        self._history.append((key, self._decided.get(key)))
        self._decided[key] = decision

    def _take_back(self) -> None:
        key, before = self._history.pop()
        if before is None:
            del self._decided[key]
        else:
            self._decided[key] = before

    def _check_apart(self, path: Path, journal: Path) -> None:
        check_targets([self.out], force=True)
        same = [one.resolve() for one in (path, journal, self.out)]
        if len(set(same)) < len(same):
            raise UsageError(
                f"The data, the decisions and the result need a file each. Given: `{path}`, `{journal}`, `{self.out}`."
            )

    def _check_out(self) -> None:
        if self._force or not self.out.exists() or _sha256(self.out) in self._written:
            return
        raise UsageError(
            f"`{self.out}` was not written from these decisions, or was changed since. Name another file with --out, "
            "or pass --force to replace it."
        )

    def _check_unchanged(self) -> None:
        path = self.file.path
        if _stamp(path) != self._seen:
            if _sha256(path) != self._sha256:
                raise UsageError(
                    f"`{path}` was changed since it was read, so this is not decided. Stop, and start again with "
                    "--changed."
                )
            self._seen = _stamp(path)


def _columns(file: DataFile, signature: type[Signature] | None) -> Columns:
    if signature is None:
        return Columns(str(file.path), ())
    columns = Columns.of(str(file.path), signature, require_outputs=True)
    names = field_names(signature)
    if not set(file.fields) & {*names.inputs, *names.outputs}:
        raise DataError(
            f"`{file.path}` has no field of the signature. It has: {', '.join(file.fields[:20])}. The signature has: "
            f"{', '.join([*names.inputs, *names.outputs])}."
        )
    return columns


def _keys(rows: Sequence[Row]) -> Iterator[str]:
    """Yield a name for each row: its content, and which of the rows with that content it is."""
    seen: Counter[str] = Counter()
    for row in rows:
        key = content_key(plain(row.value))[:16]
        seen[key] += 1
        yield key if seen[key] == 1 else f"{key}#{seen[key]}"


def _told(error: RowError) -> str:
    return error.problem if error.field is None else f"`{error.field}`: {error.problem}"


def _differ(one: Any, other: Any) -> bool:
    if {type(one), type(other)} == {int, float}:  # a page has one kind of number, so 1.0 comes back from it as 1
        return bool(one != other)
    return type(one) is not type(other) or one != other


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _sha256(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ""
