"""`OPRO`: the prompt model reads scored instructions, worst first, and writes better ones."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING, Any, Self

from tunesmith.compilers._bootstrap import expected_attempts
from tunesmith.compilers._effort import Effort
from tunesmith.compilers._finals import score_finalists, spare_room
from tunesmith.compilers._options import option
from tunesmith.compilers._outcome import Outcome
from tunesmith.compilers._shortening import BestLast
from tunesmith.compilers._wording import outcome_texts, pair_texts
from tunesmith.compilers.compiler import Compiler
from tunesmith.data import example_key
from tunesmith.errors import UsageError
from tunesmith.evaluation import RACES
from tunesmith.modules import Candidate, Predict
from tunesmith.signatures import InputField, OutputField, Signature

if TYPE_CHECKING:
    from tunesmith.compilers._search import Search

__all__ = ["OPRO"]

_SLOT = "<INS>"  # stands for the instruction in the exemplars
_WRONG = ("wrong", "wrong-now")
_LEAST = 8  # examples that each new instruction should see; with less budget fewer are asked for
_IDLE = 3  # steps for each predictor that give nothing new before the search gives up
_LEADERS = 2  # that go on in the race of the next step
_PRIOR = 8  # examples that the score of the program as given counts for, where few were seen


class WriteInstruction(Signature):
    """Write one new instruction for the task that will score higher than all of these. Be short and general."""

    task: str = InputField(desc="what goes in and what comes out")
    scored: list[str] = InputField(desc="instructions and their scores from 0 to 100, the best last")
    examples: list[str] = InputField(desc=f"{_SLOT} is the place of the instruction")
    instruction: str = OutputField(desc="differs from all of these")


class BeginInstruction(Signature):
    """Write one instruction for the task. Be short and general. Give no answer and no example."""

    task: str = InputField(desc="what goes in and what comes out")
    examples: list[str] = InputField(desc=f"{_SLOT} is the place of the instruction")
    instruction: str = OutputField()


@dataclass(frozen=True)
class OPRO(Compiler):
    """Ask for instructions that beat the scored ones, worst first (Yang et al. 2023, arXiv 2309.03409, section 4).

    Differences from the released code (google-deepmind/opro): by default new instructions race on validation, and
    the model sees those scores but never a validation example; `published()` scores each on the whole training set.
    By default every fourth step writes from the exemplars alone, so that a bad instruction is not improved for ever.
    Several predictors take turns, and an instruction counts as the mean of the combinations that hold it. If no
    instruction reaches the threshold, the best is shown. Three steps in a row without a new instruction end the search.

    It takes `steps * per_step` calls of the prompt model and at most `steps * per_step * examples + finalists * |val|`
    evaluations; `published()` takes `(1 + steps * per_step) * |train| + |val|`.

    Args: its options are in `docs/compilers.md`; the others as `Compiler`.

    Example:
        >>> import tunesmith as ts
        >>> compiler = ts.OPRO(metric=ts.metrics.exact_match("label"), steps=4)
        >>> compiler.plan(train=100, val=50)["proposals"]
        24
        >>> ts.OPRO.published().plan(train=260, val=50)["calls"]["expected"]
        417960
    """

    steps: int = option(12, "How often instructions are asked for.", low=1)
    per_step: int = option(6, "Instructions that are asked for in a step.", low=1)
    history: int = option(20, "The most scored instructions that the prompt model sees.", low=1)
    threshold: float | None = option(None, "The lowest score of an instruction that it sees; default none.")
    exemplars: int = option(3, "Training examples that it sees.", low=0)
    exemplar_choice: str = option(
        "random",
        "Which these are: others in each step, the same in all, or those that most instructions got wrong, of all "
        "that were tried (`wrong`) or of those that it sees (`wrong-now`).",
        choices=("random", "constant", *_WRONG),
    )
    anew_every: int = option(
        4, "Every how many steps, from the first on, instructions are written from exemplars alone; 0 for never.", low=0
    )
    max_length: int = option(500, "The most characters of an instruction.", low=1)
    digits: bool = option(default=True, help="Whether an instruction may hold digits; the paper has none for GSM8K.")
    score_on: str = option(
        "val",
        "What scores a new instruction: a race on validation, or the whole training set as published.",
        choices=("val", "train"),
    )
    examples: int = option(16, "Validation examples that an instruction sees on average in its race.", low=1)
    race: str = option("paired-halving", "How the instructions of a step are compared.", choices=RACES)
    finalists: int = option(3, "Instructions that are scored on every validation example in the end.", low=1)

    @classmethod
    def published(cls, **options: Any) -> Self:
        """Return the compiler with the settings of the released code; `options` go first."""
        given = {"steps": 200, "per_step": 8, "threshold": 0.0, "score_on": "train", "finalists": 1, "anew_every": 0}
        return cls(**{**given, **options})

    def __post_init__(self) -> None:
        """Check what one field cannot say."""
        super().__post_init__()
        if self.exemplar_choice in _WRONG and self.score_on != "train":
            raise UsageError(
                f"exemplar_choice={self.exemplar_choice!r} counts failures on training examples, so it needs "
                "score_on='train'. Set that, or take the exemplars at random."
            )

    def effort(self, *, train: int, calls: float) -> Effort:
        """Return the races of all steps, or the runs on the training set, and the proposals."""
        asked = self.steps * self.per_step
        labels = expected_attempts(self.exemplars, train=train, rounds=1) if calls > 1 else 0
        if self.score_on == "train":
            runs = (1 + asked) * train
            return Effort(
                candidates=self.finalists,
                proposals=asked,
                runs=runs + labels,
                most_runs=runs + train,
                start=(2 * train, 1),
            )
        return Effort(
            candidates=asked,
            race=self.race,
            races=self.steps,
            evaluations=self.per_step * self.examples,
            finalists=self.finalists,
            proposals=asked,
            runs=labels,
            most_runs=train if self.exemplars else 0,
            start=(labels, 1),
        )

    def search(self, search: "Search") -> None:
        """Improve one predictor after the other, and score the best instructions on every validation example."""
        memory, idle, paths = _Memory(self, search), 0, search.paths
        memory.score([search.base], 0, "")
        for number in range(self.steps if paths else 0):
            asked, evaluations = self._share(search, self.steps - number)
            if not asked or idle == _IDLE * len(paths):
                search.note(f"Asking for instructions ended after {number} of {self.steps} steps.")
                break
            path = paths[number % len(paths)]
            texts = self._ask(search, memory, path, number, asked)
            idle = 0 if texts else idle + 1
            best = memory.leaders()[0]
            memory.score([best.with_part(path, instruction=text) for text in texts], evaluations, f"step {number + 1}")
        score_finalists(search, memory.leaders(), self.finalists, memory.origins)

    def _ask(self, search: "Search", memory: "_Memory", path: str, number: int, asked: int) -> list[str]:
        anew = bool(self.anew_every) and number // len(search.paths) % self.anew_every == 0
        given: dict[str, Any] = {"task": search.task(path)}
        if not anew:
            given["scored"] = BestLast(f"{text} | score: {round(100 * score)}" for text, score in memory.pairs(path))
        found = search.propose(
            path,
            Predict(
                BeginInstruction if anew else WriteInstruction,
                temperature=1.0,
                max_tokens=max(32, self.max_length // 2),
            ),
            asked,
            most=self.max_length,
            examples=[f"{_SLOT} {text}" for text in self._exemplars(search, memory, path, number)],
            **given,
        )
        return [text for text in found if _SLOT not in text and (self.digits or not any(map(str.isdigit, text)))]

    def _exemplars(self, search: "Search", memory: "_Memory", path: str, number: int) -> list[str]:
        if not self.exemplars:
            return []
        if self.exemplar_choice in _WRONG and (wrong := memory.wrong(path)):
            return outcome_texts(wrong, path)
        draw = number if self.exemplar_choice == "random" else 0
        return pair_texts(search.examples(path, self.exemplars, draw=draw))

    def _share(self, search: "Search", steps: int) -> tuple[int, int]:
        """Return how many instructions the next of `steps` steps asks for, and the evaluations of all of them.

        What the finalists need is kept back. A small budget has fewer steps, not fewer examples for an instruction.
        """
        spare, each = spare_room(search, self.finalists), self.examples
        if spare is None:
            return self.per_step, self.per_step * each
        least = 1 + (len(search.train) if self.score_on == "train" else min(each, _LEAST))
        asked = min(self.per_step, max(spare // least, int(spare > 1 and self.score_on != "train")))
        left = max(1, min(steps, spare // (self.per_step * least)))
        return asked, min(asked * each, max(0, spare // left - asked))


class _Memory:
    """Every combination of instructions that was scored."""

    def __init__(self, compiler: OPRO, search: "Search") -> None:
        self._compiler, self._search = compiler, search
        self._on_train = compiler.score_on == "train"
        self.origins: dict[Candidate, str] = {}
        self._outcomes: dict[Candidate, list[Outcome]] = {}

    def score(self, candidates: Sequence[Candidate], evaluations: int, origin: str) -> None:
        """Score `candidates` on the training set; or race them and the leaders so far on validation."""
        search, leaders = self._search, self.leaders()[:_LEADERS]
        self.origins |= dict.fromkeys(candidates, origin)
        if self._on_train:
            for candidate in candidates:
                self._outcomes[candidate] = search.minibatch(candidate, len(search.train))
        elif evaluations:
            raced = [*leaders, *candidates]
            origins = [self.origins[candidate] for candidate in raced]
            search.race(raced, self._compiler.race, finalists=0, evaluations=evaluations, origins=origins)

    def leaders(self) -> list[Candidate]:
        """Return the combinations that have a score, the best first."""
        scores = self._scores()
        return sorted(scores, key=lambda candidate: -scores[candidate])

    def pairs(self, path: str) -> list[tuple[str, float]]:
        """Return instructions of one predictor with their scores, the best last."""
        found: dict[str, list[float]] = defaultdict(list)
        for candidate, score in self._scores().items():
            found[candidate.parts[path].instruction].append(score)
        means = sorted(((text, fmean(scores)) for text, scores in found.items()), key=lambda pair: pair[1])
        bar = self._compiler.threshold
        kept = [pair for pair in means if bar is None or pair[1] >= bar]
        return (kept or means[-1:])[-self._compiler.history :]

    def wrong(self, path: str) -> list[Outcome]:
        """Return the training examples that most instructions got wrong, with the last wrong answer."""
        now = {text for text, _ in self.pairs(path)}
        every, counts, last = self._compiler.exemplar_choice == "wrong", Counter[str](), dict[str, Outcome]()
        for candidate, outcomes in self._outcomes.items():
            for one in outcomes if every or candidate.parts[path].instruction in now else ():
                if not one.score:
                    key = example_key(one.example)
                    counts[key] += 1
                    last[key] = one
        return [last[key] for key, _ in counts.most_common(self._compiler.exemplars)]

    def _scores(self) -> dict[Candidate, float]:
        if self._on_train:
            return {
                one: fmean(o.score or 0.0 for o in outcomes) for one, outcomes in self._outcomes.items() if outcomes
            }
        search, found = self._search, dict[Candidate, float]()
        given = search.mean(search.base) or 0.0
        for candidate in self.origins:
            seen, mean = search.seen(candidate), search.mean(candidate)
            if mean is not None:  # the fewer examples, the less a score says
                found[candidate] = (seen * mean + _PRIOR * given) / (seen + _PRIOR)
        return found
