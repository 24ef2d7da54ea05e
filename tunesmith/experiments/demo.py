"""The demo: sort hotel guests' comments by topic with a 135M model, and say honestly what compiling gained."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tunesmith.atomic import write_atomically
from tunesmith.compilers import CompileResult, Watch, few_shot_candidate
from tunesmith.data import Dataset, Splits
from tunesmith.errors import UsageError, brief
from tunesmith.evaluation import Report, evaluate
from tunesmith.experiments.compiling import compile_program
from tunesmith.experiments.neighbours import nearest_neighbour_vote
from tunesmith.lm import LM, Budget
from tunesmith.metrics import exact_match
from tunesmith.modules import Predict
from tunesmith.signatures import InputField, OutputField, Signature

__all__ = ["DemoResult", "GuestComment", "demo_data", "demo_splits", "run_demo"]

BUDGET = 620
"""LM calls for everything a compile does: validation, search and the test of both programs."""

Topic = Literal["room", "food", "staff", "location", "price"]


class GuestComment(Signature):
    """Sort a hotel guest's comment by its topic, so that it reaches the team it concerns.

    room: the bedroom or bathroom, its bed, noise, view, warmth, cleanliness.
    food: breakfast, restaurant, bar, drinks, meals brought to the room.
    staff: how the people who work there behaved.
    location: where the hotel is, distances, neighbourhood, transport, parking.
    price: what it cost, value for money, fees, bills.
    """

    comment: str = InputField()
    topic: Topic = OutputField()


@dataclass(frozen=True, slots=True)
class DemoResult:
    """What the demo found on the test split.

    Attributes:
        compiled: the compile, its test included.
        labeled_few_shot: one random demo per label, no search.
        no_lm: a 5-nearest-neighbour tf-idf vote on the same training examples.
        sizes: examples per split.
        wall_seconds: on the clock.
    """

    compiled: CompileResult
    labeled_few_shot: Report
    no_lm: Report
    sizes: dict[str, int]
    wall_seconds: float

    def __repr__(self) -> str:
        return brief(self, self.compiled.verdict, str(self.compiled.gain))

    def __str__(self) -> str:
        rivals = (("one demo per label, no search", self.labeled_few_shot), ("no LM", self.no_lm))
        return "\n".join([str(self.compiled), *(f"{name}: {report.interval}" for name, report in rivals)])

    def to_json(self) -> dict[str, Any]:
        """Return everything as JSON values: what `runs/demo/result.json` holds."""
        return {
            **self.compiled.to_json(),
            "labeled_few_shot": self.labeled_few_shot.summary(),
            "no_lm": self.no_lm.summary(),
            "examples": self.sizes,
            "budget": {"calls": BUDGET},
            "wall_seconds": round(self.wall_seconds, 1),
        }


def demo_data() -> Path:
    """Return the file with the demo's comments: inside an installed package, or in the source tree.

    Raises:
        UsageError: neither is there.
    """
    inside = Path(__file__).parent / "guest_comments" / "comments.jsonl"
    tree = Path(__file__).parents[2] / "examples" / "guest_comments" / "comments.jsonl"
    for path in (inside, tree):
        if path.is_file():
            return path
    raise UsageError(f"The demo's data is missing: {str(inside)!r}. Install tunesmith again.")


def demo_splits(seed: int = 0) -> Splits:
    """Return the demo's training, validation and test examples: 120, 80 and 200, every topic alike."""
    data = Dataset.load(demo_data(), signature=GuestComment)
    return data.split(train=120, val=80, test=200, seed=seed, stratify="topic")


def run_demo(
    lm: LM,
    *,
    run: str | Path = "demo",
    seed: int = 0,
    progress: Callable[[str, int, int], None] | None = None,
    watch: Watch | None = None,
    limit: int | None = None,
    new: bool = False,
    fork: str | Path | None = None,
    store: bool = True,
    command: dict[str, Any] | None = None,
) -> DemoResult:
    """Compile the demo's program and measure what it is compared with.

    Args:
        lm: the model.
        run: the run folder.
        seed: of splits and draws.
        progress: called with the step, what is done of it, and its total.
        watch: as `compile_program`.
        limit: at most this many examples per split, for a quick look.
        new: as `compile_program`.
        fork: as `compile_program`.
        store: as `compile_program`.
        command: as `compile_program`.

    Raises: as `compile_program`.
    """
    start = time.monotonic()
    splits = demo_splits(seed)
    train, val, test = (part[:limit] for part in (splits.train, splits.val, splits.test) if part is not None)
    program = Predict(GuestComment)
    metric = exact_match("topic")
    result = compile_program(
        program,
        metric=metric,
        trainset=train,
        valset=val,
        testset=test,
        lm=lm,
        budget=Budget(calls=BUDGET),
        run=run,
        seed=seed,
        progress=progress,
        watch=watch,
        new=new,
        fork=fork,
        store=store,
        command=command,
    )

    def tell(done: int, total: int) -> None:
        if progress is not None:
            progress("one labelled demo per topic on test", done, total)

    few = few_shot_candidate(program, list(train), 5, seed)
    report = evaluate(few.apply(program), test, metric, lm=lm, progress=tell)
    rival = nearest_neighbour_vote(train, test, field="comment", label="topic")
    sizes = {"train": len(train), "val": len(val), "test": len(test)}
    found = DemoResult(result, report, rival, sizes, time.monotonic() - start)
    if result.artifact is not None:
        write_result(result.artifact.path.parent / "result.json", found)
    return found


def write_result(path: Path, result: DemoResult) -> None:
    """Write the result, whole or not at all."""
    write_atomically(path, json.dumps(result.to_json(), indent=2) + "\n")
