"""What a prompt format is; the door to DSPy's adapters.

A format renders (signature, demos, inputs) to one request and reads the reply into typed outputs. It is a
`dspy.Adapter` that overrides `__call__` and `acall`, because a grammar cannot travel through `format()`.
`format()` and `parse()` stay for display, for callbacks and for modules that call them.
"""

import contextlib
import json
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import replace
from typing import Any, ClassVar, get_args

from dspy.adapters import Adapter, ChatAdapter
from dspy.adapters.decision import evidence_type
from dspy.adapters.types import Code, History, Reasoning, Tool, ToolCallResults, Type
from dspy.adapters.types.decision import Choice, Noul, Score, decision_type
from dspy.lm15 import DataPart, ThinkingPart
from dspy.lm15 import Reasoning as Effort
from dspy.utils.exceptions import AdapterParseError

from tunesmith.errors import FormatError, ParseError, shown
from tunesmith.formats.incremental import FieldReader, WholeReader
from tunesmith.formats.labelled import LINES
from tunesmith.formats.layout import Layout
from tunesmith.formats.options import Constraint, check_call, request_config
from tunesmith.formats.plan import Plan, Plans, source_of, values_of
from tunesmith.formats.rendered import Rendered, message_of, request_of, turn
from tunesmith.lm import (
    LM,
    BaseLM,
    Capabilities,
    Message,
    Prefix,
    Response,
    effective,
    rollout_number,
)
from tunesmith.signatures import Signature, field_description, input_types, type_text

__all__ = ["Adapter", "AdapterParseError", "ChatAdapter", "Format", "HeardOnce", "Rendered", "ReplyError", "turn"]

# Values of these types are messages or parts of one; the others of DSPy's own types are text or JSON.
_PARTS = (Type, History, ToolCallResults)
_TEXTS = (Code, Reasoning, Tool, Noul, Choice, Score)
_DECISIONS = (Noul, Choice, Score)
_NO_THINKING = (None, False, "none", "off", "")

_SENT: ContextVar[str | None] = ContextVar("tunesmith_sent_mode", default=None)
"""The mode of the call that `format` is shown for, `None` outside of one."""


class ReplyError(ParseError, AdapterParseError):
    """A `ParseError` that DSPy's modules also know as their own."""

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


class HeardOnce:
    """Keeps DSPy from wrapping inherited methods in its callbacks again, once per level of subclass."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        own = set(vars(cls))
        super().__init_subclass__(**kwargs)
        for name in {"format", "parse"} - own:
            delattr(cls, name)


class Format(HeardOnce, Adapter):
    """One prompt format. A subclass says how the parts look; everything else is here.

    A subclass sets `name` and overrides `system_text`, `demo_reply`, `constraint` and `read`, and where the input
    side differs `layout` and `cue`. It must be constructible without arguments: `dspy.Refine` makes its own.

    A `dspy.History` is no field of a message: its entries are turns before the last one. Where the caller asked a model
    that can think to do so (`think=` of the LM, or `reasoning_effort=` of the LM or the call, which goes before it), an
    output `reasoning` is not asked for in the reply but filled from what was thought, and nothing constrains the reply:
    servers disagree on what a constraint means for a model that thinks.
    """

    name: ClassVar[str] = ""
    layout: ClassVar[Layout] = LINES

    def __init__(self) -> None:
        super().__init__()
        self._plans = Plans()

    def __deepcopy__(self, memo: dict[int, Any]) -> "Format":
        return self  # it holds nothing but rendered prefixes

    def __repr__(self) -> str:
        return f"<format {self.name}>"

    # What a subclass says -----------------------------------------------------------------------------------

    def check_outputs(self, signature: type[Signature]) -> None:
        """Raise `FormatError` or `SignatureError` where this format cannot carry the outputs."""

    def mode(self, signature: type[Signature], capabilities: Capabilities) -> str:
        """Return how the reply will be held to its shape: `grammar`, `schema` or `none`."""
        return "schema" if "json_schema" in capabilities.constraints else "none"

    def system_text(self, signature: type[Signature], mode: str) -> str:
        """Return the system message: the instruction and what the reply looks like."""
        raise NotImplementedError

    def cue(self, signature: type[Signature]) -> str:
        """Return what ends each user message, with its own leading newline; empty for nothing."""
        return ""

    def demo_reply(self, signature: type[Signature], values: Mapping[str, Any], mode: str) -> str:
        """Return the assistant message of a demo: exactly what a reply looks like.

        Raises:
            FormatError: a value cannot be carried.
        """
        raise NotImplementedError

    def constraint(self, signature: type[Signature], mode: str) -> Constraint:
        """Return what holds the reply to its shape in `mode`."""
        raise NotImplementedError

    def read(self, signature: type[Signature], text: str, mode: str, *, cut: bool) -> dict[str, Any]:
        """Return the typed outputs of a reply; `cut` says that it ended at the length limit.

        Raises:
            ParseError: the outputs are not all there.
        """
        raise NotImplementedError

    def reader(self, signature: type[Signature], mode: str) -> FieldReader:
        """Return what reads one reply while it is written; by default its fields are known when it has ended."""
        return WholeReader()

    # What every format shares -------------------------------------------------------------------------------

    def check(self, signature: type[Signature]) -> None:
        """Raise `FormatError` or `SignatureError` where this format cannot carry `signature`.

        Outputs that DSPy asks for as probabilities (`Noul`, `Choice`, `Score`) are checked as what is asked for.
        """
        turns = _history_field(signature)
        for name, annotation in input_types(signature).items():
            if name != turns and _has_parts(annotation):
                raise FormatError(
                    f"Input `{name}` is a `{type_text(annotation)}`, which the format `{self.name}` cannot write as "
                    "text. Use the format `chat`."
                )
        self.check_outputs(_asked_as(signature))

    def read_inputs(self, signature: type[Signature], text: str) -> dict[str, Any]:
        """Return the fields and values of a user message that this format wrote.

        Raises:
            FormatError: it did not write that.
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
        """Render, call once per draw, read.

        Raises:
            FormatError: a value cannot be carried; nothing was sent.
            ParseError: the reply does not hold the outputs.
        """
        signature, thought = _reply_side(lm, lm_kwargs, signature)
        plan = self._plan(lm, lm_kwargs, signature, demos, thinking=thought is not None)
        turns = [] if plan.turns is None else self._turns(signature, inputs, plan.mode)
        final = Message.user(plan.write_inputs(inputs))
        if isinstance(lm, LM) and lm.direct() and not self.callbacks:
            return [
                self._outputs(
                    signature,
                    plan,
                    lm.send(
                        request_of(prefix, turns, final),
                        rollout=plan.rollout + draw,
                        prefix=None if turns else prefix,
                        messages=lambda: [*plan.history, *turns, turn("user", final)],
                        cache=plan.cache,
                    ),
                    thought=thought,
                )
                for draw, prefix in enumerate(plan.prefixes)
            ]
        with _shown_as(plan.mode):
            self.format(signature, demos, inputs)  # for callbacks: what is sent was rendered above
        return [
            self._outputs(
                signature,
                plan,
                lm(request_of(prefix, turns, final), **plan.beside(draw)),
                thought=thought,
                visible=True,
            )
            for draw, prefix in enumerate(plan.prefixes)
        ]

    async def acall(
        self,
        lm: BaseLM,
        lm_kwargs: dict[str, Any],
        signature: type[Signature],
        demos: list[Any],
        inputs: dict[str, Any],
    ) -> list[dict[str, Any]]:
        """Do what `__call__` does, asynchronously."""
        signature, thought = _reply_side(lm, lm_kwargs, signature)
        plan = self._plan(lm, lm_kwargs, signature, demos, thinking=thought is not None)
        turns = [] if plan.turns is None else self._turns(signature, inputs, plan.mode)
        final = Message.user(plan.write_inputs(inputs))
        visible = not isinstance(lm, LM) or not lm.direct() or bool(self.callbacks)
        if visible:
            with _shown_as(plan.mode):
                self.format(signature, demos, inputs)
        return [
            self._outputs(
                signature,
                plan,
                await lm.acall(request_of(prefix, turns, final), **plan.beside(draw)),
                thought=thought,
                visible=visible,
            )
            for draw, prefix in enumerate(plan.prefixes)
        ]

    def format(self, signature: type[Signature], demos: list[Any], inputs: dict[str, Any]) -> list[dict[str, Any]]:
        """Return the messages for display and export, as an engine with every constraint would get them."""
        mode = _SENT.get() or self.mode(signature, Capabilities(frozenset({"grammar", "json_schema"})))
        system, turns = self._prefix_texts(signature, demos, mode)
        final = turn("user", Message.user(self._writer(signature)(inputs)))
        return [{"role": "system", "content": system}, *turns, *self._turns(signature, inputs, mode), final]

    def format_user_message_content(
        self,
        signature: type[Signature],
        inputs: dict[str, Any],
        prefix: str = "",
        suffix: str = "",
        main_request: bool = False,  # noqa: FBT001, FBT002 - DSPy's signature
    ) -> str:
        """Return `inputs` as they stand in a user message; `dspy.ReAct` writes its trajectory with it."""
        text = self.layout.writer(signature, _written(signature))(inputs)
        return "\n\n".join(part for part in (prefix, text, suffix) if part)

    def parse(self, signature: type[Signature], completion: str) -> dict[str, Any]:
        """Return the typed outputs of a reply, whichever way it was constrained.

        Raises:
            ParseError: no way of reading it gives the outputs.
        """
        try:
            return self.read(signature, completion, "schema", cut=False)
        except ParseError:
            try:
                return self.read(signature, completion, "grammar", cut=False)
            except ParseError as error:
                raise ReplyError(error, self.name, signature) from error

    def _outputs(
        self,
        signature: type[Signature],
        plan: Plan,
        response: Response,
        *,
        thought: tuple[str, Any] | None = None,
        visible: bool = False,
    ) -> dict[str, Any]:
        text = _text_of(response)
        cut = response.finish_reason == "length"
        if visible:
            with contextlib.suppress(ParseError):  # for callbacks: what counts is read below
                self.parse(signature, text or "")
        try:
            found = self.read(signature, _said(text, cut=cut), plan.mode, cut=cut)
        except ParseError as error:
            raise ReplyError(error, self.name, signature) from error
        if thought is not None:
            name, kind = thought
            found = {name: kind(content=_thinking(response)) if kind is Reasoning else _thinking(response), **found}
        if response.logprobs is not None:
            found["logprobs"] = response.logprobs
        return found

    def _writer(self, signature: type[Signature]) -> Callable[[Mapping[str, Any]], str]:
        write, cue = self.layout.writer(signature, _written(signature)), self.cue(signature)
        if not cue:
            return write
        return lambda inputs: write(inputs) + cue

    def _prefix_texts(
        self, signature: type[Signature], demos: Sequence[Any], mode: str
    ) -> tuple[str, list[dict[str, str]]]:
        write, inputs_of, turns_of = self._writer(signature), _written(signature), _history_field(signature)
        whole: list[list[dict[str, str]]] = []
        partial: list[list[dict[str, str]]] = []
        for demo in demos:
            values = values_of(demo)
            outputs = {name: values[name] for name in signature.output_fields if name in values}
            inputs = {name: values[name] for name in inputs_of if name in values}
            if not outputs or not inputs:
                continue
            pair = [
                *(self._turns(signature, values, mode) if turns_of is not None else ()),
                {"role": "user", "content": write(inputs)},
                {"role": "assistant", "content": self.demo_reply(signature, outputs, mode)},
            ]
            (whole if len(outputs) == len(signature.output_fields) else partial).append(pair)
        # DSPy's order too: what looks exactly like a whole answer stands last, nearest to the question.
        return self.system_text(signature, mode), [message for pair in (*partial, *whole) for message in pair]

    def _turns(self, signature: type[Signature], inputs: Mapping[str, Any], mode: str) -> list[dict[str, str]]:
        """Return the entries of the history among `inputs` as turns; each looks like a demo's."""
        field = _history_field(signature)
        if field is None or inputs.get(field) is None:
            return []
        write, names = self._writer(signature), _written(signature)
        known = (*names, *signature.output_fields)
        found: list[dict[str, str]] = []
        for entry in _entries(inputs[field], field):
            if not any(name in entry for name in known):
                raise FormatError(
                    f"An entry of the history `{field}` holds none of the signature's fields ({', '.join(known)}), so "
                    f"nothing of it would be sent. Given: {shown(entry)}."
                )
            if any(name in entry for name in names):
                found.append({"role": "user", "content": write(entry)})
            outputs = {name: entry[name] for name in signature.output_fields if entry.get(name) is not None}
            if outputs:
                found.append({"role": "assistant", "content": self.demo_reply(signature, outputs, mode)})
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
        able = lm.capabilities if isinstance(lm, LM) and not thinking else Capabilities()
        mode = self.mode(signature, able)
        source = source_of(lm, lm_kwargs, signature, demos, mode)
        plan = self._plans.get(signature, source)
        if plan is None:
            self.check(signature)
            plan = self._new_plan(lm, lm_kwargs, signature, demos, mode, source)
            self._plans.put(signature, plan)
        return plan

    def _new_plan(
        self,
        lm: BaseLM,
        lm_kwargs: dict[str, Any],
        signature: type[Signature],
        demos: list[Any],
        mode: str,
        source: tuple[Any, ...],
    ) -> Plan:
        check_call(lm_kwargs, lm, self.name)
        system, turns = self._prefix_texts(signature, demos, mode)
        merged = {**lm.kwargs, **lm_kwargs}
        cache = merged.pop("cache", None)
        count = _count(merged.pop("n", None))
        rollout = rollout_number(merged.pop("rollout_id", None))
        effort = merged.pop("reasoning_effort", None)
        if effort is not None:
            merged["reasoning"] = _effort(effort)
        config = request_config(merged, self.constraint(signature, mode))
        if isinstance(lm, LM):
            configs = [effective(config, rollout + draw, draw) for draw in range(count)]
        else:
            configs = [config if config.seed is None else replace(config, seed=config.seed + n) for n in range(count)]
        messages = tuple(map(message_of, turns))
        return Plan(
            source=source,
            mode=mode,
            prefixes=tuple(Prefix(lm.model, system, messages, one) for one in configs),
            write_inputs=self._writer(signature),
            history=[{"role": "system", "content": system}, *turns],
            rollout=rollout,
            turns=_history_field(signature),
            cache=cache,
        )


def field_notes(signature: type[Signature]) -> str:
    """Return one line per field that the user described, empty where there is none."""
    notes = [
        f"{name}: {note}" for name, info in signature.fields.items() if (note := field_description(info)) is not None
    ]
    return "\n".join(notes)


def _text_of(response: Response) -> str | None:
    """Return the text of a reply. DSPy's streams turn a JSON object with choices in it into data."""
    data = response.message.first(DataPart)
    return response.text if data is None else json.dumps(data.value, ensure_ascii=False)


def _said(text: str | None, *, cut: bool) -> str:
    if text is None or not text.strip():
        raise ParseError("The reply is empty.", reason="truncated" if cut else "empty", raw=text or "")
    return text


@contextlib.contextmanager
def _shown_as(mode: str) -> Iterator[None]:
    token = _SENT.set(mode)
    try:
        yield
    finally:
        _SENT.reset(token)


def _has_parts(annotation: Any) -> bool:
    if isinstance(annotation, type) and issubclass(annotation, _PARTS):
        return not issubclass(annotation, _TEXTS)
    return any(map(_has_parts, get_args(annotation)))


def _history_field(signature: type[Signature]) -> str | None:
    """Return the input whose entries are turns."""
    return next((name for name, info in signature.input_fields.items() if _is_history(info.annotation)), None)


def _is_history(annotation: Any) -> bool:
    kinds = [kind for kind in get_args(annotation) or (annotation,) if kind is not type(None)]
    return kinds == [History]


def _written(signature: type[Signature]) -> dict[str, Any]:
    """Return the types of the inputs that stand in a message."""
    turns = _history_field(signature)
    return {name: annotation for name, annotation in input_types(signature).items() if name != turns}


def _entries(history: Any, field: str) -> Sequence[Mapping[str, Any]]:
    entries = getattr(history, "messages", history)
    if isinstance(entries, (list, tuple)) and all(isinstance(entry, Mapping) for entry in entries):
        return entries
    raise FormatError(
        f"Input `{field}` is no history: {shown(history)}. Give a `dspy.History(messages=[...])` whose entries are "
        "dicts of the signature's fields."
    )


def _asked_as(signature: type[Signature]) -> type[Signature]:
    """Return the signature that DSPy sends for outputs of its decision types: probabilities instead of a value."""
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
    """Return what is asked for in the reply, and name and type of the output that the model's thinking fills."""
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


def _thinking(response: Response) -> str:
    return "".join(part.text for part in response.message.parts if isinstance(part, ThinkingPart)).strip()


def _count(given: Any) -> int:
    """Return how many draws `n` asks for."""
    if given is None or given == 0:  # DSPy's own adapters take 0 for 1 as well
        return 1
    if isinstance(given, bool) or not isinstance(given, int) or given < 1:
        raise FormatError(f"`n` is how many replies to draw: a whole number from 1. Given: {shown(given)}.")
    return given


def _effort(given: Any) -> Effort:
    try:
        return Effort(effort="off" if given == "none" else given)
    except (TypeError, ValueError) as error:
        raise FormatError(f"`reasoning_effort` cannot be used: {error}. Given: {shown(given)}.") from error
