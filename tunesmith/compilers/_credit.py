"""Which predictor is to blame for a failure: found in the trace, by comparison, by replay, or by a model."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from tunesmith.compilers._bootstrap import passed
from tunesmith.compilers._outcome import Outcome, outcome_of
from tunesmith.compilers._wording import outcome_texts, role_in_words
from tunesmith.compilers._work import Work
from tunesmith.data import content_key
from tunesmith.errors import DataError, ModelMissing, ModelUnavailable, UsageError, shown
from tunesmith.evaluation import Row, Step, executing
from tunesmith.lm import metered, role
from tunesmith.metrics import step_feedback
from tunesmith.modules import Candidate, Prediction, replayed
from tunesmith.signatures import Example, Signature

__all__ = ["METHODS", "Credit"]

METHODS = ("replay", "variability", "lm")
_SHARE = 4  # replays may take a fourth of the evaluations that are left

Outputs = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Replay:
    """One counterfactual: predictor `path` gives `outputs`, those before it give what they gave."""

    number: int
    path: str
    answers: Mapping[str, list[Outputs]]


class Credit:
    """Blames predictors for the failures of one compile, and counts how.

    Args:
        work: runs programs.
        base: the program as given.
        signatures: of each predictor path.
        rows_of: returns what candidates made of a training example so far.
        room: returns how many evaluations the budget has room for.
        ask: asks the prompt model.
    """

    def __init__(
        self,
        work: Work,
        base: Candidate,
        signatures: Mapping[str, type[Signature]],
        *,
        rows_of: Callable[[Example], list[Row]],
        room: Callable[[], int | None],
        ask: Callable[[type[Signature], int, Mapping[str, Any]], list[Prediction]],
    ) -> None:
        self._work, self._base, self._signatures = work, base, signatures
        self._rows_of, self._room, self._ask = rows_of, room, ask
        self._by_path, self._by_method = Counter[str](), Counter[str]()

    def blamed(
        self, candidate: Candidate, outcomes: Sequence[Outcome], by: Sequence[str], threshold: float | None
    ) -> list[tuple[tuple[str, ...], Outcome]]:
        """Return each outcome with the predictors to blame for it; see `Search.credit`."""
        wrong = [name for name in by if name not in METHODS]
        if wrong:
            raise UsageError(f"There is no credit by {shown(wrong[0])}. Use any of: {', '.join(METHODS)}.")
        paths = tuple(self._base.parts)
        found: list[tuple[str, ...]] = [_ran(outcome, paths) for outcome in outcomes]
        given, methods = list(outcomes), ["trace"] * len(outcomes)
        methods_by_name: dict[str, Callable[..., list[str | None]]] = {
            "replay": self._by_replay,
            "variability": self._by_variability,
            "lm": self._by_lm,
        }
        for name in by:
            open_ = [number for number, blamed in enumerate(found) if len(blamed) > 1]
            decided = methods_by_name[name](candidate, given, open_, threshold) if open_ else []
            for number, path in zip(open_, decided, strict=False):
                if path is not None:
                    found[number], methods[number] = (path,), name
        for blamed, method in zip(found, methods, strict=True):
            self._by_path.update(blamed)
            self._by_method[method] += 1
        return list(zip(found, given, strict=True))

    def told(self, path: str, outcome: Outcome) -> Outcome:
        """Return the outcome with what the metric says of the predictor at `path`, if it judges predictors."""
        job = self._work.job
        if outcome.outputs is None:
            return outcome
        predictors = dict(job.program.named_predictors())
        trace = [(predictors[s.predictor], dict(s.inputs), Prediction(**s.outputs), s.predictor) for s in outcome.steps]
        prediction = Prediction(**outcome.outputs)
        try:
            with metered(self._work.meter), role("judge"):
                said = step_feedback(job.metric, outcome.example, prediction, trace, path)
        except (ModelUnavailable, ModelMissing):
            raise
        except Exception as error:  # noqa: BLE001 - whatever a metric raises: its score of the whole program stands
            self._work.note(
                f"The metric failed on a single predictor ({type(error).__name__}), and its words were not used."
            )
            return outcome
        return outcome if not said else replace(outcome, feedback=said)

    def notes(self) -> list[str]:
        """Return whom failures were blamed on, and by what."""
        if not self._by_path or len(self._base.parts) == 1:
            return []
        shares = ", ".join(f"{path} {count}" for path, count in self._by_path.most_common())
        how = ", ".join(f"{name} {count}" for name, count in self._by_method.most_common())
        return [f"Failures were blamed on predictors: {shares} (by {how})."]

    # By comparison ---------------------------------------------------------------------------------------------

    def _by_variability(
        self, candidate: Candidate, outcomes: Sequence[Outcome], numbers: Sequence[int], threshold: float | None
    ) -> list[str | None]:
        """Compare with a run on the same input that passed: the first predictor that gave something else is suspect."""
        return [_first_difference(outcomes[one], self._good(outcomes[one], threshold)) for one in numbers]

    def _good(self, outcome: Outcome, threshold: float | None) -> Outcome | None:
        """Return what is known of a run on the same training example that passed."""
        row = next((row for row in self._rows_of(outcome.example) if row.steps and passed(row, threshold)), None)
        return None if row is None else outcome_of(outcome.example, row)

    # By replay -------------------------------------------------------------------------------------------------

    def _by_replay(
        self, candidate: Candidate, outcomes: Sequence[Outcome], numbers: Sequence[int], threshold: float | None
    ) -> list[str | None]:
        """Let one predictor after the other give a better output, and run the rest: which one makes it right?"""
        whole = dict.fromkeys(numbers, True)
        tried: list[_Replay] = []
        for number in numbers:
            good = self._good(outcomes[number], threshold) or self._taught(outcomes[number], threshold)
            ran = list(dict.fromkeys(step.predictor for step in outcomes[number].steps))
            for path in ran[:-1]:  # a right last answer is always right
                better = _better(outcomes[number], path, self._signatures[path], good)
                whole[number] &= better is not None
                if better is not None:
                    tried.append(_Replay(number, path, {**_before(outcomes[number], path), path: better}))
        room = self._room()
        if room is not None and len(tried) * _SHARE > room:
            self._work.note(f"Failures were not replayed: that takes {len(tried)} runs, and there is room for {room}.")
            return [None] * len(numbers)
        gains = self._gains(candidate, outcomes, tried)
        return [self._chosen(outcomes[one], gains.get(one, {}), whole=whole[one]) for one in numbers]

    def _taught(self, outcome: Outcome, threshold: float | None) -> Outcome | None:
        """Return the run of a teacher on the example, if there is one and it is right."""
        job = self._work.job
        if job.teacher is None:
            return None
        runner = self._work.runner(Candidate.of(job.teacher), program=job.teacher, mode="teach", steps=True)

        def one(_: int) -> Any:
            with role("teacher"):
                return runner.one(outcome.example)

        (row,) = self._work.together(one, [0])
        return outcome_of(outcome.example, row) if passed(row, threshold) else None

    def _gains(
        self, candidate: Candidate, outcomes: Sequence[Outcome], tried: Sequence[_Replay]
    ) -> dict[int, dict[str, float]]:
        work, done = self._work, Counter[str]()

        def one(replay: _Replay) -> float:
            runner = work.runner(
                candidate,
                stand_in=replayed(work.job.program, replay.answers),
                mode=f"replay {_key([replay.path, replay.answers])[:24]}",
            )
            row = runner.one(outcomes[replay.number].example)
            done["runs"] += 1
            work.say("replaying failures", done["runs"], len(tried))
            return (row.score or 0.0) - (outcomes[replay.number].score or 0.0)

        with executing("threads"):  # what stands in for a predictor is in this process alone
            found = work.together(one, tried)
        gains: dict[int, dict[str, float]] = {}
        for replay, gain in zip(tried, found, strict=True):
            gains.setdefault(replay.number, {})[replay.path] = gain
        return gains

    def _chosen(self, outcome: Outcome, gains: Mapping[str, float], *, whole: bool) -> str | None:
        """Return the first predictor with the largest gain; the last one that ran if no other one has any."""
        most = max(gains.values(), default=0.0)
        if most > 0:
            return next(path for path, gain in gains.items() if gain == most)
        return outcome.steps[-1].predictor if gains and whole else None

    # By a model ------------------------------------------------------------------------------------------------

    def _by_lm(
        self, candidate: Candidate, outcomes: list[Outcome], numbers: Sequence[int], threshold: float | None
    ) -> list[str | None]:
        """Ask the prompt model, once for each failure. What it proposes as a fix joins the feedback."""
        from tunesmith.compilers._blame import Blame  # here, because few compiles ask a model

        found = list[str | None]()
        roles = [f"{path}: {role_in_words(path, {path: one})}" for path, one in self._signatures.items()]
        for number in numbers:
            outcome = outcomes[number]
            names = _ran(outcome, tuple(self._signatures))
            choices: Any = Literal[names]
            step = Blame.with_updated_fields("module", type_=choices)
            lines = [f"{one.predictor}: {dict(one.inputs)} -> {dict(one.outputs)}" for one in outcome.steps]
            (said,) = outcome_texts([replace(outcome, steps=())], "")
            said_of = self._ask(step, 1, {"steps": roles, "trace": lines, "problem": said})
            found.append(said_of[0].module if said_of else None)
            if said_of:
                text = f"{outcome.feedback} {said_of[0].evidence} {said_of[0].fix}".strip()
                outcomes[number] = replace(outcome, feedback=text)
        return found


def _ran(outcome: Outcome, paths: Sequence[str]) -> tuple[str, ...]:
    """Return the predictors that ran; all of them if the trace does not say."""
    ran = {step.predictor for step in outcome.steps}
    return tuple(path for path in paths if path in ran) or tuple(paths)


def _first_difference(outcome: Outcome, good: Outcome | None) -> str | None:
    if good is None:
        return None
    pairs = zip(outcome.steps, good.steps, strict=False)
    return next((ours.predictor for ours, theirs in pairs if not _alike(ours, theirs)), None)


def _alike(ours: Step, theirs: Step) -> bool:
    return ours.predictor == theirs.predictor and _key(ours.outputs) == _key(theirs.outputs)


def _before(outcome: Outcome, path: str) -> dict[str, list[Outputs]]:
    """Return what predictors gave before the first call of the one at `path`: it need not be paid again."""
    found: dict[str, list[Outputs]] = {}
    for step in outcome.steps:
        if step.predictor == path:
            break
        found.setdefault(step.predictor, []).append(step.outputs)
    return found


def _better(outcome: Outcome, path: str, signature: type[Signature], good: Outcome | None) -> list[Outputs] | None:
    """Return better outputs for each call of a predictor: those of a run that passed, else what the example labels."""
    calls = [step.outputs for step in outcome.steps if step.predictor == path]
    theirs = [] if good is None else [step.outputs for step in good.steps if step.predictor == path]
    if theirs:
        return [theirs[min(number, len(theirs) - 1)] for number in range(len(calls))]
    labels = {name: outcome.example[name] for name in signature.output_fields if outcome.example.get(name) is not None}
    return [{**given, **labels} for given in calls] if labels else None


def _key(value: Any) -> str:
    try:
        return content_key(value)
    except DataError:  # an output of any class
        return repr(value)
