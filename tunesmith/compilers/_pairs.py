"""Pairs of a good and a bad answer of one predictor to the same inputs: found in runs, and written for fine-tuning."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunesmith.compilers._demos import labelled_pool
from tunesmith.compilers._outcome import Outcome
from tunesmith.evaluation import parting_steps
from tunesmith.lm import unmetered
from tunesmith.modules import Candidate, DspyPredict, Module, render, reply_text
from tunesmith.signatures import Example

if TYPE_CHECKING:
    from tunesmith.compilers._search import Search

__all__ = ["DPO_FILE", "Pair", "REWRITES_FILE", "harvest", "write_pairs"]

DPO_FILE, REWRITES_FILE = "dpo.jsonl", "rewrites.jsonl"


@dataclass(frozen=True, slots=True)
class Pair:
    """Two answers of one predictor to the same inputs.

    Attributes:
        path: of the predictor.
        inputs: of the predictor.
        good: outputs that led to a better score, or the labels.
        bad: outputs that led to a worse one, `None` if there was no answer that could be read.
        gap: between the scores.
        feedback: what the metric said of the bad one.
        example: the training example.
        score: of the good run.
    """

    path: str
    inputs: Mapping[str, Any]
    good: Mapping[str, Any]
    bad: Mapping[str, Any] | None
    gap: float
    feedback: str
    example: Example
    score: float = 1.0


Prefer = Callable[[Outcome, Outcome], bool | None]
"""Returns whether the first of two outcomes is the better one, `None` if that cannot be told."""


def harvest(
    search: "Search", candidate: Candidate, *, examples: int, runs: int, gap: float, prefer: Prefer | None = None
) -> dict[str, list[Pair]]:
    """Run a candidate several times on training examples, and return pairs by predictor, the widest gap first.

    Where the best and the worst run of an example differ by `gap`, the first step in which they part gives the pair.
    Where no run scores at all, the labels are the good answer. Where that gives nothing, two different answers are
    compared.

    Args:
        search: the compile.
        candidate: what is run.
        examples: training examples.
        runs: of each, with different draws.
        gap: the least difference of two scores.
        prefer: compares answers that score alike; default nobody.
    """
    drawn = [search.minibatch(candidate, examples, rollout=rollout) for rollout in range(runs)]
    found: dict[str, list[Pair]] = {}
    for outcomes in zip(*drawn, strict=True):
        judged = [one for one in outcomes if one.score is not None or one.outputs is None]
        pairs = list(_pairs(search, judged, gap))
        for pair in pairs if pairs or prefer is None else _preferred(judged, prefer):
            found.setdefault(pair.path, []).append(pair)
    return {path: sorted(found[path], key=lambda pair: -pair.gap) for path in search.paths if path in found}


def write_pairs(folder: Path, search: "Search", pairs: Sequence[Pair], best: Candidate) -> None:
    """Write `dpo.jsonl` (prompt, chosen, rejected) and `rewrites.jsonl` (BPO's own rows) into `folder`.

    A rewrite is a pair whose prompt `best` has changed: prompt, optimized_prompt, good_res, bad_res.
    """
    before, after = (_predictors(search, candidate) for candidate in (search.base, best))
    dpo, rewrites = list[dict[str, str]](), list[dict[str, str]]()
    for pair in pairs:
        if pair.bad is None:
            continue
        good, bad = (reply_text(before[pair.path], outputs) for outputs in (pair.good, pair.bad))
        prompt, optimized = (_prompt(search, one[pair.path], pair.inputs) for one in (before, after))
        dpo.append({"prompt": prompt, "chosen": good, "rejected": bad})
        if optimized != prompt:
            rewrites.append({"prompt": prompt, "optimized_prompt": optimized, "good_res": good, "bad_res": bad})
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in ((DPO_FILE, dpo), (REWRITES_FILE, rewrites)):
        lines = "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows)
        (folder / name).write_bytes(lines.encode("utf-8", "replace"))


def _pairs(search: "Search", outcomes: Sequence[Outcome], gap: float) -> Iterator[Pair]:
    if not outcomes:
        return
    best, worst = max(outcomes, key=_score), min(outcomes, key=_score)
    if _score(best) - _score(worst) >= gap:
        pair = _parting(best, worst)
        if pair is not None:
            yield pair
    elif _score(best) <= 0:
        yield from _labelled(search, worst)


def _preferred(outcomes: Sequence[Outcome], prefer: Prefer) -> Iterator[Pair]:
    answers = [one for one in outcomes if one.outputs is not None]
    other = next((one for one in answers if one.outputs != answers[0].outputs), None)
    won = None if other is None else prefer(answers[0], other)
    if other is not None and won is not None:
        pair = _parting(*((answers[0], other) if won else (other, answers[0])))
        if pair is not None:
            yield pair


def _score(outcome: Outcome) -> float:
    return 0.0 if outcome.score is None else outcome.score


def _parting(best: Outcome, worst: Outcome) -> Pair | None:
    """Return the first step in which two runs part, `None` if they part otherwise than by an answer."""
    gap, about = _score(best) - _score(worst), (worst.feedback, best.example, _score(best))
    found = parting_steps(best.steps, worst.steps, answered=worst.outputs is not None)
    if found is None:
        return None
    good, bad = found
    return Pair(good.predictor, good.inputs, good.outputs, None if bad is None else bad.outputs, gap, *about)


def _labelled(search: "Search", outcome: Outcome) -> Iterator[Pair]:
    """Yield the labels as the good answer of each predictor that they serve and that answered otherwise."""
    for path in search.paths:
        for demo in labelled_pool(search.signature(path), [outcome.example]).demos:
            step = next((step for step in reversed(outcome.steps) if step.predictor == path), None)
            bad = None if step is None else step.outputs
            alike = step is None or dict(step.inputs) == dict(demo.inputs)
            ran = step is not None or outcome.outputs is None
            if alike and ran and (bad is None or dict(bad) != dict(demo.outputs)):
                yield Pair(path, demo.inputs, demo.outputs, bad, 1.0, outcome.feedback, outcome.example)


def _predictors(search: "Search", candidate: Candidate) -> dict[str, DspyPredict]:
    return dict(candidate.apply(search.job.program).named_predictors())


def _prompt(search: "Search", predictor: Module, inputs: Mapping[str, Any]) -> str:
    with unmetered():  # rendering makes no call, and the budget may be used up
        seen = render(predictor, lm=search.job.lm, **inputs)
    return "\n\n".join(message["content"] for message in seen.messages)
