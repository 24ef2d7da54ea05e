"""What a prompt format is; the door to DSPy's adapters.

A format renders (signature, demos, inputs) to one request and reads the reply into typed outputs. It is a
`dspy.Adapter` that overrides `__call__` and `acall`, because a grammar cannot travel through `format()`.
`format()` and `parse()` stay for display, for callbacks and for modules that call them.
"""

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, fields
from typing import Any, ClassVar, get_args

from dspy.adapters import Adapter, ChatAdapter
from dspy.adapters.types import Code, History, Reasoning, Tool, ToolCallResults, Type
from dspy.lm15 import DataPart
from dspy.utils.exceptions import AdapterParseError

from tunesmith.errors import FormatError, ParseError
from tunesmith.formats.fields import text_writer
from tunesmith.formats.options import Constraint, request_config
from tunesmith.formats.plan import Plan, Plans, source_of, values_of
from tunesmith.lm import (
    LM,
    BaseLM,
    Capabilities,
    Message,
    Prefix,
    Request,
    Response,
    effective,
    message_text,
    rollout_number,
)
from tunesmith.signatures import Signature, field_description, input_types, type_text

__all__ = ["Adapter", "AdapterParseError", "ChatAdapter", "Format", "HeardOnce", "Rendered", "ReplyError", "turn"]

# Values of these types are messages or parts of one; the others of DSPy's own types are text.
_PARTS = (Type, History, ToolCallResults)
_TEXTS = (Code, Reasoning, Tool)

_SENT: ContextVar[str | None] = ContextVar("tunesmith_sent_mode", default=None)
"""The mode of the call that `format` is shown for, `None` outside of one."""


@dataclass(frozen=True, slots=True)
class Rendered:
    """Exactly what would be sent.

    Attributes:
        messages: `{"role", "content"}` of every message, the system text first.
        constraint: `{"grammar": ...}` or `{"schema": ...}`, `None` where the reply is free.
        options: temperature, seed, max_tokens and whatever else is set.
        request: the request itself.
    """

    messages: tuple[dict[str, str], ...]
    constraint: Mapping[str, Any] | None
    options: Mapping[str, Any]
    request: Request

    @classmethod
    def of(cls, request: Request) -> "Rendered":
        """Return `request` in readable form."""
        system = [] if request.system is None else [{"role": "system", "content": request.system}]
        turns = [{"role": m.role, "content": message_text(m) or ""} for m in request.messages]
        config = request.config
        extensions = dict(config.extensions or {})
        grammar = extensions.pop("grammar", None)
        constraint: dict[str, Any] | None = None if grammar is None else {"grammar": grammar}
        if config.response_format is not None:
            constraint = {"schema": config.response_format.get("schema", config.response_format)}
        options = {
            f.name: getattr(config, f.name)
            for f in fields(config)
            if f.name not in ("response_format", "extensions") and getattr(config, f.name) not in (None, ())
        }
        return cls((*system, *turns), constraint, {**options, **extensions}, request)  # type: ignore[arg-type]

    def to_json(self) -> dict[str, Any]:
        """Return everything as JSON values."""
        return {
            "messages": list(self.messages),
            "constraint": None if self.constraint is None else dict(self.constraint),
            "options": {n: list(v) if isinstance(v, tuple) else v for n, v in self.options.items()},
        }


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
    side differs `cue`. It must be constructible without arguments: `dspy.Refine` makes its own.
    """

    name: ClassVar[str] = ""

    def __init__(self) -> None:
        super().__init__()
        self._plans = Plans()

    def __deepcopy__(self, memo: dict[int, Any]) -> "Format":
        return self  # it holds nothing but rendered prefixes

    def __repr__(self) -> str:
        return f"<format {self.name}>"

    # What a subclass says -----------------------------------------------------------------------------------

    def check(self, signature: type[Signature]) -> None:
        """Raise `FormatError` where this format cannot carry `signature`."""
        for name, annotation in input_types(signature).items():
            if _has_parts(annotation):
                raise FormatError(
                    f"Input `{name}` is a `{type_text(annotation)}`, which the format `{self.name}` cannot write as "
                    "text. Use the format `chat`."
                )

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

    # What every format shares -------------------------------------------------------------------------------

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
        plan = self._plan(lm, lm_kwargs, signature, demos)
        final = Message.user(plan.write_inputs(inputs))
        if isinstance(lm, LM) and lm.direct() and not self.callbacks:
            return [
                self._outputs(
                    signature,
                    plan,
                    lm.send(
                        prefix.request(final),
                        rollout=plan.rollout + draw,
                        prefix=prefix,
                        messages=lambda: [*plan.history, turn("user", final)],
                    ),
                )
                for draw, prefix in enumerate(plan.prefixes)
            ]
        with _shown_as(plan.mode):
            self.format(signature, demos, inputs)  # for callbacks: what is sent was rendered above
        return [
            self._outputs(signature, plan, lm(prefix.request(final), **_rollout(plan, draw)), visible=True)
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
        plan = self._plan(lm, lm_kwargs, signature, demos)
        final = Message.user(plan.write_inputs(inputs))
        visible = not isinstance(lm, LM) or not lm.direct() or bool(self.callbacks)
        if visible:
            with _shown_as(plan.mode):
                self.format(signature, demos, inputs)
        return [
            self._outputs(
                signature, plan, await lm.acall(prefix.request(final), **_rollout(plan, draw)), visible=visible
            )
            for draw, prefix in enumerate(plan.prefixes)
        ]

    def format(self, signature: type[Signature], demos: list[Any], inputs: dict[str, Any]) -> list[dict[str, Any]]:
        """Return the messages for display and export, as an engine with every constraint would get them."""
        mode = _SENT.get() or self.mode(signature, Capabilities(frozenset({"grammar", "json_schema"})))
        system, turns = self._prefix_texts(signature, demos, mode)
        final = turn("user", Message.user(self._writer(signature)(inputs)))
        return [{"role": "system", "content": system}, *turns, final]

    def format_user_message_content(
        self,
        signature: type[Signature],
        inputs: dict[str, Any],
        prefix: str = "",
        suffix: str = "",
        main_request: bool = False,  # noqa: FBT001, FBT002 - DSPy's signature
    ) -> str:
        """Return `inputs` as they stand in a user message; `dspy.ReAct` writes its trajectory with it."""
        text = text_writer(signature)(inputs)
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
        if response.logprobs is not None:
            found["logprobs"] = response.logprobs
        return found

    def _writer(self, signature: type[Signature]) -> Callable[[Mapping[str, Any]], str]:
        write, cue = text_writer(signature), self.cue(signature)
        if not cue:
            return write
        return lambda inputs: write(inputs) + cue

    def _prefix_texts(
        self, signature: type[Signature], demos: Sequence[Any], mode: str
    ) -> tuple[str, list[dict[str, str]]]:
        write = self._writer(signature)
        whole: list[list[dict[str, str]]] = []
        partial: list[list[dict[str, str]]] = []
        for demo in demos:
            values = values_of(demo)
            outputs = {name: values[name] for name in signature.output_fields if name in values}
            inputs = {name: values[name] for name in signature.input_fields if name in values}
            if not outputs or not inputs:
                continue
            pair = [
                {"role": "user", "content": write(inputs)},
                {"role": "assistant", "content": self.demo_reply(signature, outputs, mode)},
            ]
            (whole if len(outputs) == len(signature.output_fields) else partial).append(pair)
        # DSPy's order too: what looks exactly like a whole answer stands last, nearest to the question.
        return self.system_text(signature, mode), [message for pair in (*partial, *whole) for message in pair]

    def _plan(
        self,
        lm: BaseLM,
        lm_kwargs: dict[str, Any],
        signature: type[Signature],
        demos: list[Any],
    ) -> Plan:
        mode = self.mode(signature, lm.capabilities if isinstance(lm, LM) else Capabilities())
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
        system, turns = self._prefix_texts(signature, demos, mode)
        merged = {**lm.kwargs, **lm_kwargs}
        count = merged.pop("n", None) or 1
        rollout = rollout_number(merged.pop("rollout_id", None))
        config = request_config(merged, self.constraint(signature, mode))
        configs = [effective(config, rollout + draw) if isinstance(lm, LM) else config for draw in range(count)]
        messages = tuple(
            Message.user(t["content"]) if t["role"] == "user" else Message.assistant(t["content"]) for t in turns
        )
        return Plan(
            source=source,
            mode=mode,
            prefixes=tuple(Prefix(lm.model, system, messages, one) for one in configs),
            write_inputs=self._writer(signature),
            history=[{"role": "system", "content": system}, *turns],
            rollout=rollout,
        )


def turn(role: str, message: Message) -> dict[str, str]:
    """Return a text message in the form DSPy's histories use."""
    return {"role": role, "content": message_text(message) or ""}


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


def _rollout(plan: Plan, draw: int) -> dict[str, Any]:
    number = plan.rollout + draw
    return {"rollout_id": number} if number else {}
