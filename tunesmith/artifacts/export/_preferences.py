"""Pairs of a better and a worse reply to the same messages, from runs of one example that scored differently."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from tunesmith.artifacts.export._replies import LeftOut, Messages, Prompt, problem_of
from tunesmith.data import canonical_json
from tunesmith.evaluation import Entry, parting_steps

__all__ = ["Preference", "preferences"]


@dataclass(frozen=True, slots=True)
class Preference:
    """Two replies to one prompt.

    Attributes:
        example: key of the example.
        prompt: what they answer.
        chosen: reply of the better run.
        rejected: reply of the worse run.
        gap: between the scores of the two runs.
    """

    example: str
    prompt: Prompt
    chosen: str
    rejected: str
    gap: float


def preferences(
    rows: Iterable[Entry], messages: Messages, *, least: float, margin: float, first: str | None, left_out: Counter[str]
) -> list[Preference]:
    """Return pairs in an order of content alone, each once.

    The best run of an example is compared with each that scores at least `margin` less. The first step in which they
    part gives the pair.

    Args:
        rows: in the order of their examples.
        messages: of the program.
        least: the score that the better run needs.
        margin: the least difference of the scores.
        first: key of the candidate whose runs come before others of the same score.
        left_out: counts what is left out, by reason.
    """
    found: dict[tuple[Prompt, str, str], Preference] = {}
    for example, several in groupby(rows, key=lambda entry: entry.key.example):
        for one in _pairs(example, list(several), messages, least, margin, first, left_out):
            key = (one.prompt, one.chosen, one.rejected)
            if key not in found or one.gap > found[key].gap:
                found[key] = one
    for prompt, chosen, rejected in list(found):
        if (prompt, rejected, chosen) in found:  # labels contradict each other
            left_out["that other examples prefer the other way round"] += 1
    kept = [one for one in found.values() if (one.prompt, one.rejected, one.chosen) not in found]
    return sorted(kept, key=lambda one: (one.example, -one.gap, one.chosen, one.rejected))


def _pairs(
    example: str,
    several: Sequence[Entry],
    messages: Messages,
    least: float,
    margin: float,
    first: str | None,
    left_out: Counter[str],
) -> Iterator[Preference]:
    scored = [(entry.row.score, entry) for entry in several if entry.row.score is not None]
    if not scored:
        return
    score, best = min(
        scored, key=lambda one: (-one[0], one[1].key.candidate != first, canonical_json(_content(one[1])))
    )
    if score < least:
        return
    for other, entry in scored:
        parted = parting_steps(best.row.steps, entry.row.steps) if score - other >= margin else None
        if parted is None or parted[1] is None:
            continue
        good, bad = parted[0], parted[1]
        try:
            prompt, chosen, rejected = messages.ask(good), messages.answer(good), messages.answer(bad)
        except LeftOut as reason:
            left_out[str(reason)] += 1
            continue
        problem = problem_of(prompt, chosen, rejected)
        if problem is not None:
            left_out[problem] += 1
        elif chosen != rejected:
            yield Preference(example, prompt, chosen, rejected, score - other)


def _content(entry: Entry) -> list[list[object]]:
    return [[step.predictor, dict(step.inputs), dict(step.outputs)] for step in entry.row.steps]
