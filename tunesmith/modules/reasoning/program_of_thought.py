"""`ProgramOfThought`: the model writes a program, and running it gives the answer."""

import asyncio
from collections import Counter
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tunesmith.data import normalize_text
from tunesmith.errors import ContextOverflow, ParseError, UsageError, shown
from tunesmith.lm import BaseLM
from tunesmith.modules.flow import Call, Flow, Steps, until_budget
from tunesmith.modules.module import (
    DspyChainOfThought,
    DspyPredict,
    Module,
    Prediction,
    as_signature,
    settings,
    signature_of,
)
from tunesmith.modules.predict import ChainOfThought, Predict
from tunesmith.modules.reasoning.python_subset import hint_for, prepared, rules_of
from tunesmith.modules.reasoning.rollouts import MOST_ROLLOUTS, rolled
from tunesmith.modules.reasoning.sandbox import Limits, Ran, check_sandbox, run_python
from tunesmith.modules.registry import register_module
from tunesmith.modules.setting import Setting
from tunesmith.signatures import (
    InputField,
    OutputField,
    Signature,
    field_names,
    input_types,
    is_generated,
    output_types,
    parse_text,
    to_json_value,
    type_text,
)

__all__ = ["ProgramOfThought"]

_REASONING = "reasoning"
_ADDED = ("program", "failed", "error", "confidence", "attempts", "stopped")
_REPAIR = "The program `failed` with the error. Write it again so that it works."


@register_module
class ProgramOfThought(Flow):
    r"""Have the model write a Python program, and run it for the answer.

    PAL (Gao et al. 2022, arXiv 2211.10435, section 3) and Program of Thoughts (Chen et al. 2022, arXiv 2211.12588).
    Differences: the program runs in pydantic-monty under limits, never in this process; the prompt says which Python
    runs there; a program that fails is written again with its error; several programs vote; if none works, `step`
    answers by chain of thought.

    Returns the output with four more fields: `program`, the reply that gave it (`None` if `step` answered);
    `confidence`, its share of the programs' votes, from 0 to 1; `attempts`, of each program its text, answer and error;
    `stopped`, `programs` if they answered, `fallback` if `step` did, and `budget` if the budget ended after a program
    that works.
    The trace holds only the call that wrote the chosen program, so that a program that failed never becomes a demo.

    The sandbox is a separate process and interpreter without files, network and environment. It is not a promise of
    security: do not give it data that a program must not learn.

    Args:
        step: a signature with one output, such as `"question -> answer: float"`, or a `ts.ChainOfThought` or
            `ts.Predict` with one, which answers if no program works.
        programs: number of programs, from 1 to 1000.
        retries: how often a program that failed is written again.
        temperature: of the programs, if there are several.
        fallback: whether `step` answers if no program works.
        seconds: time that a program may run.
        megabytes: memory that a program may use.

    Raises:
        UsageError: the signature cannot be used; at a call, the `pal` extra is not installed.
        ParseError: no program works, and `fallback` is off.

    Example:
        >>> import dspy
        >>> import tunesmith as ts
        >>> program = ts.ProgramOfThought("question -> answer: int")
        >>> with dspy.context(lm=ts.ScriptedLM("def solution():\n    return 23 - 5 * 3")):
        ...     program(question="I have 23 dollars and buy 5 bagels at 3 dollars. How many are left?").answer
        8
    """

    programs: int = Setting(1, choices=(1, 3, 5), low=1, high=MOST_ROLLOUTS, help="number of programs that vote")
    retries: int = Setting(1, choices=(0, 1, 2), low=0, high=10, help="how often a failed program is written again")
    temperature: float = Setting(0.7, low=0.0, high=2.0, help="temperature of several programs")
    fallback: bool = Setting(default=True, help="whether the step answers if no program works")
    seconds: float = Setting(2.0, low=0.5, high=60.0, help="time that a program may run")
    megabytes: int = Setting(64, low=16, high=1024, help="memory that a program may use")

    def __init__(
        self,
        step: Any,
        programs: int = 1,
        retries: int = 1,
        temperature: float = 0.7,
        *,
        fallback: bool = True,
        seconds: float = 2.0,
        megabytes: int = 64,
    ) -> None:
        super().__init__()
        self.programs, self.retries, self.temperature = programs, retries, temperature
        self.fallback, self.seconds, self.megabytes = fallback, seconds, megabytes
        answers: Any = step if isinstance(step, Module) else ChainOfThought(as_signature(step))
        if not isinstance(answers, DspyPredict | DspyChainOfThought):
            raise UsageError(f"`step` must be a signature, `ts.ChainOfThought` or `ts.Predict`. Given: {shown(step)}.")
        predictor: DspyPredict = answers if isinstance(answers, DspyPredict) else answers.predict
        self._signature = _checked(signature_of(predictor))
        self.write = Predict(_writing(self._signature))
        self.repair = Predict(_repairing(self._signature))
        self.step: Any = answers

    def spec(self) -> Mapping[str, Any]:
        """Return the constructor's arguments except the settings."""
        return {"step": self.step}

    def calls(self) -> Mapping[str, int]:
        """Return how often one run runs each inner module at the most: it is `programs` calls if all work at once."""
        return {"write": self.programs, "repair": self.programs * self.retries, "step": int(self.fallback)}

    def steps(self, **inputs: Any) -> Steps:
        """Write and run programs until there are enough."""
        check_sandbox()
        attempts: list[_Attempt] = []
        worked: list[_Attempt] = []
        stopped = yield from until_budget(self._programs(inputs, attempts, worked), worked)
        chosen, votes = _vote(worked)
        shared: dict[str, Any] = {"attempts": [one.shown() for one in attempts]}
        if chosen is None:
            if not self.fallback:
                raise ParseError(
                    f"No program gave an answer. {attempts[-1].error}", reason="invalid", raw=attempts[-1].program
                )
            found = yield self._asked(self.step, inputs, settings.trace)
            return Prediction(**dict(found.items()), program=None, confidence=0.0, **shared, stopped="fallback")
        if settings.trace is not None:
            settings.trace.extend(chosen.trace)
        name = field_names(self._signature).outputs[0]
        confidence = votes / len(attempts)
        values = {name: chosen.answer, "program": chosen.program, "confidence": confidence, **shared}
        return Prediction(**values, stopped=stopped)

    def _programs(
        self, inputs: Mapping[str, Any], attempts: list["_Attempt"], worked: list["_Attempt"]
    ) -> Generator[Call, Any, str]:
        """Fill `attempts`, and `worked` with those that gave an answer; return why they end."""
        for number in range(self.programs):
            attempt = yield from self._attempt(inputs, number)
            attempts.append(attempt)
            worked += [attempt] if attempt.error is None else []
        return "programs"

    def _attempt(self, inputs: Mapping[str, Any], number: int) -> "Generator[Call, Any, _Attempt]":
        """Write one program, and write it again while it fails."""
        attempt = _Attempt()
        predictor, given = self.write, dict(inputs)
        limits = Limits(seconds=self.seconds, megabytes=self.megabytes)
        for _ in range(1 + self.retries):
            trace: list[Any] | None = None if settings.trace is None else []
            try:
                found = yield self._asked(predictor, given, trace, None if self.programs == 1 else number)
            except (ParseError, ContextOverflow) as error:
                return replace(attempt, error=attempt.error or str(error))
            attempt = yield Call(_Run(self._signature, str(found.program), inputs, limits), {})
            if attempt.error is None:
                return replace(attempt, trace=trace or [])
            predictor, given = self.repair, {**inputs, "failed": attempt.program, "error": attempt.error}
        return attempt

    def _asked(
        self, predictor: Any, inputs: Mapping[str, Any], trace: list[Any] | None, draw: int | None = None
    ) -> Call:
        """Return the call of a predictor that writes to `trace`; with `draw`, as that rollout of its LM."""

        def drawn(lm: BaseLM | None) -> BaseLM | None:
            return lm if lm is None or draw is None else rolled(lm, draw, self.temperature)

        own = getattr(predictor, "lm", None)
        given = inputs if own is None or draw is None else {**inputs, "lm": drawn(own)}
        return Call(predictor, given, {"lm": drawn(settings.lm), "trace": trace})


@dataclass(frozen=True, slots=True)
class _Attempt:
    """One program: its text, and its typed answer or its last error."""

    program: str = ""
    answer: Any = None
    error: str | None = None
    trace: Sequence[Any] = ()

    def shown(self) -> dict[str, Any]:
        return {"program": self.program, "answer": self.answer, "error": self.error}


@dataclass(frozen=True, slots=True)
class _Run:
    """A run of a program, called as a module is."""

    signature: type[Signature]
    program: str
    inputs: Mapping[str, Any]
    limits: Limits

    async def acall(self) -> _Attempt:
        """Run the program in a thread: others of the event loop go on."""
        return await asyncio.to_thread(self)

    def __call__(self) -> _Attempt:
        """Run the program and read its answer."""
        ready = prepared(self.program, self.inputs)
        if ready.error is not None:
            return _Attempt(self.program, error=ready.error)
        ran = run_python(ready.code, ready.answer, _variables(self.inputs), self.limits)
        if ran.error is not None:
            return _Attempt(self.program, error=f"{ran.error}\n{hint_for(ran.error)}".strip())
        name = field_names(self.signature).outputs[0]
        text = _answer_text(ran)
        if text is None:
            return _Attempt(self.program, error="The program gave no answer. `solution()` must return it.")
        try:
            return _Attempt(self.program, parse_text(self.signature, name, text, raw=text))
        except ParseError as error:
            return _Attempt(self.program, error=f"`solution()` returned a wrong answer. {error.problem}")


def _answer_text(ran: Ran) -> str | None:
    """Return the answer, or the last line printed if there is none. A whole float is an integer; noise is cut."""
    if ran.kind == "none" or not ran.answer.strip():
        lines = ran.printed.split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), None)
    if ran.kind != "float":
        return ran.answer
    number = float(ran.answer)
    if abs(number) < 1e15 and number == int(number):
        return str(int(number))
    return repr(float(f"{number:.12g}"))


def _variables(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the inputs that a program can have as variables."""
    found = {}
    for name, value in inputs.items():
        try:
            found[name] = to_json_value(value)
        except (TypeError, ValueError):  # an input of any class, such as an image
            continue
    return found


def _vote(worked: Sequence[_Attempt]) -> tuple[_Attempt | None, int]:
    """Return the first of some programs that work with the most frequent answer, and its votes; `None` of none."""
    if not worked:
        return None, 0
    answers = [_comparable(one.answer) for one in worked]
    answer, votes = Counter(answers).most_common(1)[0]  # the earliest one of a tie
    return worked[answers.index(answer)], votes


def _comparable(answer: Any) -> str:
    """Return the answer as a text that is equal for equal answers. Numbers are equal to nine digits."""
    try:
        return f"{float(answer):.9g}"
    except (TypeError, ValueError, OverflowError):
        pass
    text = answer if isinstance(answer, str) else repr(to_json_value(answer))
    return normalize_text(text) or text


def _checked(signature: type[Signature]) -> type[Signature]:
    """Return the signature without the reasoning that a chain of thought adds.

    Raises:
        UsageError: it has not one output, or a name that the module adds.
    """
    own = signature.delete(_REASONING) if _REASONING in signature.output_fields else signature
    names = field_names(own)
    taken = [name for name in _ADDED if name in (*names.inputs, *names.outputs)]
    if len(names.outputs) != 1 or taken:
        raise UsageError(
            "The signature must have one output and no field called " + ", ".join(_ADDED) + ". Its fields are: "
            f"{', '.join(names.inputs)} -> {', '.join(names.outputs)}."
        )
    return own


def _writing(signature: type[Signature]) -> type[Signature]:
    """Return the signature of the step that writes a program."""
    name = field_names(signature).outputs[0]
    own = "" if is_generated(signature, signature.instructions) else f"{signature.instructions}\n\n"
    variables = [f"`{one}`" for one, kind in input_types(signature).items() if kind is not str]
    given = f" The program has the variables {', '.join(variables)}." if variables else ""
    made: Any = signature.delete(name).append("program", OutputField(), str)
    kind = output_types(signature)[name]
    what = f"`{name}`" if kind is str else f"`{name}` ({type_text(kind)})"
    found: type[Signature] = made.with_instructions(f"{own}{rules_of(what)}{given}")
    return found


def _repairing(signature: type[Signature]) -> type[Signature]:
    """Return the signature of the step that writes a program again."""
    writing = _writing(signature)
    made: Any = writing.delete("program").append("failed", InputField(), str)
    made = made.append("error", InputField(), str).append("program", OutputField(), str)
    found: type[Signature] = made.with_instructions(f"{writing.instructions}\n\n{_REPAIR}")
    return found
