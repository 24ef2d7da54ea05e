"""What every call of a compile goes through: meter, ledger, progress, and the slots that work at once."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from tunesmith.compilers._job import Job
from tunesmith.evaluation import Ledger, LedgerView, Line, Runner, Turns, lm_key, program_key
from tunesmith.lm import LM, Meter, StopSignal, as_lm
from tunesmith.metrics import Metric, metric_fingerprint
from tunesmith.modules import Candidate, Module

__all__ = ["Progress", "Work", "rolled"]

Progress = Callable[[str, int, int], None]
"""Is told in words what goes on, and how many of how many parts of it are done."""

Item = TypeVar("Item")
Result = TypeVar("Result")


def rolled(program: Module, draw: int) -> Module:
    """Return `program`, its predictors with a model of their own on the same draw as all others."""
    if draw == 0 or all(predictor.lm is None for _, predictor in program.named_predictors()):
        return program
    found = Candidate.of(program).apply(program)
    for _, predictor in found.named_predictors():
        if predictor.lm is not None:
            predictor.lm = as_lm(predictor.lm).rolled(draw)
    return found


class Work:
    """Runs programs for one compile.

    Args:
        job: the compile.
        meter: counts, and holds the budget of the search; default the whole budget.
        progress: is told what goes on.
        ledger: keeps finished evaluations and gives them back; default none.
        rescore: whether a row that another metric judged is scored again rather than evaluated.
    """

    def __init__(
        self,
        job: Job,
        *,
        meter: Meter | None = None,
        progress: Progress | None = None,
        ledger: Ledger | None = None,
        rescore: bool = False,
    ) -> None:
        self.job, self.notes = job, list[str]()
        self.charge_to(Meter(job.budget) if meter is None else meter)
        self._progress, self._ledger, self._rescore = progress, ledger, rescore
        self._metric_key = "" if ledger is None else metric_fingerprint(job.metric)
        self._program_keys: dict[int, tuple[Module, str]] = {}
        self.note(*job.notes)

    def charge_to(self, meter: Meter) -> None:
        """Let `meter` count from now on, and its budget say what may begin."""
        self.meter, self._turns = meter, Turns(meter, len(self.job.program.named_predictors()))

    def say(self, text: str, done: int = 0, total: int = 0) -> None:
        """Tell the caller what goes on."""
        if self._progress is not None:
            self._progress(text, done, total)

    def note(self, *notes: str) -> None:
        """Note what was decided or left out, for the report, and tell the caller now; each once."""
        for note in notes:
            if note not in self.notes:
                self.notes.append(note)
                self.say(note)

    def runner(
        self,
        candidate: Candidate,
        *,
        program: Module | None = None,
        stand_in: Module | None = None,
        lm: LM | None = None,
        metric: Metric | None = None,
        mode: str = "eval",
        steps: bool = False,
    ) -> Runner:
        """Return what runs and judges `candidate`, with its place in the ledger.

        Args:
            candidate: what is run.
            program: of which program; default the one that is compiled.
            stand_in: runs in the place of the program, filed under it: then `mode` says in what it differs.
            lm: by which model; default the job's.
            metric: judges; default the job's.
            mode: the kind of row in the ledger; `teach` shows the metric the trace.
            steps: whether rows keep the inner predictions.
        """
        whose, model = self.job.program if program is None else program, self.job.lm if lm is None else lm
        view = None
        if self._ledger is not None:
            view = LedgerView.of(
                self._ledger,
                program=self._program_key(whose),
                candidate=candidate.key,
                models=lm_key(model, whose),
                lm=model,
                metric=self._metric_key if metric is None else metric_fingerprint(metric),
                mode=mode,
                rescore=self._rescore,
            )
        return Runner(
            whose if stand_in is None else stand_in,
            self.job.metric if metric is None else metric,
            lm=model,
            meter=self.meter,
            view=view,
            steps=steps,
            show_trace=mode == "teach",
            turns=self._turns,
            candidate=candidate,
        )

    def together(self, do: Callable[[Item], Result], items: Sequence[Item], *, runs: int = 1) -> list[Result]:
        """Return what `do` gives for each item, as many at once as there are slots and the budget surely pays for.

        Args:
            do: is called with each item.
            items: in order.
            runs: how many runs of a program each may take.

        Raises:
            BudgetExceeded: the budget ended; what was paid for is kept.
            ModelUnavailable, ModelMissing: no model answers.
        """
        found: dict[int, Result] = {}

        def one(index: int) -> None:
            found[index] = do(items[index])

        line = Line(range(len(items)), self._turns, runs)
        try:
            line.run(lambda: line.each(one), self.job.slots)
        except StopSignal as stop:
            raise stop.error from None
        return [found[index] for index in range(len(items))]

    def _program_key(self, program: Module) -> str:
        found = self._program_keys.get(id(program))
        if found is None or found[0] is not program:
            found = self._program_keys[id(program)] = (program, program_key(program))
        return found[1]
