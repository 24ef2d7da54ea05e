"""`ReAct`: think, call a tool, read what it returned, and so on until the answer is known."""

import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import suppress
from typing import Annotated, Any, Literal, Union

from pydantic import Field, GetCoreSchemaHandler
from pydantic_core import CoreSchema
from pydantic_core.core_schema import no_info_wrap_validator_function

from tunesmith.data import canonical_json
from tunesmith.errors import BudgetExceeded, ContextOverflow, ModelMissing, ModelUnavailable, ParseError, UsageError
from tunesmith.formats import OFFERED, AdapterParseError
from tunesmith.lm import Call as LMCall
from tunesmith.modules.agents.counted import Counted, tokens_of
from tunesmith.modules.agents.tool import Tool, arguments_type, as_tool, result_text, typed_dict
from tunesmith.modules.agents.trajectory import ToolStep, cut_text, trajectory_text
from tunesmith.modules.flow import Call, Flow, Steps
from tunesmith.modules.flows.parts import Parts
from tunesmith.modules.module import DspyPredict, Module, Prediction, as_signature
from tunesmith.modules.predict import Predict
from tunesmith.modules.registry import calls_of, register_module
from tunesmith.modules.retrieval.generate import passages_text
from tunesmith.modules.retrieval.passage import Passage
from tunesmith.modules.setting import Setting
from tunesmith.modules.step import as_text
from tunesmith.signatures import (
    InputField,
    OutputField,
    Signature,
    describe,
    field_schema,
    is_generated,
    output_types,
    parse_json,
    validate_outputs,
)

__all__ = ["FINISH", "ReAct"]

FINISH = "finish"
_TRAJECTORY, _THOUGHT, _ACTION = "trajectory", "thought", "action"
_ADDED = ("steps", "stopped")
_MOST = 300  # characters of a thought: a small model goes on until the limit of the reply
_Thought = Annotated[str, Field(max_length=_MOST)]
_HOW = (
    "Work in steps. In each step, think about what is still unknown, then call one tool. Call `finish` with the answer."
)


@register_module
class ReAct(Flow):
    """Answer with the help of tools: each step is a thought, the call of a tool, and an observation.

    Yao et al. 2023, "ReAct: Synergizing Reasoning and Acting in Language Models", section 2. The predictor `step`
    writes thought and action in one call. Its action is held to the tools: a name that exists, with arguments of its
    types, or `finish` with the outputs of `signature`. At a limit the predictor `extract` reads the answer from the
    trajectory.

    A model that calls tools by itself gets them as its tools; every other one writes the action as JSON. The steps are
    the same. `bind(program.step, "json")` has every model write JSON.

    Differences: the action is JSON, not text, and an engine is held to thoughts of 300 characters. An unknown tool,
    arguments that do not fit, an error of a tool and a reply that cannot be read are observations, and the next step
    can do better. If the trajectory does not fit the context, the model does not see its first steps.

    Returns the outputs with `steps`, a list of `ToolStep`, and `stopped`: `finish`, `max_steps`, `max_tokens` or
    `max_seconds`. One run is one call for each step, and one more at a limit; and those of a module that is a tool.

    Args:
        signature: what is asked and answered.
        tools: functions with typed parameters, `ts.Tool`s, tools of DSPy, or modules, such as a retriever or a
            `ts.RAG`, whose predictors are parts of the program. `ts.Tool(module, name, description)` names one.
        max_steps: most steps, at least 1.
        max_observation: most characters of an observation.
        max_tokens: no step begins when the steps used as many, in and out; 0 for no limit.
        max_seconds: no step begins when as many have passed; 0 for no limit.
        answer_at_limit: whether `extract` answers at a limit; if not, the outputs are `None`.
        clock: monotonic seconds.

    Raises:
        UsageError: there is no tool, two have one name, or a field has a name that the module uses.
        SignatureError: the signature cannot be used.

    Example:
        >>> import dspy
        >>> import tunesmith as ts
        >>> def capital(country: str) -> str:
        ...     '''Look up a capital.'''
        ...     return {"Norway": "Oslo"}[country]
        >>> replies = [
        ...     '{"thought": "Look it up.", "action": {"tool": "capital", "arguments": {"country": "Norway"}}}',
        ...     '{"thought": "I know.", "action": {"tool": "finish", "arguments": {"answer": "Oslo"}}}',
        ... ]
        >>> with dspy.context(lm=ts.ScriptedLM(*replies)):
        ...     found = ts.ReAct("question -> answer", tools=[capital])(question="What is the capital of Norway?")
        >>> found.answer, found.stopped, found.steps[0].observation
        ('Oslo', 'finish', 'Oslo')
    """

    max_steps: int = Setting(7, choices=(3, 5, 7), low=1, help="most steps")
    max_observation: int = Setting(1000, choices=(300, 1000), low=1, help="most characters of an observation")
    max_tokens: int = Setting(0, low=0, help="tokens after which no step begins; 0: no limit")
    max_seconds: float = Setting(0.0, low=0.0, help="seconds after which no step begins; 0: no limit")
    answer_at_limit: bool = Setting(default=True, help="whether `extract` answers at a limit")

    def __init__(
        self,
        signature: Any,
        tools: Sequence[Any],
        max_steps: int = 7,
        max_observation: int = 1000,
        max_tokens: int = 0,
        max_seconds: float = 0.0,
        *,
        answer_at_limit: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__()
        self.signature = as_signature(signature)
        self.tools = _by_name(tools)
        _check_names(self.signature)
        self.step = Predict(_step_signature(self.signature, [*self.tools.values(), _finish(self.signature)]))
        self.extract = Predict(self.signature.append(_TRAJECTORY, InputField(), str))
        self.max_steps, self.max_observation = max_steps, max_observation
        self.max_tokens, self.max_seconds = max_tokens, max_seconds
        self.answer_at_limit, self.clock = answer_at_limit, clock
        self.parts = Parts(self, "tool", _modules(self.tools), least=0)

    def spec(self) -> Mapping[str, Any]:
        """Return the constructor's arguments except the settings, as JSON: an artifact does not hold functions."""
        return {
            "signature": describe(self.signature)["fields"],
            "tools": [one.to_json() for one in self.tools.values()],
        }

    def calls(self) -> Mapping[str, int]:
        """Return how often one run runs each inner module at most."""
        dearest = sorted(self.parts.names, key=lambda name: calls_of(getattr(self, name))[0])[-1:]
        own = {"step": self.max_steps, "extract": int(self.answer_at_limit)}
        return {**own, **dict.fromkeys(dearest, self.max_steps)}

    def steps(self, **inputs: Any) -> Steps:
        """Take steps until one is `finish`, or a limit is reached."""
        done: list[ToolStep] = []
        used: list[LMCall] = []
        start = self.clock()
        while (stopped := self._limit(len(done), used, start)) is None:
            step, outputs = yield from self._next(inputs, done, used)
            done.append(step)
            if outputs is not None:
                return Prediction(**outputs, steps=done, stopped=FINISH)
        outputs = dict.fromkeys(self.signature.output_fields)
        if self.answer_at_limit:
            outputs = dict((yield from self._asked(self.extract, inputs, done, used)).items())
        return Prediction(**outputs, steps=done, stopped=stopped)

    def _limit(self, count: int, used: Sequence[LMCall], start: float) -> str | None:
        """Return the name of the limit that is reached, `None` if a step may begin."""
        if count >= self.max_steps:
            return "max_steps"
        if self.max_tokens and tokens_of(used) >= self.max_tokens:
            return "max_tokens"
        return "max_seconds" if self.max_seconds and self.clock() - start >= self.max_seconds else None

    def _asked(
        self, predictor: DspyPredict, inputs: Mapping[str, Any], done: Sequence[ToolStep], used: list[LMCall]
    ) -> Generator[Call, Any, Prediction]:
        """Ask a predictor about the steps; leave out the first ones if the context is too short."""
        asked = Counted(predictor, used) if self.max_tokens else predictor
        for first in range(len(done) + 1):
            try:
                found: Prediction = yield Call(asked, {**inputs, _TRAJECTORY: trajectory_text(done, first)})
                break
            except ContextOverflow:
                if first >= len(done) - 1:
                    raise
        return found

    def _next(
        self, inputs: Mapping[str, Any], done: Sequence[ToolStep], used: list[LMCall]
    ) -> Generator[Call, Any, tuple[ToolStep, dict[str, Any] | None]]:
        """Return the next step, and the outputs if it is a good `finish`."""
        try:
            found = yield from self._asked(self.step, inputs, done, used)
        except (ParseError, AdapterParseError) as error:
            return self._refused(error), None
        thought, tool, arguments = cut_text(str(found[_THOUGHT]), _MOST), *_parts(found[_ACTION])
        try:
            if tool == FINISH:
                outputs = validate_outputs(self.signature, arguments, raw=canonical_json(arguments))
                return self._seen(thought, tool, arguments, "The answer is given."), outputs
            called = self._tool(tool)
            result = self._read(tool, (yield Call(Counted(called, used) if self.max_tokens else called, arguments)))
        except (BudgetExceeded, ModelMissing, ModelUnavailable):
            raise
        except Exception as error:  # noqa: BLE001 - a tool may raise anything, and the model reads it
            return self._seen(thought, tool, arguments, _error_text(error), failed=True), None
        return self._seen(thought, tool, arguments, result), None

    def _refused(self, error: ParseError | AdapterParseError) -> ToolStep:
        """Return the step of a reply that cannot be used, with thought and action if it has them.

        So a call that ends at our limit of a text, such as an answer in a loop, can be seen by the model and the user.
        """
        try:
            found = parse_json(error.raw) if isinstance(error, ParseError) else None
        except ParseError:
            found = None
        if not isinstance(found, Mapping) or not isinstance(found.get(_ACTION), Mapping):
            return self._seen("", "", {}, f"Error: {error}", failed=True)
        problem = getattr(error, "problem", str(error))
        return self._seen(str(found.get(_THOUGHT, "")), *_parts(found[_ACTION]), f"Error: {problem}", failed=True)

    def _tool(self, name: str) -> Any:
        if name not in self.tools:
            raise UsageError(f"There is no tool {name!r}. The tools are: {', '.join([*self.tools, FINISH])}.")
        tool = self.tools[name]
        return tool.running(getattr(self, name)) if name in self.parts.names else tool

    def _read(self, name: str, found: Any) -> str:
        """Return what a tool returned as the model reads it: of a module its declared outputs."""
        if isinstance(found, Prediction) and name in self.parts.names:
            names = [one for one in self.parts.output_types(name) or found.keys() if one in found]
            return result_text(found[names[0]]) if len(names) == 1 else as_text({one: found[one] for one in names})
        if found == [] and name in self.parts.names:
            return "Nothing was found."
        is_found = isinstance(found, list) and found and all(isinstance(one, Passage) for one in found)
        return passages_text(found) if is_found else result_text(found)

    def _seen(
        self, thought: str, tool: str, arguments: Mapping[str, Any], observation: str, *, failed: bool = False
    ) -> ToolStep:
        return ToolStep(thought, tool, arguments, cut_text(observation, self.max_observation), failed)


def _by_name(tools: Sequence[Any]) -> dict[str, Tool]:
    if isinstance(tools, str) or not isinstance(tools, Sequence) or not tools:
        raise UsageError(
            "`tools` is a list of at least one function or `ts.Tool`. Give `ts.ReAct(signature, tools=[f])`."
        )
    made = [as_tool(one) for one in tools]
    found = {tool.name: tool for tool in made}
    if len(found) < len(made) or FINISH in found:
        raise UsageError(
            f"Tools have different names, and none is `{FINISH}`, which gives the answer. The names are: "
            f"{', '.join(tool.name for tool in made)}. Pass `ts.Tool(function, name=...)`."
        )
    return found


def _modules(tools: Mapping[str, Tool]) -> dict[str, Module]:
    """Return the tools that are modules, which become attributes of the program."""
    found = {name: tool.function for name, tool in tools.items() if isinstance(tool.function, Module)}
    for name in found:
        if not name.isidentifier():
            raise UsageError(
                f"The name of a module that is a tool must be an identifier, such as `docs`. Given: {name!r}."
            )
    return found


def _check_names(signature: type[Signature]) -> None:
    taken = [name for name in (_TRAJECTORY, _THOUGHT, _ACTION) if name in signature.fields]
    taken += [name for name in _ADDED if name in signature.output_fields]
    if taken:
        raise UsageError(f"The signature has a field `{taken[0]}`, but `ReAct` adds that field itself. Rename it.")


def _finish(signature: type[Signature]) -> Tool:
    """Return the action that ends a run. Its arguments are checked as outputs, so it is never called as a tool."""
    types = output_types(signature)
    return Tool(dict, FINISH, "give the answer.", arguments_type(types, types))


def _step_signature(signature: type[Signature], tools: Sequence[Tool]) -> type[Signature]:
    """Return the signature of a step.

    The instruction describes the tools, and a compiler may reword it; the field `action` has their forms, which stay.
    """
    listed = "\n".join(f"- {tool.name}: {tool.words}" for tool in tools)
    forms = ", ".join(tool.form for tool in tools)
    desc = f'{{"tool": <name>, "arguments": {{...}}}} for one of {forms}'
    made: Any = signature
    for name in signature.output_fields:
        made = made.delete(name)
    made = made.append(_TRAJECTORY, InputField(), str)
    made = made.append(_THOUGHT, OutputField(), _asked_type("text", _Thought)).append(
        _ACTION, OutputField(desc=desc), _action_type(tools)
    )
    task = "" if is_generated(signature, signature.instructions) else f"{signature.instructions}\n\n"
    found: type[Signature] = made.with_instructions(f"{task}{_HOW}\nTools:\n{listed}")
    field_schema(found, _ACTION)
    return found


def _action_type(tools: Sequence[Tool]) -> Any:
    """Return the type of an action, whose schema allows calls of these tools alone."""
    calls = [typed_dict(one.name, {"tool": Literal[one.name], "arguments": one.arguments}) for one in tools]
    made = _asked_type("call", Union[tuple(calls)])  # noqa: UP007 - their number is not known
    setattr(made, OFFERED, tuple(one.offered for one in tools))
    return made


def _asked_type(name: str, kind: Any) -> Any:
    """Return a type that has the schema of `kind`, and takes every value.

    So an engine that is held to the schema writes a good step, and a bad step of any other becomes an observation.
    """

    def schema(cls: type, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return no_info_wrap_validator_function(_anything, handler(kind))

    return type(name, (), {"__get_pydantic_core_schema__": classmethod(schema)})


def _anything(value: Any, handler: Any) -> Any:
    return value


def _parts(action: Any) -> tuple[str, Mapping[str, Any]]:
    """Return the name and the arguments of an action, as far as it has them; also of arguments as a text of JSON."""
    given = action if isinstance(action, Mapping) else {"tool": action}
    arguments = given.get("arguments")
    if isinstance(arguments, str):
        with suppress(ParseError):
            arguments = parse_json(arguments)
    return str(given.get("tool", "")), arguments if isinstance(arguments, Mapping) else {}


def _error_text(error: Exception) -> str:
    named = isinstance(error, UsageError | ParseError)
    return f"Error: {error}" if named else f"Error: {type(error).__name__}: {error}".removesuffix(": ")
