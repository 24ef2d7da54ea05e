"""`tunesmith data check`, `split` and `sample`: look at data files, and make others of them."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tunesmith.cli.choosing import chosen_lm, current_project
from tunesmith.cli.failures import DONE, GATE
from tunesmith.cli.fields import advising_options, columns_of
from tunesmith.cli.output import emit, heading, note, say, say_raw, say_table
from tunesmith.data import (
    DataCheck,
    DataFile,
    Dataset,
    Finding,
    as_options,
    check_data,
    check_targets,
    compared_fields,
    jsonl,
    plain,
    write_rows,
)
from tunesmith.errors import SplitError, UsageError, counted
from tunesmith.experiments import Project, find_signature
from tunesmith.lm import Message, Request
from tunesmith.modules import program_inputs
from tunesmith.signatures import Signature, field_names

__all__ = ["check", "sample", "split"]

_SHOWN = 6  # places of a finding
_SHOWN_FINDINGS = 40
_SHOWN_LABELS = 20
_TABLES = (".csv", ".tsv")


@advising_options()
def check(
    *,
    files: tuple[Path, ...],
    train: Path | None,
    val: Path | None,
    test: Path | None,
    signature: str | None,
    inputs: str | None,
    labels: tuple[str, ...],
    near: float,
    no_near: bool,
    spec: str | None,
    columns: tuple[str, ...],
    delimiter: str | None,
    encoding: str | None,
    strict: bool,
    fail_on: tuple[str, ...],
    as_json: bool,
) -> int:
    """Check data files, or the splits of the project."""
    named = {"train": train, "val": val, "test": test}
    paths = _paths(files, {name: path for name, path in named.items() if path is not None})
    project = current_project()
    kind = _signature(signature, project)
    options: dict[str, Any] = {"columns": columns_of(columns), "delimiter": delimiter, "encoding": encoding}
    if not paths:
        paths, kind, options = _of_project(project, kind, options)
    found = check_data(
        {name: DataFile.read(path, **options) for name, path in paths.items()},
        signature=kind,
        inputs=_names(inputs),
        labels=labels or None,
        near=None if no_near else near,
        count_tokens=_counter(spec),
    )
    found = replace(found, findings=tuple(replace(one, text=as_options(one.text)) for one in found.findings))
    failed = found.failed(strict=strict, kinds=fail_on)
    if as_json:
        emit({"files": {name: str(path) for name, path in paths.items()}, **found.to_json(), "passed": not failed})
    else:
        _say_check(found)
    if failed:
        kinds = ", ".join(dict.fromkeys(finding.kind for finding in failed))
        note(f"error: the data did not pass: {kinds}.")
        return GATE
    return DONE


@advising_options()
def split(
    *,
    file: Path,
    train: int | float | None,
    val: int | float | None,
    test: int | float | None,
    stratify: str | None,
    group: str | None,
    signature: str | None,
    inputs: str | None,
    near: float,
    no_near: bool,
    seed: int,
    columns: tuple[str, ...],
    delimiter: str | None,
    encoding: str | None,
    out: Path,
    force: bool,
    as_json: bool,
) -> int:
    """Split FILE into train, val and test."""
    sizes = {name: size for name, size in (("train", train), ("val", val), ("test", test)) if size is not None}
    suffix = file.suffix.lower() if file.suffix.lower() in _TABLES else ".jsonl"
    targets = {name: out / f"{name}{suffix}" for name in sizes}
    check_targets(targets.values(), force=force)
    source = DataFile.read(file, columns=columns_of(columns), delimiter=delimiter, encoding=encoding).checked()
    kind = _signature(signature, current_project())
    named = None if kind is None else field_names(kind).inputs
    compared = named or _names(inputs) or compared_fields(source.fields, [stratify, group], source.counters)
    data = source.dataset(compared)
    try:
        parts = data.split(**sizes, seed=seed, stratify=stratify, group=group, near=None if no_near else near)
    except SplitError as error:
        if not no_near:
            near_text = f"Rows that are at least {near:g} similar stay together too"
            error.add_note(f"{near_text}; `--near 0.95` joins fewer rows, `--no-near` none.")
        raise
    made = {name: _rows_of(source, data, getattr(parts, name)) for name in sizes}
    for name, rows in made.items():
        write_rows(targets[name], rows)
    left = len(data) - sum(map(len, made.values()))
    if as_json:
        written = [{"split": name, "rows": len(rows), "file": str(targets[name])} for name, rows in made.items()]
        emit({"rows": len(data), "written": written, "left_out": left, "compared": list(compared)})
        return DONE
    for name, rows in made.items():
        say(f"wrote {targets[name]}: {counted(len(rows), 'row')}")
    if left:
        say(f"{left} of {counted(len(data), 'row')} {'is' if left == 1 else 'are'} in no split")
    alike = [f"rows with the same {_quoted(compared)}"]
    alike += [] if no_near else [f"rows that are at least {near:g} similar there"]
    alike += [] if group is None else [f"rows with the same `{group}`"]
    say(f"Always in one split are {'; '.join(alike)}.")
    return DONE


@advising_options()
def sample(
    *,
    file: Path,
    count: int,
    stratify: str | None,
    seed: int,
    columns: tuple[str, ...],
    delimiter: str | None,
    encoding: str | None,
    out: Path | None,
    force: bool,
    as_json: bool,
) -> int:
    """Draw rows of FILE at random."""
    if out is not None:
        check_targets([out], force=force)
    source = DataFile.read(file, columns=columns_of(columns), delimiter=delimiter, encoding=encoding).checked()
    data = source.dataset(())
    rows = _rows_of(source, data, data.sample(count, seed=seed, stratify=stratify))
    if out is not None:
        write_rows(out, rows)
    if as_json:
        emit({"rows": rows} if out is None else {"file": str(out), "written": len(rows)})
    elif out is None:
        say_raw(jsonl(rows))
    else:
        say(f"wrote {out}: {len(rows)} of {counted(len(data), 'row')}")
    return DONE


def _paths(files: Sequence[Path], named: dict[str, Path]) -> dict[str, Path]:
    """Return the files by the name of their split: the option, or the name of the file."""
    found = dict(named)
    for path in files:
        name = path.name.split(".")[0] or path.name
        name = name if name not in found else str(path)
        if path in found.values() or name in found:
            raise UsageError(f"The file {str(path)!r} is given twice.")
        found[name] = path
    return found


def _of_project(
    project: Project, kind: type[Signature] | None, options: dict[str, Any]
) -> tuple[dict[str, Path], type[Signature] | None, dict[str, Any]]:
    """Return the files of the project's splits, the signature of its program, and how to read them.

    Raises:
        UsageError: the project names no data.
    """
    data = project.settings.data
    if data.file is not None:
        paths = {Path(data.file).stem: project.root / data.file}
    else:
        parts = {name: getattr(data, name) for name in ("train", "val", "test")}
        paths = {name: project.root / given for name, given in parts.items() if given is not None}
    if not paths:
        raise UsageError("There is no data to check. Give FILE, or name the splits under [data] in tunesmith.toml.")
    if kind is None and data.signature is not None:
        kind = find_signature(data.signature, project.root)
    if kind is None and project.settings.program is not None:
        kind = program_inputs(project.program()).signature
    own = {"columns": data.columns, "delimiter": data.delimiter, "encoding": data.encoding}
    return paths, kind, {**own, **{name: value for name, value in options.items() if value is not None}}


def _signature(given: str | None, project: Project) -> type[Signature] | None:
    return None if given is None else find_signature(given, project.root)


def _quoted(names: Sequence[str]) -> str:
    return " and ".join(f"`{name}`" for name in names)


def _names(given: str | None) -> tuple[str, ...] | None:
    return None if given is None else tuple(name.strip() for name in given.split(",") if name.strip())


def _counter(spec: str | None) -> Callable[[str], int] | None:
    """Return what counts the tokens of a text.

    Raises:
        UsageError: the model cannot count tokens.
    """
    if spec is None:
        return None
    model = chosen_lm(spec)

    def count(text: str) -> int | None:
        return model.count_tokens(Request(model=model.model, messages=(Message.user(text),)))

    one = count("a")
    if one is None:
        raise UsageError(f"{spec!r} cannot count tokens without a call. `embedded` and `gguf:PATH` can.")
    around = one - 1  # what the template of the model adds to a text of one token
    return lambda text: (count(text) or around) - around


def _rows_of(source: DataFile, data: Dataset, part: Dataset) -> list[dict[str, Any]]:
    """Return the rows of the file whose examples are in `part`, in its order."""
    row_of = {id(example): row for example, row in zip(data.examples, source.rows, strict=True)}
    return [plain(row_of[id(example)].value) for example in part.examples]


def _say_check(found: DataCheck) -> None:
    say(", ".join(f"{name}: {counted(count, 'row')}" for name, count in found.splits.items()))
    labels = f"; labels: {', '.join(found.labels)} (--label)" if found.labels else ""
    if found.compared:
        say(f"Rows are the same if they have the same {', '.join(found.compared)} (--inputs){labels}.")
    for text in found.notes:
        say(f"note: {text}")
    _say_fields(found)
    for name, counts in found.labels.items():
        _say_counts(f"Label `{name}`", counts, found)
    if found.languages:
        told = {split: sum(of[split] for of in found.languages.values()) for split in found.splits}
        untold = {split: count - told[split] for split, count in found.splits.items()}
        _say_counts(
            "Language", {**found.languages, "not told": untold} if any(untold.values()) else found.languages, found
        )
    heading(f"Findings, {len(found.problems)} of them problems (!)" if found.findings else "No findings")
    for finding in found.findings[:_SHOWN_FINDINGS]:
        say(f"{'! ' if finding.is_problem else '  '}{finding.kind}{_text(finding)}")
    if len(found.findings) > _SHOWN_FINDINGS:
        say(f"  and {len(found.findings) - _SHOWN_FINDINGS} more; --json lists all")


def _text(finding: Finding) -> str:
    places = ", ".join(map(str, finding.places[:_SHOWN]))
    more = ", ..." if len(finding.places) > _SHOWN else ""
    count = "" if finding.kind == "wrong-row" and finding.places and finding.count == 1 else f", {finding.count}"
    return f"{count}: {finding.text}{f' ({places}{more})' if places else ''}"


def _say_fields(found: DataCheck) -> None:
    heading("Fields")
    counts_tokens = any(facts.tokens for facts in found.fields)
    header = ["field", "role", "type", "filled", "different", "characters: median", "95 %", "most"]
    rows = [[*header, *(("tokens: median", "95 %", "most") if counts_tokens else ())]]
    for facts in found.fields:
        cells = [facts.name, facts.role, "/".join(facts.types), f"{facts.filled}", f"{facts.distinct}"]
        cells += _cells(facts.characters) + (_cells(facts.tokens) if counts_tokens else [])
        rows.append(cells)
    say_table(rows, numbers=len(rows[0]) - 3)


def _cells(lengths: tuple[int, int, int] | None) -> list[str]:
    return ["", "", ""] if lengths is None else [f"{length:,}" for length in lengths]


def _say_counts(title: str, counts: Any, found: DataCheck) -> None:
    heading(title)
    rows = [["value", *found.splits]]
    rows += [[value, *(str(count[split]) for split in found.splits)] for value, count in counts.items()]
    say_table(rows[: _SHOWN_LABELS + 1], numbers=len(found.splits))
    if len(rows) > _SHOWN_LABELS + 1:
        say(f"and {len(rows) - _SHOWN_LABELS - 1} more")
