"""What the targets for fine-tuning share: options, two sides, the entry for LLaMA-Factory and a training config."""

import hashlib
import json
import re
from abc import abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from tunesmith.artifacts.export._lora import lora_config
from tunesmith.artifacts.export._replies import LeftOut, Messages, Prompt, Reply, distinct, problem_of
from tunesmith.artifacts.export._run_rows import RunRows, run_rows
from tunesmith.artifacts.export._source import Source
from tunesmith.artifacts.export._target import Export, Exported
from tunesmith.artifacts.export._tool_runs import ToolRuns
from tunesmith.errors import UsageError
from tunesmith.options import option

__all__ = ["FineTuning", "Sample", "Supervised", "run_replies"]

_INFO, _CONFIG = "dataset_info.json", "lora.yaml"
_LOW = "that score less than `min_score`"


@dataclass(frozen=True, slots=True)
class Sample:
    """One row to train on.

    Attributes:
        example: key of the example it comes from.
        prompt: what is asked; the same question is never on both sides.
        values: the row, as JSON values.
    """

    example: str
    prompt: Prompt
    values: Mapping[str, Any]


@dataclass(frozen=True)
class FineTuning(Export):
    """A target that makes rows to train on of what a run has evaluated, test examples excepted."""

    prompt: str = option(
        "compiled",
        "Whose messages the rows have: those of the compiled program, or of the program before the compile.",
        choices=("compiled", "given"),
    )
    replies: str = option(
        "all",
        "Whose replies are taken: those of every candidate that was tried, or of the compiled program alone.",
        choices=("all", "compiled"),
    )
    min_score: float = option(1.0, "The score that a good reply needs; 1 is full marks of tunesmith's metrics.")
    eval_share: float = option(0.1, "Share of the inputs whose rows are for evaluation.", low=0, high=0.5)
    base_model: str | None = option(None, "Name or folder of the weights to train, for the training config.")
    template: str | None = option(None, "LLaMA-Factory's chat template of these weights, for the training config.")

    stage: ClassVar[str] = "sft"
    one_per_line: ClassVar[bool] = False

    @abstractmethod
    def samples(self, run: RunRows, left_out: Counter[str]) -> list[Sample]:
        """Return the rows, and count what is left out."""

    @abstractmethod
    def entry(self, samples: Sequence[Sample]) -> dict[str, Any] | None:
        """Return what `dataset_info.json` says of the file but its name; `None` if LLaMA-Factory cannot read it."""

    def files(self, source: Source) -> Exported:
        """Return the rows to train and to evaluate on, `dataset_info.json` and a training config.

        Raises:
            UsageError: there is no such run, or it has no such rows.
        """
        run = run_rows(source, prompt=self.prompt, replies=self.replies)
        left_out: Counter[str] = Counter()
        samples = self.samples(run, left_out)
        if not samples:
            raise UsageError(self._nothing(run, left_out))
        train, held = _sides(samples, self.eval_share)
        ending = "jsonl" if self.one_per_line else "json"
        sides = {f"train.{ending}": train, **({f"eval.{ending}": held} if held else {})}
        files = {name: self._text(side) for name, side in sides.items()}
        about, notes = self.entry(samples), self._notes(run, left_out, train, held)
        if about is None:
            return Exported(files, notes)
        stem = re.sub(r"[^A-Za-z0-9_-]+", "-", f"{run.name}_{self.name}")
        names = {f"{stem}_{name.partition('.')[0]}": name for name in sides}
        files[_INFO] = _json({name: {"file_name": file, **about} for name, file in names.items()})
        config = lora_config(
            self.stage,
            list(names),
            model=run.model,
            base_model=self.base_model,
            template=self.template,
            lengths=[(len(_line(one).encode()), len(one.prompt.turns) + 1) for one in samples],
            calls=any("tools" in sample.values for sample in samples),
        )
        return Exported({**files, _CONFIG: config}, (*notes, *self._to_fill_in()))

    def _text(self, samples: Sequence[Sample]) -> str:
        rows = list(map(_line, samples))
        if self.one_per_line:
            return "".join(f"{row}\n" for row in rows)
        # A list, because readers of JSON lines take a column of dates as times, and LLaMA-Factory then loses the reply.
        return "[\n" + ",\n".join(rows) + "\n]\n"

    def _to_fill_in(self) -> tuple[str, ...]:
        missing = {"model_name_or_path": self.base_model, "template": self.template}
        names = " and ".join(f"`{name}`" for name, value in missing.items() if value is None)
        return (f"Fill in {names} in {_CONFIG}.",) if names else ()

    def _notes(
        self, run: RunRows, left_out: Mapping[str, int], train: Sequence[Sample], held: Sequence[Sample]
    ) -> tuple[str, ...]:
        count = len({sample.example for sample in (*train, *held)})
        notes = [f"{len(train)} rows to train on and {len(held)} to evaluate on, of {count} examples."]
        gone = _listed(run.skipped, "rows") + _listed(left_out, "replies")
        return (*notes, f"Left out: {'; '.join(gone)}.") if gone else tuple(notes)

    def _nothing(self, run: RunRows, left_out: Mapping[str, int]) -> str:
        scores = [entry.row.score for entry in run.rows if entry.row.score is not None]
        found = f"{len(run.rows)} rows of the run may be used"
        if scores:
            found += f", with scores from {min(scores):g} to {max(scores):g}"
        gone = _listed(run.skipped, "rows") + _listed(left_out, "replies")
        return (
            f"The run {run.name!r} gives no rows for {self.name!r}: {found}. Left out: {'; '.join(gone) or 'nothing'}. "
            f"{self.advice(run)}"
        )

    def advice(self, run: RunRows) -> str:
        """Return what to do if there are no rows."""
        if not run.rows:
            return "Compile with validation examples, and not with `store=False` (`--no-store`): then replies are kept."
        return f"Set `min_score` lower than {self.min_score:g}, or compile with more examples or candidates."


@dataclass(frozen=True)
class Supervised(FineTuning):
    """A target whose rows are good replies."""

    @abstractmethod
    def row(self, reply: Reply) -> dict[str, Any]:
        """Return the row of a reply."""

    def samples(self, run: RunRows, left_out: Counter[str]) -> list[Sample]:
        """Return the replies that score enough, each once."""
        found = []
        for reply in run_replies(run, left_out, calls=getattr(self, "tool_calls", False)):
            if reply.score >= self.min_score:
                found.append(Sample(reply.example, reply.prompt, self.row(reply)))
            else:
                left_out[_LOW] += 1
        return found


def run_replies(run: RunRows, left_out: Counter[str], *, calls: bool) -> list[Reply]:
    """Return each reply of a run once, with the best score that it led to.

    Args:
        run: its rows.
        left_out: counts what is left out, by reason.
        calls: whether a run of a `ts.ReAct` is one conversation with calls of tools, instead of its steps as sent.
    """
    messages, tools = Messages(run.program), ToolRuns(run.program)
    found: list[Reply] = []
    for entry in run.rows:
        done: frozenset[str] = frozenset()
        score = entry.row.score or 0.0
        if calls and tools.tools:
            try:
                told = tools.conversation(entry.row)
            except LeftOut as reason:
                left_out[str(reason)] += 1
                continue
            if told is not None:
                done = tools.predictors
                text = json.dumps(list(tools.tools), ensure_ascii=False)
                _keep(Reply(entry.key.example, 0, *told, score, text), found, left_out)
        failed = tools.failed(entry.row)
        left_out["whose call of a tool failed"] += 0 if done else len(failed)
        for place, step in enumerate(entry.row.steps):
            if step.predictor not in done and place not in failed:
                try:
                    reply = Reply(entry.key.example, place, messages.ask(step), messages.answer(step), score)
                except LeftOut as reason:
                    left_out[str(reason)] += 1
                else:
                    _keep(reply, found, left_out)
    return distinct(found, left_out)


def _keep(reply: Reply, found: list[Reply], left_out: Counter[str]) -> None:
    problem = problem_of(reply.prompt, reply.text)
    if problem is None:
        found.append(reply)
    else:
        left_out[problem] += 1


def _sides(samples: Sequence[Sample], share: float) -> tuple[list[Sample], list[Sample]]:
    """Return rows to train and to evaluate on.

    Examples are drawn by their keys. A row is for evaluation if every example that asks its question was drawn.
    """
    examples = sorted({one.example for one in samples}, key=lambda key: hashlib.sha256(key.encode()).hexdigest())
    drawn = set(examples[: round(share * len(examples))])
    asked: dict[Any, bool] = {}
    for one in samples:
        asked[one.prompt.question] = asked.get(one.prompt.question, True) and one.example in drawn
    sides: tuple[list[Sample], list[Sample]] = ([], [])
    for one in samples:
        sides[asked[one.prompt.question]].append(one)
    return sides


def _line(sample: Sample) -> str:
    return json.dumps(sample.values, ensure_ascii=False)


def _listed(counts: Mapping[str, int], what: str) -> list[str]:
    return [f"{what} {reason}: {count}" for reason, count in sorted(counts.items()) if count]


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"
