"""The base class of prompt formats, and the door to DSPy's adapters.

A format renders (signature, demos, inputs) to one request and parses the reply into typed outputs. It is a
`dspy.Adapter` that overrides `__call__` and `acall`, because `format()` cannot return a grammar.
`format()` and `parse()` serve display, callbacks and modules that call them.
"""

import contextlib
import json
import logging
import weakref
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, get_args

from dspy.adapters import Adapter, ChatAdapter
from dspy.adapters.decision import evidence_type
from dspy.adapters.types import Code, History, Reasoning, Tool, ToolCallResults, Type
from dspy.adapters.types.decision import Choice, Noul, Score, decision_type
from dspy.lm15 import DataPart, ThinkingPart
from dspy.lm15 import Reasoning as Effort
from dspy.utils.exceptions import AdapterParseError

from tunesmith.errors import FormatError, ParseError, RequestRefused, SignatureError, UsageError, shown
from tunesmith.formats.checks import check_inputs
from tunesmith.formats.labelled import LINES
from tunesmith.formats.layout import Layout
from tunesmith.formats.options import Constraint, check_call, request_config
from tunesmith.formats.plan import Parts, Plan, Plans, Source, values_of
from tunesmith.formats.rendered import Rendered, message_of, request_of
from tunesmith.formats.thoughts import begins_with_thoughts, is_around, only_thoughts, without_thoughts
from tunesmith.lazy import lazy_module
from tunesmith.lm import (
    LM,
    BaseLM,
    Capabilities,
    Prefix,
    Request,
    Response,
    TokenLogprob,
    effective,
    message_text,
    rollout_number,
    user_message,
)
from tunesmith.signatures import (
    Demo,
    InvalidError,
    Signature,
    could_hold,
    field_description,
    given_value,
    input_types,
    output_types,
    type_text,
)

if TYPE_CHECKING:
    from tunesmith.formats import streaming
    from tunesmith.formats.streaming import FieldReader
else:
    streaming = lazy_module("tunesmith.formats.streaming")  # most calls are not streamed

__all__ = [
    "Adapter",
    "AdapterParseError",
    "ChatAdapter",
    "Format",
    "Rendered",
    "ReplyError",
    "UnwrappedMethods",
    "has_dspys_own",
    "history_field",
    "inputs_with_parts",
    "thinking_of",
]

# Values of these types become messages or parts of one. DSPy's other types are text or JSON.
_PARTS = (Type, History, ToolCallResults)
_TEXTS = (Code, Reasoning, Tool, Noul, Choice, Score)
_DECISIONS = (Noul, Choice, Score)
_log = logging.getLogger("tunesmith")
_UNABLE = Capabilities()
_NO_THINKING = (None, False, "none", "off", "")


class ReplyError(ParseError, AdapterParseError):
    """A `ParseError` that DSPy's modules also catch as their `AdapterParseError`."""

    def __init__(self, error: ParseError, adapter: str, signature: type[Signature]) -> None:
        Exception.__init__(self, str(error))
        self.problem, self.reason = error.problem, error.reason
        self.raw, self.field = error.raw, error.field
        self.adapter_name, self.signature = adapter, signature
        self.lm_response, self.parsed_result = error.raw, None
        self.message, self.code = str(error), self.default_code
        self.model = self.provider = self.provider_code = None
        self.status = self.request_id = self.retry_after = None

    def __str__(self) -> str:
        return self.message


class UnwrappedMethods:
    """Undo DSPy's wrapping of inherited methods: with it callbacks run once per level of subclass."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        own = set(vars(cls))
        super().__init_subclass__(**kwargs)
        for name in {"format", "parse"} - own:
            delattr(cls, name)


class Format(UnwrappedMethods, Adapter):
    """One prompt format. A subclass defines how the parts look; this class does the rest.

    A subclass sets `name` and overrides `system_text`, `demo_reply`, `constraint` and `read`. If its inputs look
    different, it also overrides `layout` and `cue`. Its constructor takes no arguments, because `dspy.Refine` makes
    its own instance.

    A `dspy.History` is not written as a field: its entries become turns before the last message.

    If the model thinks (`think=` of the LM; `reasoning_effort=` of the LM or the call overrides it), an output
    `reasoning` is not requested in the reply. It is filled with the model's thoughts. The reply is then not
    constrained, because servers disagree on what a constraint means for a model that thinks.
    """

    name: ClassVar[str] = ""
    layout: ClassVar[Layout] = LINES

    def __init__(self) -> None:
        super().__init__()
        self._plans = Plans()

    def __deepcopy__(self, memo: dict[int, Any]) -> "Format":
        return self  # its only state is the cache of rendered prefixes

    def __repr__(self) -> str:
        return f"<format {self.name}>"

    # For subclasses -----------------------------------------------------------------------------------------

    def check_outputs(self, signature: type[Signature]) -> None:
        """Raise `FormatError` or `SignatureError` if this format cannot carry the outputs."""

    def mode(self, signature: type[Signature], capabilities: Capabilities, *, shown: bool = False) -> str:
        """Return how the reply is constrained: `grammar`, `schema`, `none` or a mode that the format defines.

        Every format supports `none`, for engines without constraints. The messages do not depend on the mode,
        except in `tools`, if the model calls tools by itself.

        Args:
            signature: of the predictor.
            capabilities: of the engine.
            shown: whether there are demos, which show the model what a reply looks like.
        """
        return "schema" if "json_schema" in capabilities.constraints else "none"

    def system_text(self, signature: type[Signature]) -> str:
        """Return the system message: the instruction and what the reply looks like."""
        raise NotImplementedError

    def cue(self, signature: type[Signature]) -> str:
        """Return the text that ends each user message, with its leading newline; empty for none."""
        return ""

    def demo_reply(self, signature: type[Signature], values: Mapping[str, Any]) -> str:
        """Return the assistant message of a demo, in the exact form of a reply.

        Raises:
            FormatError: the format cannot carry a value.
        """
        raise NotImplementedError

    def constraint(self, signature: type[Signature], mode: str) -> Constraint:
        """Return the constraint of the reply in `mode`."""
        raise NotImplementedError

    def read(self, signature: type[Signature], text: str, mode: str, *, cut: bool) -> dict[str, Any]:
        """Return the typed outputs of a reply; `cut` says that it ended at the length limit.

        Raises:
            ParseError: an output is missing or cannot be parsed.
        """
        raise NotImplementedError

    def likeliest(self, signature: type[Signature], mode: str, tokens: Sequence[TokenLogprob]) -> dict[str, Any] | None:
        """Return the likeliest outputs by the log-probabilities, `None` if they are unknown.

        Called if the reply cannot be parsed.
        """
        return None

    def disproves(self, signature: type[Signature], text: str, mode: str, *, cut: bool) -> bool:
        """Return whether the constraint of `mode` forbids the reply: then the server does not enforce it."""
        schema = self.constraint(signature, mode).schema
        return schema is not None and not could_hold(schema, text, cut=cut)

    def reader(self, signature: type[Signature], mode: str) -> "FieldReader":
        """Return a reader for one partial reply. The default reports fields only when the reply is complete."""
        return streaming.WholeReader()

    # Shared by all formats ----------------------------------------------------------------------------------

    def check(self, signature: type[Signature]) -> None:
        """Raise `FormatError` or `SignatureError` if this format cannot carry `signature`.

        Outputs of DSPy's decision types (`Noul`, `Choice`, `Score`) are checked as the probabilities that it requests.
        """
        turns = history_field(signature)
        for name, annotation in inputs_with_parts(signature).items():
            if name != turns:
                raise FormatError(
                    f"Input `{name}` is a `{type_text(annotation)}`, which the format `{self.name}` cannot write as "
                    "text. Use the format `chat`."
                )
        self.check_outputs(_sent_signature(signature))

    def refuses(self, signature: type[Signature], demo: Any) -> str | None:
        """Return why this format cannot show a demo, `None` if it can. Compilers call it before they use a demo."""
        values = {**demo.inputs, **demo.outputs} if isinstance(demo, Demo) else values_of(demo)
        inputs, outputs = _sides(signature, values)
        if not outputs:
            return None  # a demo without outputs is never shown
        try:
            self._writer(signature)(inputs)
            self.demo_reply(signature, outputs)
        except (FormatError, ParseError, SignatureError) as error:
            return str(error)
        return None

    def read_inputs(self, signature: type[Signature], text: str) -> dict[str, Any]:
        """Return the fields and values of a user message that this format wrote.

        Raises:
            FormatError: this format did not write the message.
        """
        return self.layout.read(signature, _written(signature), text)

    def __call__(
        self,
        lm: BaseLM,
        lm_kwargs: dict[str, Any],
        signature: type[Signature],
        demos: list[Any],
        inputs: dict[str, Any],
    ) -> list[dict[str, Any]]:
        """Render the request, call the LM once per draw, and parse the replies.

        Raises:
            FormatError: the format cannot carry a value; nothing was sent.
            ParseError: the reply does not hold the outputs.
        """
        if isinstance(lm, LM) and lm.direct() and not self.callbacks:
            return self.ask(lm, lm_kwargs, signature, demos, inputs)

        def ask(call: _Call) -> Response:
            self._run_format_callbacks(call)
            response: Response = lm(call.request(), **call.options())
            self._run_parse_callbacks(call, response)
            return response

        return _answered(self._calls(lm, lm_kwargs, signature, demos, inputs), ask)

    def ask(
        self,
        lm: LM,
        lm_kwargs: dict[str, Any],
        signature: type[Signature],
        demos: list[Any],
        inputs: dict[str, Any],
    ) -> list[dict[str, Any]]:
        """Do what `__call__` does, without DSPy's callbacks: for a model that is `direct`."""
        able = lm.capabilities
        plan = None if able.thinking else self._plans.quick(Parts(lm, lm_kwargs, signature, demos, able))
        response = None
        if plan is not None and plan.turns is None and len(plan.prefixes) == 1 and not plan.tools:
            # A valid first reply of a single draw needs no `_calls`.
            check_inputs(signature, inputs)
            response = plan.send(lm, 0, inputs, [])
            outputs, problem = self._tried(signature, plan, response)
            if problem is None and not self._is_unheld(signature, plan, response, readable=True):
                return [_with_rest(outputs, response, None, logprobs=plan.logprobs)]
        calls = self._calls(lm, lm_kwargs, signature, demos, inputs)
        return _answered(calls, lambda call: call.plan.send(lm, call.draw, inputs, call.turns), response)

    async def acall(
        self,
        lm: BaseLM,
        lm_kwargs: dict[str, Any],
        signature: type[Signature],
        demos: list[Any],
        inputs: dict[str, Any],
    ) -> list[dict[str, Any]]:
        """Do what `__call__` does, asynchronously."""
        calls = self._calls(lm, lm_kwargs, signature, demos, inputs)
        direct = isinstance(lm, LM) and lm.direct() and not self.callbacks
        try:
            call = next(calls)
            while True:
                if not direct:
                    self._run_format_callbacks(call)
                try:
                    response = await lm.acall(call.request(), **call.options())
                except RequestRefused as error:
                    call = calls.throw(error)
                    continue
                if not direct:
                    self._run_parse_callbacks(call, response)
                call = calls.send(response)
        except StopIteration as done:
            return done.value

    def _calls(
        self,
        lm: BaseLM,
        lm_kwargs: dict[str, Any],
        signature: type[Signature],
        demos: list[Any],
        inputs: dict[str, Any],
    ) -> "Generator[_Call, Response, list[dict[str, Any]]]":
        """Yield requests, receive replies, and return the outputs of every draw.

        `__call__` and `acall` share this generator. It requests one reply per draw. If a reply begins with thoughts or
        a fence, our stop ended it before the answer, so it is requested once more without the stop. If the server
        refuses tools, the request is sent once more without them.
        """
        check_inputs(signature, inputs)
        signature, thought = _reply_side(lm, lm_kwargs, signature)
        plan = self._plan(lm, lm_kwargs, signature, demos, thinking=thought is not None)
        found, draw = list[dict[str, Any]](), 0
        while draw < len(plan.prefixes):
            call = _Call(plan, draw, signature, demos, inputs, self._turns_of(signature, plan, inputs))
            try:
                response = yield call
            except RequestRefused as error:
                if not (plan.tools and isinstance(lm, LM) and "tool" in str(error).casefold()):
                    raise
                lm.findings.give_up_tools()
                plan = self._plan(lm, lm_kwargs, signature, demos, thinking=thought is not None)
                continue
            outputs, problem = self._tried(signature, plan, response)
            if isinstance(lm, LM) and self._is_unheld(signature, plan, response, readable=problem is None):
                lm.findings.give_up()
                plan = self._plan(lm, lm_kwargs, signature, demos, thinking=thought is not None)
                outputs, problem = self._tried(signature, plan, response)
                if problem is not None and call.plan.stop:  # without the stop the reply can be another one
                    continue
            if problem is not None:
                raise problem
            found.append(_with_rest(outputs, response, thought, logprobs=plan.logprobs))
            draw += 1
        return found

    def _turns_of(self, signature: type[Signature], plan: Plan, inputs: Mapping[str, Any]) -> list[dict[str, str]]:
        return [] if plan.turns is None else self._turns(signature, inputs)

    def _is_unheld(self, signature: type[Signature], plan: Plan, response: Response, *, readable: bool) -> bool:
        """Return whether the reply proves that the server does not enforce the constraint or stop of the request."""
        if not (plan.held or plan.stop):
            return False
        text = _text_of(response) or ""
        around = is_around(text)
        if not plan.held or (readable and not around):
            return around and plan.stop
        # A stop of the caller can end the reply anywhere.
        return self.disproves(signature, text, plan.mode, cut=response.finish_reason == "length" or plan.cuts)

    def _tried(
        self, signature: type[Signature], plan: Plan, response: Response
    ) -> "tuple[dict[str, Any], None] | tuple[dict[str, Any], ReplyError]":
        """Return the outputs of a reply, and the error if it cannot be parsed."""
        try:
            return self._outputs(signature, plan, response), None
        except ReplyError as error:
            return {}, error

    def _run_format_callbacks(self, call: "_Call") -> None:
        self.format(call.signature, call.demos, call.inputs)  # for callbacks only: the request exists already

    def _run_parse_callbacks(self, call: "_Call", response: Response) -> None:
        with contextlib.suppress(ParseError):  # for callbacks only: `_outputs` parses the reply
            self.parse(call.signature, _text_of(response) or "")

    def format(self, signature: type[Signature], demos: list[Any], inputs: dict[str, Any]) -> list[dict[str, Any]]:
        """Return the messages, for display and export. They are the same for every engine."""
        system, turns = self._prefix_texts(signature, demos)
        final = {"role": "user", "content": self._writer(signature)(inputs)}
        return [{"role": "system", "content": system}, *turns, *self._turns(signature, inputs), final]

    def format_user_message_content(
        self,
        signature: type[Signature],
        inputs: dict[str, Any],
        prefix: str = "",
        suffix: str = "",
        main_request: bool = False,  # noqa: FBT001, FBT002 - DSPy's signature
    ) -> str:
        """Return the user message for `inputs`. `dspy.ReAct` formats its trajectory with this method."""
        text = self.layout.writer(signature, _written(signature))(inputs)
        return "\n\n".join(part for part in (prefix, text, suffix) if part)

    def format_assistant_message_content(
        self, signature: type[Signature], outputs: Any, missing_field_message: str | None = None
    ) -> str:
        """Return the reply that gives `outputs`, under the name that DSPy's adapters have for it."""
        return self.demo_reply(signature, outputs)

    def parse(self, signature: type[Signature], completion: str) -> dict[str, Any]:
        """Return the typed outputs of a reply, however it was constrained.

        Raises:
            ParseError: the reply gives the outputs neither as constrained nor as unconstrained text.
        """
        try:
            answer = _answer(completion, held=True, cut=False)
            try:
                return self.read(signature, answer, "schema", cut=False)
            except ParseError:
                return self.read(signature, without_thoughts(answer), "none", cut=False)
        except ParseError as error:
            raise ReplyError(error, self.name, signature) from error

    def _outputs(self, signature: type[Signature], plan: Plan, response: Response) -> dict[str, Any]:
        cut = response.finish_reason == "length"
        try:
            text = _not_empty(response, cut=cut)
            return self.read(signature, _answer(text, held=plan.held, cut=cut), plan.mode, cut=cut)
        except ParseError as error:
            likeliest = self.likeliest(signature, plan.mode, response.logprobs or ())
            if likeliest is not None and not is_around(_text_of(response) or ""):
                return likeliest
            raise ReplyError(error, self.name, signature) from error

    def _writer(self, signature: type[Signature]) -> Callable[[Mapping[str, Any]], str]:
        write, cue = self.layout.writer(signature, _written(signature)), self.cue(signature)
        if not cue:
            return write
        return lambda inputs: write(inputs) + cue

    def _prefix_texts(
        self, signature: type[Signature], demos: Sequence[Any], mode: str = "none"
    ) -> tuple[str, list[dict[str, Any]]]:
        whole: list[list[dict[str, Any]]] = []
        partial: list[list[dict[str, Any]]] = []
        for demo in demos:
            values = values_of(demo)
            pair = self._pair(signature, values, mode)
            if pair:
                (whole if all(name in values for name in signature.output_fields) else partial).append(pair)
        # As in DSPy, complete demos come last, next to the question.
        return self._system(signature, mode), [message for pair in (*partial, *whole) for message in pair]

    def _system(self, signature: type[Signature], mode: str) -> str:
        return self.system_text(signature)

    def _reply_turns(self, signature: type[Signature], outputs: Mapping[str, Any], mode: str) -> list[dict[str, Any]]:
        """Return the turns of a demo that show its reply."""
        return [{"role": "assistant", "content": self.demo_reply(signature, outputs)}]

    def _pair(self, signature: type[Signature], values: Mapping[str, Any], mode: str) -> list[dict[str, Any]]:
        """Return a demo's messages, none if it lacks all inputs or all outputs."""
        inputs, outputs = _sides(signature, values)
        if not outputs or not inputs:
            return []
        return [
            *(self._turns(signature, values) if history_field(signature) is not None else ()),
            {"role": "user", "content": self._writer(signature)(inputs)},
            *self._reply_turns(signature, outputs, mode),
        ]

    def _turns(self, signature: type[Signature], inputs: Mapping[str, Any]) -> list[dict[str, str]]:
        """Return the entries of the history in `inputs` as turns in the form of demos."""
        field = history_field(signature)
        if field is None or inputs.get(field) is None:
            return []
        write, names = self._writer(signature), _written(signature)
        known = (*names, *signature.output_fields)
        found: list[dict[str, str]] = []
        for entry in _entries(inputs[field], field):
            if not any(name in entry for name in known):
                raise FormatError(
                    f"An entry of the history `{field}` has none of the signature's fields ({', '.join(known)}), so "
                    f"nothing of it would be sent. Given: {shown(entry)}."
                )
            if any(name in entry for name in names):
                found.append({"role": "user", "content": write(entry)})
            outputs = {name: entry[name] for name in signature.output_fields if entry.get(name) is not None}
            if outputs:
                found.append({"role": "assistant", "content": self.demo_reply(signature, outputs)})
        return found

    def _plan(
        self,
        lm: BaseLM,
        lm_kwargs: dict[str, Any],
        signature: type[Signature],
        demos: list[Any],
        *,
        thinking: bool = False,
    ) -> Plan:
        able = lm.capabilities if isinstance(lm, LM) and not thinking else _UNABLE
        parts = Parts(lm, lm_kwargs, signature, demos, able)
        plan = self._plans.quick(parts)
        if plan is not None:
            return plan
        source = Source.of(parts)
        plan = self._plans.get(signature, source)
        if plan is None:
            mode = self.mode(signature, able, shown=bool(demos))
            self.check(signature)
            plan = self._new_plan(parts, mode, source)
            self._plans.put(signature, plan)
        return plan

    def _new_plan(self, parts: Parts, mode: str, source: Source) -> Plan:
        lm, lm_kwargs, signature, demos, _ = parts
        check_call(lm_kwargs, lm, self.name)
        system, turns = self._prefix_texts(signature, demos, mode)
        _warn_of_hidden_demos(signature, demos)
        merged = {**lm.kwargs, **lm_kwargs}
        cache = merged.pop("cache", None)
        count = _count(merged.pop("n", None))
        rollout = rollout_number(merged.pop("rollout_id", None))
        effort = merged.pop("reasoning_effort", None)
        if effort is not None:
            merged["reasoning"] = _effort(effort)
        constraint = self.constraint(signature, mode)
        config = request_config(merged, constraint)
        if isinstance(lm, LM):
            configs = [effective(config, rollout + draw, draw) for draw in range(count)]
        else:
            configs = [config if config.seed is None else replace(config, seed=config.seed + n) for n in range(count)]
        messages = tuple(map(message_of, turns))
        return Plan(
            source=source,
            mode=mode,
            held=constraint.grammar is not None or constraint.schema is not None,
            stop=bool(constraint.stop),
            cuts=len(config.stop) > len(constraint.stop),
            logprobs=bool(merged.get("logprobs")),
            prefixes=tuple(Prefix(lm.model, system, messages, one, constraint.tools) for one in configs),
            write_inputs=self._writer(signature),
            history=[{"role": "system", "content": system}, *turns],
            rollout=rollout,
            turns=history_field(signature),
            cache=cache,
            tools=bool(constraint.tools),
        )


def field_notes(signature: type[Signature]) -> str:
    """Return one line per field with a description, empty if no field has one."""
    notes = [
        f"{name}: {note}" for name, info in signature.fields.items() if (note := field_description(info)) is not None
    ]
    return "\n".join(notes)


def _sides(signature: type[Signature], values: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the inputs and the outputs of a demo."""
    inputs = {name: _typed(signature, name, values[name]) for name in _written(signature) if name in values}
    outputs = {name: _typed(signature, name, values[name]) for name in signature.output_fields if name in values}
    return inputs, outputs


def _warn_of_hidden_demos(signature: type[Signature], demos: Sequence[Any]) -> None:
    sides = (_written(signature), signature.output_fields)
    given = [values_of(demo) for demo in demos]
    hidden = [values for values in given if not all(any(name in values for name in side) for side in sides)]
    if hidden:
        _log.warning(
            "%d of %d demos are not shown to the model: they lack all inputs (%s) or all outputs (%s). First: %s.",
            len(hidden),
            len(given),
            *(", ".join(side) for side in sides),
            ", ".join(map(str, hidden[0])) or "no fields",
        )


def _typed(signature: type[Signature], name: str, value: Any) -> Any:
    """Return a demo's value coerced to the field's type, or unchanged: writing it then raises the error."""
    try:
        return given_value(signature, name, value)
    except (InvalidError, SignatureError):
        return value


def _text_of(response: Response) -> str | None:
    """Return the text of a reply. DSPy's streams turn a JSON object that has `choices` into a data part."""
    text = message_text(response.message)
    if text is not None:
        return text
    data = response.message.first(DataPart)
    return response.text if data is None else json.dumps(data.value, ensure_ascii=False)


def _not_empty(response: Response, *, cut: bool) -> str:
    text = _text_of(response)
    if text is None or not text.strip():
        if cut and thinking_of(response):
            raise only_thoughts(text or "", cut=cut)
        raise ParseError("The reply is empty.", reason="truncated" if cut else "empty", raw=text or "")
    return text


def has_dspys_own(signature: type[Signature]) -> bool:
    """Return whether an output has a type that only DSPy can turn into parts of a message."""
    return any(map(_has_parts, output_types(signature).values()))


def inputs_with_parts(signature: type[Signature]) -> dict[str, Any]:
    """Return the types of the inputs that are not written as text: conversations, images and the like."""
    return {name: annotation for name, annotation in input_types(signature).items() if _has_parts(annotation)}


def _has_parts(annotation: Any) -> bool:
    if isinstance(annotation, type) and issubclass(annotation, _PARTS):
        return not issubclass(annotation, _TEXTS)
    return any(map(_has_parts, get_args(annotation)))


class _Call(NamedTuple):
    """One request: a draw of a plan, and the messages after the plan's prefix."""

    plan: Plan
    draw: int
    signature: type[Signature]
    demos: list[Any]
    inputs: dict[str, Any]
    turns: list[dict[str, str]]

    def request(self) -> Request:
        final = user_message(self.plan.write_inputs(self.inputs))
        return request_of(self.plan.prefixes[self.draw], self.turns, final)

    def options(self) -> dict[str, Any]:
        return self.plan.beside(self.draw)


def _answered(
    calls: "Generator[_Call, Response, list[dict[str, Any]]]",
    ask: Callable[[_Call], Response],
    first: Response | None = None,
) -> list[dict[str, Any]]:
    """Return what `calls` returns once `ask` has answered each; `first` answers the first one, if it is there."""
    try:
        call = next(calls)
        while True:
            try:
                response = ask(call) if first is None else first
            except RequestRefused as error:
                call = calls.throw(error)
                continue
            first = None
            call = calls.send(response)
    except StopIteration as done:
        answered: list[dict[str, Any]] = done.value
        return answered


def _with_rest(
    outputs: dict[str, Any], response: Response, thought: tuple[str, Any] | None, *, logprobs: bool
) -> dict[str, Any]:
    """Add the other parts of a reply to its outputs: thoughts that fill an output, and log-probabilities."""
    if thought is not None:
        name, kind = thought
        thoughts = thinking_of(response)
        outputs = {name: kind(content=thoughts) if kind is Reasoning else thoughts, **outputs}
    return {**outputs, "logprobs": response.logprobs} if logprobs and response.logprobs is not None else outputs


def history_field(signature: type[Signature]) -> str | None:
    """Return the input that is a `dspy.History`, `None` without one."""
    return next((name for name, info in signature.input_fields.items() if _is_history(info.annotation)), None)


def _is_history(annotation: Any) -> bool:
    kinds = [kind for kind in get_args(annotation) or (annotation,) if kind is not type(None)]
    return kinds == [History]


def _written(signature: type[Signature]) -> dict[str, Any]:
    """Return the types of the inputs that are written in a message."""
    turns = history_field(signature)
    return {name: annotation for name, annotation in input_types(signature).items() if name != turns}


def _entries(history: Any, field: str) -> Sequence[Mapping[str, Any]]:
    entries = getattr(history, "messages", history)
    if isinstance(entries, (list, tuple)) and all(isinstance(entry, Mapping) for entry in entries):
        return entries
    raise FormatError(
        f"Input `{field}` is not a history. Given: {shown(history)}. Pass a `dspy.History(messages=[...])` with "
        "entries that are dicts of the signature's fields."
    )


def _sent_signature(signature: type[Signature]) -> type[Signature]:
    """Return the signature that DSPy sends: for its decision types it requests probabilities instead of a value."""
    for name, info in signature.output_fields.items():
        marks = (info.annotation, *info.metadata)
        if any(isinstance(mark, type) and issubclass(mark, _DECISIONS) for mark in marks):
            kind = decision_type(info)
            if kind is not None:
                signature = signature.with_updated_fields(name, type_=evidence_type(kind))
    return signature


_WITHOUT: weakref.WeakKeyDictionary[type[Signature], type[Signature]] = weakref.WeakKeyDictionary()


def _reply_side(
    lm: BaseLM, lm_kwargs: Mapping[str, Any], signature: type[Signature]
) -> tuple[type[Signature], tuple[str, Any] | None]:
    """Return the signature of the reply, and name and type of the output that the model's thoughts fill."""
    if not isinstance(lm, LM) or not lm.capabilities.thinking:
        return signature, None
    options = {**lm.kwargs, **lm_kwargs}
    effort = options.get("reasoning_effort")
    if (options.get("think", lm.think) if effort is None else effort) in _NO_THINKING:
        return signature, None
    outputs = signature.output_fields
    for name, info in outputs.items():
        if len(outputs) > 1 and (info.annotation is Reasoning or (name == "reasoning" and info.annotation is str)):
            found = _WITHOUT.get(signature)
            if found is None:
                found = _WITHOUT[signature] = signature.delete(name)
            return found, (name, info.annotation)
    return signature, None


def _answer(text: str, *, held: bool, cut: bool) -> str:
    """Return a reply without thoughts. A constrained text has thoughts only if it begins with their opening tag."""
    return text if held and not begins_with_thoughts(text) else without_thoughts(text, cut=cut)


def thinking_of(response: Response) -> str:
    """Return the thoughts of a reply, empty if it has none."""
    return "".join(part.text for part in response.message.parts if isinstance(part, ThinkingPart)).strip()


def _count(given: Any) -> int:
    """Return the number of draws of `n`."""
    if given is None or given == 0:  # DSPy's own adapters take 0 for 1 as well
        return 1
    if isinstance(given, bool) or not isinstance(given, int) or given < 1:
        raise UsageError(f"`n`, the number of replies, must be a whole number from 1. Given: {shown(given)}.")
    return given


def _effort(given: Any) -> Effort:
    try:
        return Effort(effort="off" if given == "none" else given)
    except (TypeError, ValueError) as error:
        raise FormatError(f"`reasoning_effort` cannot be used: {error}. Given: {shown(given)}.") from error
