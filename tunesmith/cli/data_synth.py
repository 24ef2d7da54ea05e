"""`tunesmith data synth`: new examples from a few, by a teacher model."""

from pathlib import Path
from typing import Any

from tunesmith.cli.choosing import chosen_lm, chosen_role, current_project
from tunesmith.cli.failures import DONE
from tunesmith.cli.fields import advising_options, columns_of
from tunesmith.cli.output import emit, say
from tunesmith.cli.progress import shown_progress
from tunesmith.data import DataFile, Dataset, check_targets, write_rows
from tunesmith.errors import DataError, counted
from tunesmith.experiments import (
    Project,
    Synthesis,
    SynthSettings,
    find_signature,
    new_rows,
    new_tasks,
    seed_tasks,
)
from tunesmith.lm import LM, Budget
from tunesmith.modules import program_inputs
from tunesmith.signatures import Signature

__all__ = ["run"]

_ENDS = {
    "budget": "The budget of calls or tokens is used up; with a larger one the same command goes on.",
    "patience": "It ended because several rounds gave nothing new. More or other seeds, or another --seed, may help.",
}


@advising_options()
def run(
    *,
    seeds: Path,
    to: Path,
    count: int,
    signature: str | None,
    columns: tuple[str, ...],
    delimiter: str | None,
    encoding: str | None,
    spec: str | None,
    budget_calls: int,
    budget_tokens: int | None,
    similarity: float,
    seed: int,
    no_store: bool,
    force: bool,
    as_json: bool,
    quiet: bool,
) -> int:
    """Make new examples from SEEDS."""
    check_targets([to], force=force)
    project = current_project()
    kind = _signature(signature, project)
    reading: dict[str, Any] = {"columns": columns_of(columns), "delimiter": delimiter, "encoding": encoding}
    source = DataFile.read(seeds, **reading).checked()
    lm = _teacher(spec, project, store=not no_store)
    settings = SynthSettings(count=count, similarity=similarity, seed=seed)
    budget = Budget(calls=budget_calls, tokens=budget_tokens)
    with shown_progress(quiet=quiet, budget=budget) as tell:
        options: dict[str, Any] = {"lm": lm, "budget": budget, "settings": settings, "progress": tell}
        if kind is None:
            tasks = seed_tasks(((row.line, row.value) for row in source.rows), str(seeds))
            found = new_tasks(tasks, **options)
        else:
            found = new_rows(Dataset.load(seeds, signature=kind, **reading), kind, **options)
    return _written(found, to, as_json=as_json)


def _written(found: Synthesis, to: Path, *, as_json: bool) -> int:
    left = ", ".join(f"{reason} ({count})" for reason, count in found.left_out.items()) or "nothing"
    if not found.rows:
        raise DataError(
            f"Nothing was made in {counted(found.rounds, 'round')}, so nothing is written. Left out: {left}."
        )
    write_rows(to, found.rows)
    if as_json:
        emit({**found.to_json(), "file": str(to)})
        return DONE
    say(f"wrote {to}: {counted(len(found.rows), 'row')}, in {counted(found.rounds, 'round')}")
    say(f"left out: {left}")
    say(f"{counted(found.charged.calls, 'call')}, {found.paid.calls} of them paid, {found.charged.tokens:,} tokens")
    if found.ended in _ENDS:
        say(_ENDS[found.ended])
    say("Each row says in `provenance` how it was made. Read them before you use them: a teacher makes mistakes.")
    return DONE


def _signature(given: str | None, project: Project) -> type[Signature] | None:
    if given is not None:
        return find_signature(given, project.root)
    return None if project.settings.program is None else program_inputs(project.program()).signature


def _teacher(spec: str | None, project: Project, *, store: bool) -> LM:
    found = chosen_role("teacher_lm", spec, project, store=store)
    return chosen_lm(None, project, store=store) if found is None else found
