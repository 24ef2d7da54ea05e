"""What both ways of making new data by a teacher share: asking within a budget, filtering, provenance."""

import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tunesmith.data import plain
from tunesmith.errors import BudgetExceeded, ParseError, UsageError, brief, shown
from tunesmith.lm import LM, Budget, Meter, Spend, StopSignal, metered, role
from tunesmith.metrics import rouge_l
from tunesmith.modules import Module, Prediction, forgetful
from tunesmith.signatures import Example

__all__ = ["Pool", "Progress", "SynthSettings", "Synthesis", "Teacher", "rng_of", "with_demos"]

Progress = Callable[[str, int, int], None]

_ROOM = 1024  # tokens of a reply with new ones: several texts, and as much as Self-Instruct gives


@dataclass(frozen=True, slots=True)
class SynthSettings:
    """How new data is made; the defaults are those of Self-Instruct.

    Attributes:
        count: how many are wanted: tasks, or rows of a signature.
        shown: examples in a question.
        made_shown: how many of them are made ones, as far as there are any.
        asked: how many new ones a question asks for.
        similarity: a text is left out if its ROUGE-L with another one is above this.
        instances: the most instances of one task.
        temperature: of questions for something new.
        top_p: of those questions.
        patience: rounds without anything new, after which it ends.
        seed: another seed shows other examples and draws other replies.
    """

    count: int = 100
    shown: int = 8
    made_shown: int = 2
    asked: int = 8
    similarity: float = 0.7
    instances: int = 5
    temperature: float = 0.7
    top_p: float = 0.5
    patience: int = 5
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("count", "shown", "asked", "instances", "patience"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise UsageError(f"`{name}` must be a whole number of at least 1. Given: {shown(value)}.")
        if not 0 < self.similarity <= 1:
            raise UsageError(f"`similarity` must be above 0 and up to 1. Given: {shown(self.similarity)}.")


@dataclass(frozen=True, slots=True)
class Synthesis:
    """New rows.

    Attributes:
        rows: each with a field `provenance`, which says how it was made.
        left_out: why proposals were left out, with how often.
        rounds: questions for something new.
        made: tasks, or rows of a signature, that were accepted.
        ended: `count` if as many were made as were wanted, `budget`, or `patience`.
        charged: the calls that it took, cached or not.
        paid: those that reached the model.
    """

    rows: tuple[dict[str, Any], ...]
    left_out: Mapping[str, int] = field(default_factory=dict)
    rounds: int = 0
    made: int = 0
    ended: str = "count"
    charged: Spend = field(default_factory=Spend)
    paid: Spend = field(default_factory=Spend)

    def __repr__(self) -> str:
        return brief(self, rows=len(self.rows), made=self.made, ended=self.ended, calls=self.charged.calls)

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values, without the rows."""
        return {
            "rows": len(self.rows),
            "made": self.made,
            "rounds": self.rounds,
            "ended": self.ended,
            "left_out": dict(self.left_out),
            "charged": self.charged.to_json(),
            "paid": self.paid.to_json(),
        }


class Teacher:
    """Asks a model within a budget, and counts what is left out.

    Args:
        lm: the model.
        budget: of all questions.
        settings: how something new is drawn.
        progress: is told what goes on.
    """

    def __init__(self, lm: LM, budget: Budget, settings: SynthSettings, progress: Progress | None) -> None:
        self.lm, self.settings = lm, settings
        self.meter = Meter(budget)
        self.left_out: Counter[str] = Counter()
        self.rounds = 0
        self._progress = progress

    def ask(self, step: Module, **inputs: Any) -> Prediction | None:
        """Return the reply of a step without chance, `None` if it cannot be read.

        Raises:
            BudgetExceeded: the budget ended.
        """
        return self._asked(step, self.lm.copy(temperature=0.0), inputs)

    def draw(self, step: Module, **inputs: Any) -> Prediction | None:
        """Return a new draw of a step: the same question asked again gets another reply."""
        settings = self.settings
        self.rounds += 1
        number = settings.seed * 1_000_000 + self.rounds
        room = max(_ROOM, self.lm.kwargs.get("max_tokens") or 0)
        drawn = {"rollout_id": number, "temperature": settings.temperature, "top_p": settings.top_p, "max_tokens": room}
        return self._asked(step, self.lm.copy(**drawn), inputs)

    def say(self, text: str, done: int) -> None:
        """Tell how many of those that are wanted there are."""
        if self._progress is not None:
            self._progress(text, min(done, self.settings.count), self.settings.count)

    def provenance(self, method: str, **facts: Any) -> dict[str, Any]:
        """Return what a row says of how it was made."""
        identity = self.lm.identity
        model = {"name": identity.model, "digest": identity.digest}
        return {"method": method, "model": model, "seed": self.settings.seed, "round": self.rounds, **facts}

    def until_the_end(self, work: Callable[[], bool], made: Callable[[], int]) -> str:
        """Run rounds of `work`, which says whether there is something new; return why it ended.

        `made` counts what there is.
        """
        idle = 0
        try:
            while made() < self.settings.count:
                idle = 0 if work() else idle + 1
                if idle == self.settings.patience:
                    return "patience"
        except BudgetExceeded:
            return "budget"
        return "count"

    def result(self, rows: Sequence[dict[str, Any]], made: int, ended: str) -> Synthesis:
        """Return the result."""
        left = dict(self.left_out.most_common())
        return Synthesis(tuple(rows), left, self.rounds, made, ended, self.meter.charged, self.meter.paid)

    def _asked(self, step: Module, lm: LM, inputs: Mapping[str, Any]) -> Prediction | None:
        try:
            with forgetful(lm=lm), metered(self.meter), role("teacher"):
                found: Any = step(**inputs)
        except StopSignal as stop:
            raise stop.error from None
        except ParseError as error:
            self.left_out[f"a reply that could not be read ({error.reason})"] += 1
            return None
        return found


class Pool:
    """Texts that a new one must differ from.

    Args:
        texts: those there are.
        similarity: the highest ROUGE-L of a new one with any of them.
    """

    def __init__(self, texts: Sequence[str], similarity: float) -> None:
        self.given, self.made = list(texts), list[str]()
        self._similarity, self._rouge = similarity, rouge_l()

    def nearest(self, text: str) -> tuple[float, str]:
        """Return the highest ROUGE-L of `text` with any other one, and that one; 0 if there is none."""
        scores = ((self._rouge.of(other, text), other) for other in (*self.given, *self.made))
        return max(scores, key=lambda one: one[0], default=(0.0, ""))

    def is_like_another(self, score: float) -> bool:
        """Return whether a text of this ROUGE-L is too much like another one."""
        return score > self._similarity

    def shown(self, rng: random.Random, settings: SynthSettings) -> list[str]:
        """Return examples for a question: made ones as far as there are, and given ones, shuffled."""
        made = rng.sample(self.made, min(settings.made_shown, len(self.made)))
        found = [*made, *rng.sample(self.given, min(settings.shown - len(made), len(self.given)))]
        rng.shuffle(found)
        return found


def rng_of(settings: SynthSettings, name: str) -> random.Random:
    """Return a generator of its own for a purpose."""
    return random.Random(f"{settings.seed} {name}")


def with_demos(step: Module, demos: Sequence[Mapping[str, Any]]) -> Module:
    """Return `step` with demos for its only predictor."""
    for _, predictor in step.named_predictors():
        predictor.demos = [Example(**plain(demo)) for demo in demos]
    return step
