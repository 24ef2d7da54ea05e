"""`judge`: an LM that judges one prediction. It is a program itself, so it can be compiled, cached and measured."""

from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any, ClassVar, Literal

from tunesmith.data import Score, content_key
from tunesmith.errors import MetricError, UsageError, shown
from tunesmith.lm import LM, BaseLM, as_lm, role
from tunesmith.metrics.baseline import Baseline, Opponent, baseline_of, is_absence, shown_text
from tunesmith.metrics.metric import judgement, metric_fingerprint
from tunesmith.metrics.values import label_of, missing
from tunesmith.modules import Candidate, Module, Predict, Prediction, context, copy_program
from tunesmith.signatures import Example, InputField, OutputField, Signature

__all__ = ["Judge", "judge", "judges_used"]

_ORDERS = ("first", "second")
_USED: ContextVar[dict[int, "Judge"] | None] = ContextVar("tunesmith_judges_used", default=None)


class Judge(Module):
    """The metric that `judge` makes; also a program with one predictor, `verdict`.

    Called with an example and a prediction, it is a metric and returns a `Score`. Called with its own inputs (`task`,
    an optional `reference`, and `answer`, or `first` and `second`), it is a program and returns a prediction with
    `verdict` and an optional `reason`. So a compiler can search its instruction, demos and format on examples that
    `labelled` makes.

    Attributes:
        criteria, output, reference, scale, pairwise: as given to `judge`.
        measured: the result of `evaluation.agreement` as JSON values; `None` before a measurement.
    """

    metric_version: ClassVar[int] = 1

    def __init__(
        self,
        criteria: str,
        *,
        output: str | None,
        reference: str | None,
        opponent: Opponent | None,
        pairwise: bool,
        scale: int | None,
        reason: bool,
        lm: BaseLM | None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.criteria, self.output, self.reference = criteria, output, reference
        self.pairwise, self.scale = pairwise, scale
        self._opponent = opponent
        self.measured: Mapping[str, Any] | None = None
        self.verdict = Predict(_signature(criteria, pairwise, reference is not None, scale, reason))
        if lm is not None:
            self.verdict.lm = as_lm(lm)

    @property
    def metric_name(self) -> str:
        """The name for reports."""
        kind = "pairwise_judge" if self.pairwise else "judge"
        return kind if self.output is None else f"{kind}({self.output[:60]})"

    @property
    def inputs(self) -> tuple[str, ...]:
        """The judge's own inputs as a program."""
        question = ("task",) if self.reference is None else ("task", "reference")
        return (*question, *(_ORDERS if self.pairwise else ("answer",)))

    @property
    def verdicts(self) -> tuple[Any, ...]:
        """The possible verdicts."""
        return _verdicts(self.pairwise, self.scale)

    def metric_identity(self) -> Any:
        """Return the judge's identity: its question, instruction, demos, format, model and baseline."""
        with context(adapter=None):  # the caller's adapter is not part of the identity
            candidate = Candidate.of(self).to_json()
        model = _model(self.verdict.lm)
        settings = [self.criteria, self.output, self.reference, self.pairwise, self.scale]
        opponent = None if self._opponent is None else self._opponent.key
        return ["judge", self.metric_version, settings, candidate, model, opponent]

    @property
    def is_measured(self) -> bool:
        """Whether agreement with labels was measured for the judge in its present form, under any model."""
        return self.measured is not None and self.measured.get("judge") == metric_fingerprint(self.alone())

    def is_measured_under(self, lm: BaseLM) -> bool:
        """Return whether `is_measured` holds for the judge's own model, or for `lm` if the judge has none."""
        return self.is_measured and (self.measured or {}).get("model") == self.model_key(lm)

    def model_key(self, lm: BaseLM) -> str:
        """Return the key of the model that answers (the judge's own, else `lm`) and of its request options."""
        return content_key(_model(self.verdict.lm or lm))

    def remember(self, agreement: Mapping[str, Any]) -> None:
        """Store the result of `evaluation.agreement`, as its `to_json()` returns it.

        Raises:
            UsageError: it was measured for another judge, or before this judge was changed.
        """
        if not isinstance(agreement, Mapping):
            raise UsageError(
                "`remember` takes a mapping: `to_json()` of the result of `evaluation.agreement`. "
                f"Given: {shown(agreement)}."
            )
        if agreement.get("judge") != metric_fingerprint(self.alone()):
            raise UsageError(
                "This agreement was measured for another judge, or before this one was changed. "
                "Measure it again with `evaluation.agreement(judge, labelled)`."
            )
        self.measured = dict(agreement)

    def alone(self) -> "Judge":
        """Return the judge without its baseline; its verdicts stay the same."""
        if self._opponent is None:
            return self
        return self._with(None)

    def against(self, baseline: Baseline) -> "Judge":
        """Return a pairwise judge with another baseline; see `judge`.

        Raises:
            UsageError: the judge does not compare pairs, or `baseline` is not a baseline.
        """
        if not self.pairwise:
            raise UsageError("This judge rates one output at a time. Make a judge with `pairwise=True`.")
        return self._with(baseline_of(baseline))

    def under(self, lm: BaseLM) -> "Judge":
        """Return the judge under the model `lm`; a judge with a model of its own keeps it."""
        if self.verdict.lm is not None:
            return self
        copied = self._with(self._opponent)
        verdict: Any = copy_program(self.verdict)
        verdict.lm = as_lm(lm)
        copied.verdict = verdict
        return copied

    def _with(self, opponent: Opponent | None) -> "Judge":
        copied: Judge = object.__new__(type(self))
        copied.__dict__.update(self.__dict__)
        copied._opponent = opponent
        return copied

    def labelled(self, example: Example, *outputs: Any, verdict: Any) -> Example:
        """Return an example for this judge as a program, with the verdict it should reach.

        Args:
            example: an example of the judged program, with inputs marked and with the reference if the judge uses one.
            *outputs: the output to judge, or the first and the second; predictions, mappings or text.
            verdict: `good` or `bad`, a number of the scale, or `first` or `second`.

        Raises:
            UsageError: the number of outputs is wrong, or the verdict is unknown.
            MetricError: the example lacks the reference, or an output lacks its field.
        """
        names = _ORDERS if self.pairwise else ("answer",)
        if len(outputs) != len(names):
            raise UsageError(f"This judge takes {len(names)} outputs. Given: {len(outputs)}.")
        if verdict not in self.verdicts:
            raise UsageError(f"`verdict` must be one of {', '.join(map(str, self.verdicts))}. Given: {shown(verdict)}.")
        inputs = self._question(example)
        for name, output in zip(names, outputs, strict=True):
            text = shown_text(output, self.output)
            if text is None:
                named = "" if self.output is None else f" `{self.output}`"
                raise MetricError(f"There is no output{named} to judge. Given: {shown(output)}.")
            inputs[name] = text
        return Example(**inputs, verdict=verdict).with_inputs(*inputs)

    def forward(
        self,
        example: Any = None,
        prediction: Any = None,
        trace: Any = None,
        pred_name: Any = None,
        pred_trace: Any = None,
        **fields: Any,
    ) -> Any:
        """Judge a prediction, or return the verdict on the judge's own inputs; called by `__call__`.

        Raises:
            MetricError: the judge failed, or the example cannot be judged.
        """
        if example is None and prediction is None:
            return self.verdict(**fields)
        used = _USED.get()
        if used is not None:
            used[id(self)] = self
        text = shown_text(prediction, self.output)
        if text is None:
            return judgement(missing(self.output or "output", prediction), pred_name)
        question = self._question(example)
        score = self._compared(example, question, text) if self.pairwise else self._single(question, text)
        return judgement(score, pred_name)

    async def aforward(self, **fields: Any) -> Prediction:
        """Return the verdict on the judge's own inputs."""
        found: Prediction = await self.verdict.acall(**fields)  # type: ignore[no-untyped-call]
        return found

    def _question(self, example: Any) -> dict[str, Any]:
        if not isinstance(example, Example):
            raise MetricError(f"A metric judges an example. Given: {shown(example)}.")
        try:
            inputs = dict(example.inputs().items())
        except ValueError as error:
            raise MetricError(
                "The example does not say which fields are its inputs. Call `with_inputs(...)` on it."
            ) from error
        task = shown_text(inputs)
        question = {"task": "" if task is None else task}
        if self.reference is not None:
            reference = shown_text({self.reference: label_of(example, self.reference)})
            question["reference"] = "" if reference is None else reference
        return question

    def _single(self, question: dict[str, Any], text: str) -> Score:
        found = self._ask(**question, answer=text)
        verdict = found.verdict
        value = float(verdict == "good") if self.scale is None else (verdict - 1) / (self.scale - 1)
        return Score(value, _words(f"judged {verdict}", found))

    def _compared(self, example: Example, question: dict[str, Any], text: str) -> Score:
        if self._opponent is None:
            raise UsageError("This judge compares two outputs and has no baseline. Call `against(baseline)` first.")
        try:
            other = shown_text(self._opponent.find(example), self.output)
        except MetricError:
            raise
        except Exception as error:
            if is_absence(error):
                raise
            return Score(1.0, f"the baseline failed: {error}"[:500])
        if other is None:
            return Score(1.0, "the baseline has no output")
        if other == text:
            return Score(0.5, "equal to the baseline's output")
        one, swapped = self._ask(**question, first=text, second=other), self._ask(**question, first=other, second=text)
        value = ((one.verdict == "first") + (swapped.verdict == "second")) / 2
        says = {1.0: "preferred to the baseline", 0.5: "a tie: the order decides", 0.0: "the baseline is preferred"}
        return Score(value, _words(says[value], one, swapped))

    def _ask(self, **fields: Any) -> Prediction:
        try:
            with role("judge"), context(trace=None, send_stream=None):
                return self.verdict(**fields)
        except Exception as error:
            if is_absence(error):
                raise
            raise MetricError(f"The judge failed: {type(error).__name__}: {error}") from error


def judge(
    criteria: str,
    *,
    output: str | None = None,
    reference: str | None = None,
    baseline: Baseline | None = None,
    pairwise: bool | None = None,
    scale: int | None = None,
    reason: bool = False,
    lm: BaseLM | None = None,
) -> Judge:
    """Return a metric that asks a model whether an output meets `criteria`.

    A single output is rated `good` or `bad` (1 or 0), or on a scale that is mapped to 0 to 1 (Liu et al. 2023,
    "G-Eval", without the weighting by token probabilities). A pairwise judge compares the output with the baseline's
    output on the same example, in both orders, because models prefer a position (Zheng et al. 2023, "Judging
    LLM-as-a-Judge", section 3.4). Preferred both times is 1, once is 0.5, never is 0. Equal outputs are 0.5, without a
    call. If the baseline fails on the example, the score is 1.

    If the judge fails (a reply that does not parse, a prompt that does not fit), the metric raises; it never returns
    0 for it. Its calls count under the role `judge`. `evaluation.agreement` measures how far to trust a judge.

    Args:
        criteria: what makes an output good, in words. It is part of the instruction, which a compiler may change.
        output: the field to judge; default the prediction's only field, or all fields.
        reference: the example's field with a right answer; default none.
        baseline: the output to compare with: a program (run under the same model), outputs by example key, a function
            of the example, or the name of a field of the example.
        pairwise: whether to compare two outputs; default `True` with a baseline.
        scale: the highest rating, from 1; default `good` or `bad`.
        reason: whether the judge explains itself first; the explanation becomes the score's feedback.
        lm: the judge's own model; default the model that the program runs under.

    Raises:
        UsageError: no criteria, a scale below 2 or above 100, a scale for pairs, a baseline for single outputs, or an
            `lm` that is not an LM.

    Example:
        >>> import dspy
        >>> import tunesmith as ts
        >>> polite = ts.metrics.judge("It is polite.", lm=ts.ScriptedLM("good"))
        >>> polite(dspy.Example(text="Hello?").with_inputs("text"), dspy.Prediction(answer="Good morning!")).value
        1.0
    """
    if not isinstance(criteria, str) or not criteria.strip():
        raise UsageError(f"`criteria` must say in words what makes an output good. Given: {shown(criteria)}.")
    for name, value in (("output", output), ("reference", reference)):
        if value is not None and (not isinstance(value, str) or not value):
            raise UsageError(f"`{name}` must be the name of a field. Given: {shown(value)}.")
    for name, flag in (("pairwise", pairwise), ("reason", reason)):
        if flag is not None and not isinstance(flag, bool):
            raise UsageError(f"`{name}` must be True or False. Given: {shown(flag)}.")
    if lm is not None and not isinstance(lm, BaseLM):
        raise UsageError(f"`lm` must be an LM, such as `ts.lm('embedded')`. Given: {shown(lm)}.")
    pairs = baseline is not None if pairwise is None else pairwise
    if baseline is not None and not pairs:
        raise UsageError("A judge with a baseline compares pairs. Leave `pairwise` out, or the baseline.")
    if scale is not None and (pairs or isinstance(scale, bool) or not isinstance(scale, int) or not 2 <= scale <= 100):
        raise UsageError(f"`scale` must be a whole number from 2 to 100, for single outputs. Given: {shown(scale)}.")
    return Judge(
        criteria,
        output=output,
        reference=reference,
        opponent=None if baseline is None else baseline_of(baseline),
        pairwise=pairs,
        scale=scale,
        reason=reason,
        lm=lm,
    )


class judges_used:  # noqa: N801 - used as a function in a `with`
    """Collect, by `id`, every judge that is used inside the block, also as a part of another metric."""

    __slots__ = ("_token",)

    def __enter__(self) -> dict[int, Judge]:
        used: dict[int, Judge] = {}
        self._token = _USED.set(used)
        return used

    def __exit__(self, *problem: object) -> None:
        _USED.reset(self._token)


def _model(lm: Any) -> Any:
    return [lm.identity.to_json(), repr(sorted(lm.kwargs.items()))] if isinstance(lm, LM) else None


def _verdicts(pairwise: bool, scale: int | None) -> tuple[Any, ...]:  # noqa: FBT001
    if pairwise:
        return _ORDERS
    return ("good", "bad") if scale is None else tuple(range(1, scale + 1))


def _signature(criteria: str, pairwise: bool, reference: bool, scale: int | None, reason: bool) -> type[Signature]:  # noqa: FBT001
    fields: dict[str, Any] = {"task": (str, InputField())}
    if reference:
        fields["reference"] = (str, InputField(desc="a right answer"))
    for name in _ORDERS if pairwise else ("answer",):
        fields[name] = (str, InputField())
    if reason:
        fields["reason"] = (str, OutputField(desc="why, in one sentence", max_length=500))
    fields["verdict"] = (Literal[_verdicts(pairwise, scale)], OutputField())
    if pairwise:
        question = "Two answers to the task are given, the first and the second. Say which one is better."
    elif scale is None:
        question = "Say whether the answer to the task is good or bad."
    else:
        question = f"Rate the answer to the task from 1 (worst) to {scale} (best)."
    found: type[Signature] = Signature(fields, f"{question}\nWhat counts: {criteria.strip()}")  # type: ignore[assignment,call-arg]
    return found


def _words(verdict: str, *found: Prediction) -> str:
    reasons = [str(one.reason) for one in found if "reason" in one]
    return ": ".join([verdict, " / ".join(reasons)]) if reasons else verdict
