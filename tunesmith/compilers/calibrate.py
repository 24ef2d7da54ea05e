"""`Calibrate`: offsets for the labels of predictors with one closed set, from log-probabilities that were paid for."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tunesmith.compilers._calibration import METHODS, Offsets, Scored, batch, cross_validated
from tunesmith.compilers._demos import closed_labels, draw
from tunesmith.compilers._effort import Effort
from tunesmith.compilers._options import option
from tunesmith.compilers.compiler import Compiler
from tunesmith.compilers.few_shot import few_shot_candidate
from tunesmith.data import Dataset
from tunesmith.errors import FormatError, UsageError
from tunesmith.evaluation import Row
from tunesmith.formats import LABEL_LOGPROBS, carries, gives_label_logprobs, scored_format
from tunesmith.lm import LM, as_lm
from tunesmith.modules import Candidate, Module
from tunesmith.signatures import Example, Signature, field_names, render_text

if TYPE_CHECKING:
    from tunesmith.compilers._search import Search

__all__ = ["Calibrate", "calibrated", "scored"]

_CONTENT_FREE = ("N/A", "[MASK]", "")


@dataclass(frozen=True)
class Calibrate(Compiler):
    """Score labels by their log-probabilities and learn an offset for each (Zhao et al. 2021; Zhou et al. 2023).

    Demos and prompts bias a small model towards a label; an offset per label repairs most of that. The predictors with
    one closed set of labels (a Literal, an Enum or a bool as the only output) get the format `scored`: the same prompt
    as `bare`, one call, and the log-probability of each label in the reply. Tried are the program's own demos, and
    `num_candidates` drawn sets of labelled demos; each of them is scored on validation, calibrated from those replies,
    and scored again with the offsets. The second score makes no LM call unless other steps of the program depend on the
    label: the requests are the same.

    Methods: `contextual` (content-free inputs, Zhao et al., section 5; three calls more for each candidate), `batch`
    (mean over the inputs without their labels, Zhou et al., section 3), `likelihood` and `fitted` (from the validation
    labels: a prior correction, and the most right labels). `auto` takes the one with the best 5-fold cross-validated
    share of right labels, and no offsets unless that is better. Differences from the papers: offsets are added to
    log-probabilities, which is the papers' division of probabilities; and they are learned for each predictor of a
    program, each from its own replies.

    Cost: `(2 + num_candidates) * val` runs of the program, the program as given included; calibrating costs none.

    Args: its options are in `docs/compilers.md`; the others as `Compiler`.

    Example:
        >>> import tunesmith as ts
        >>> compiler = ts.Calibrate(metric=ts.metrics.exact_match("label"), num_candidates=2)
        >>> compiler.plan(train=10, val=20)["calls"]
        {'expected': 80, 'worst': 80}
    """

    method: str = option(
        "auto",
        "How offsets are learned; `auto` takes the best by cross-validation on the labels of validation.",
        choices=("auto", "contextual", *METHODS),
    )
    num_candidates: int = option(4, "Drawn sets of labelled demos, besides the program's own demos.", low=0)
    max_labeled_demos: int = option(8, "The most labelled demos of a set.", low=1)
    folds: int = option(5, "Parts of validation for the cross-validation of `auto`.", low=2)

    def search(self, search: "Search") -> None:
        """Score each set of demos, then the same with offsets."""
        for number, (candidate, origin) in enumerate(self._uncalibrated(search)):
            room = search.room()
            if number and room is not None and room < search.size - search.seen(candidate):
                search.note(f"The budget has no room for further sets of demos: {number} were tried.")
                return
            rows = search.score(candidate, origin=origin).rows
            if not any(step.outputs.get(LABEL_LOGPROBS) for row in rows for step in row.steps):
                search.note(f"There are no log-probabilities of labels in the replies to `{origin}`: not calibrated.")
            for better, where in self._variants(search, candidate):
                search.score(better, origin=f"{origin}, calibrated{where}")

    def effort(self, *, train: int, calls: float) -> Effort:
        """Return the sets of demos; a calibrated one makes no further call."""
        count = 1 + self.num_candidates
        runs = len(_CONTENT_FREE) * count if self.method == "contextual" else 0
        return Effort(candidates=count, runs=runs, most_runs=runs)

    def check(self, program: Module, train: Dataset) -> None:
        """Refuse a program without a predictor that chooses one of a few labels."""
        if not _formats(program):
            raise UsageError(
                "Nothing can be calibrated: no predictor of the program has a closed set of labels as its only output. "
                'Declare it as a Literal, an Enum or a bool, as in `topic: Literal["room", "food"]`, in a '
                "predictor of its own, or use another compiler."
            )

    def check_model(self, program: Module, lm: LM) -> None:
        """Refuse a model that reports no log-probabilities."""
        predictors = dict(program.named_predictors())
        for path in _formats(program):
            model = lm if predictors[path].lm is None else as_lm(predictors[path].lm)
            if model.capabilities.logprobs < 2:
                raise UsageError(
                    f"Calibration needs the log-probabilities of labels, and {model.model!r} reports none. Use "
                    "`embedded`, `gguf:<path>`, Ollama from 0.12.11 or vLLM, or another compiler."
                )

    def longest(self, program: Module, examples: Sequence[Example]) -> Candidate:
        """Return the program with the most labelled demos."""
        return few_shot_candidate(program, examples, self.max_labeled_demos, self.seed)

    def _uncalibrated(self, search: "Search") -> Iterator[tuple[Candidate, str]]:
        """Yield the program as given in the format that scores labels, and the same with drawn demos."""
        base = scored(search, search.base)
        yield base, "labels scored"
        pools = {path: search.labelled(path) for path in search.demo_paths}
        for number in range(self.num_candidates):
            candidate, rng = base, search.rng(f"demos {number}")
            for path, pool in pools.items():
                signature, name = search.signature(path), base.parts[path].format
                kept = [demo for demo in pool.demos if name is None or carries(name, signature, (demo,))]
                count = _size(signature, number, self.max_labeled_demos)
                candidate = candidate.with_part(path, demos=draw(signature, kept, count, rng), offsets={})
            if candidate != base:
                yield candidate, f"labels scored, demo set {number + 1}"

    def _variants(self, search: "Search", candidate: Candidate) -> Iterator[tuple[Candidate, str]]:
        """Yield the candidate with offsets everywhere, and if there are several predictors, at each of them alone."""
        paths = tuple(_paths(search))
        for some in [paths, *([(path,) for path in paths] if len(paths) > 1 else [])]:
            better = self._calibrated(search, candidate, some)
            if better is not None:
                yield better, "" if some == paths else f" at `{some[0]}` alone"

    def _calibrated(self, search: "Search", candidate: Candidate, paths: Sequence[str]) -> Candidate | None:
        if self.method != "contextual":
            return calibrated(search, candidate, method=self.method, folds=self.folds, paths=paths)
        examples = _content_free(search)
        rows = search.runner(candidate, metric=_unjudged, steps=True).run(examples, slots=self.slots).rows
        replies = {path: _replies(search, path, examples, rows) for path in paths}
        return _with_offsets(candidate, {path: batch(found) for path, found in replies.items() if found})


def scored(search: "Search", candidate: Candidate, *, only: str | None = None) -> Candidate:
    """Return `candidate` with the format that scores labels at every predictor with one closed set of labels.

    Args:
        search: the compile.
        candidate: any.
        only: the format that is replaced; default every one that scores none.
    """
    for path, name in _paths(search).items():
        now = candidate.parts[path].format
        if not gives_label_logprobs(now) and only in (None, now):
            candidate = candidate.with_part(path, format=name)
    return candidate


def calibrated(
    search: "Search",
    candidate: Candidate,
    *,
    method: str = "auto",
    folds: int = 5,
    paths: Sequence[str] | None = None,
) -> Candidate | None:
    """Return `candidate` with offsets learned from the validation rows that it was scored on. Makes no LM call.

    Scoring what it returns makes none either, unless other steps depend on the label: its requests are those of
    `candidate`.

    Args:
        search: the compile.
        candidate: was scored with `search.score` or `search.race`, on some examples at least, in a format that scores
            labels: see `scored`.
        method: `auto`, or a name of `METHODS`.
        folds: of the cross-validation of `auto`.
        paths: the predictors that get offsets; default all.

    Returns:
        `None` if no offsets are better than none, or there are no log-probabilities to learn from.
    """
    seen = search.seen(candidate)
    if not seen:
        return None
    rows, learned = search.score(candidate, seen).rows, dict[str, Offsets]()
    for path in _paths(search) if paths is None else paths:
        replies = _replies(search, path, search.val[:seen], rows)
        if replies:
            learned[path] = _learned(replies, method, folds)
    return _with_offsets(candidate, learned)


def _learned(rows: Sequence[Scored], method: str, folds: int) -> Offsets:
    """Return offsets, empty if none are better."""
    known = [row for row in rows if row.label is not None]
    if method != "auto":
        needed = rows if method == "batch" else known
        return METHODS[method](needed) if needed else {}
    if len(known) < 2 * folds:
        return batch(rows)
    best, learn = cross_validated(lambda _: {}, known, folds), None
    for one in METHODS.values():
        count = cross_validated(one, known, folds)
        if count > best:
            best, learn = count, one
    return {} if learn is None else learn(known)


def _with_offsets(candidate: Candidate, learned: Mapping[str, Offsets]) -> Candidate | None:
    found = candidate
    for path, offsets in learned.items():
        if any(offsets.values()):
            found = found.with_part(path, offsets=offsets)
    return None if found == candidate else found


def _paths(search: "Search") -> dict[str, str]:
    """Return the predictors that may be calibrated, each with the format that scores its labels."""
    return {path: name for path, name in _formats(search.job.program).items() if path in search.format_paths}


def _formats(program: Module) -> dict[str, str]:
    """Return the format that scores the labels of each predictor that has a closed set of them."""
    found = {path: scored_format(predictor.signature) for path, predictor in program.named_predictors()}
    return {path: name for path, name in found.items() if name is not None}


def _replies(search: "Search", path: str, examples: Sequence[Example], rows: Sequence[Row]) -> list[Scored]:
    """Return the replies to one predictor. The label of an example is that of its only reply."""
    signature = search.signature(path)
    found = []
    for example, row in zip(examples, rows, strict=True):
        steps = [step.outputs for step in row.steps if step.predictor == path and step.outputs.get(LABEL_LOGPROBS)]
        label = _label(signature, example) if len(steps) == 1 else None
        found += [Scored(outputs[LABEL_LOGPROBS], label) for outputs in steps]
    return found


def _label(signature: type[Signature], example: Example) -> str | None:
    """Return the text of the example's label, `None` if it has none."""
    (name,) = field_names(signature).outputs
    if name not in example or name in (example._input_keys or ()):
        return None
    try:
        return render_text(signature, name, example[name])
    except FormatError:
        return None


def _content_free(search: "Search") -> list[Example]:
    """Return examples whose texts say nothing; other inputs are those of a training example."""
    given = dict(search.train[0].inputs().items())
    return [
        Example(**{name: text if isinstance(value, str) else value for name, value in given.items()}).with_inputs(
            *given
        )
        for text in _CONTENT_FREE
    ]


def _unjudged(example: Example, prediction: Any, trace: Any = None) -> float:
    """Judge nothing: content-free inputs have no right answer."""
    return 0.0


def _size(signature: type[Signature], number: int, most: int) -> int:
    """Return the number of demos of set `number`: one per label, then twice as many, and so on, in turn."""
    closed = closed_labels(signature)
    step = 1 if closed is None else len(closed[1])
    sizes = [step << power for power in range(8) if step << power <= most] or [most]
    return sizes[number % len(sizes)]
