"""What a prompt format is; the door to DSPy's adapters.

A format renders (signature, demos, inputs) to one request and reads the reply into typed outputs. It is a
`dspy.Adapter` that overrides `__call__` and `acall`, because a grammar cannot travel through `format()`.
`format()` and `parse()` stay for display, for callbacks and for modules that call them.
"""

import json
import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar

from dspy.adapters import Adapter, ChatAdapter
from dspy.utils.exceptions import AdapterParseError

from tunesmith.errors import FormatError, ParseError
from tunesmith.formats.fields import text_writer
from tunesmith.lm import (
    LM,
    BaseLM,
    Capabilities,
    Config,
    Message,
    Prefix,
    Request,
    Response,
    effective,
    message_text,
    rollout_number,
)
from tunesmith.signatures import Signature, field_description

__all__ = ["Adapter", "ChatAdapter", "Constraint", "Format", "Rendered", "ReplyError", "turn"]

_PLANS_PER_SIGNATURE = 16


@dataclass(frozen=True, slots=True)
class Constraint:
    """How a reply is held to its shape: a GBNF grammar or a JSON Schema, and where it stops."""

    grammar: str | None = None
    schema: Mapping[str, Any] | None = None
    stop: tuple[str, ...] = ()


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


@dataclass(frozen=True, slots=True)
class _Plan:
    """A rendered prefix with what it was rendered from; valid while that is equal."""

    instructions: str
    demos: list[Any]
    lm_kwargs: dict[str, Any]
    defaults: dict[str, Any]
    model: str
    mode: str
    prefix: Prefix
    write_inputs: Callable[[Mapping[str, Any]], str]
    history: list[dict[str, Any]]
    rollout: int
    count: int


class Format(Adapter):
    """One prompt format. A subclass says how the parts look; everything else is here.

    A subclass sets `name` and overrides `system_text`, `demo_reply`, `constraint` and `read`, and where the input
    side differs `cue`. It must be constructible without arguments: `dspy.Refine` makes its own.
    """

    name: ClassVar[str] = ""

    def __init__(self) -> None:
        super().__init__()
        self._plans: weakref.WeakKeyDictionary[type[Signature], list[_Plan]] = weakref.WeakKeyDictionary()
        self._lock = threading.Lock()

    def __deepcopy__(self, memo: dict[int, Any]) -> "Format":
        return self  # it holds nothing but rendered prefixes

    def __repr__(self) -> str:
        return f"<format {self.name}>"

    # What a subclass says -----------------------------------------------------------------------------------

    def check(self, signature: type[Signature]) -> None:
        """Raise `FormatError` where this format cannot carry `signature`."""

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
        request = plan.prefix.request(final)
        if isinstance(lm, LM) and lm.direct() and not self.callbacks:
            return [
                self._outputs(
                    signature,
                    plan,
                    lm.send(
                        request,
                        rollout=plan.rollout + draw,
                        prefix=plan.prefix,
                        messages=lambda: [*plan.history, turn("user", final)],
                    ),
                )
                for draw in range(plan.count)
            ]
        self.format(signature, demos, inputs)  # for callbacks: what is sent was rendered above
        return [
            self._outputs(signature, plan, lm(request, **_rollout(lm, plan, draw)), visible=True)
            for draw in range(plan.count)
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
        request = plan.prefix.request(Message.user(plan.write_inputs(inputs)))
        return [
            self._outputs(signature, plan, await lm.acall(request, **_rollout(lm, plan, draw)))
            for draw in range(plan.count)
        ]

    def format(self, signature: type[Signature], demos: list[Any], inputs: dict[str, Any]) -> list[dict[str, Any]]:
        """Return the messages for display and export, as an engine with every constraint would get them."""
        capabilities = Capabilities(frozenset({"grammar", "json_schema"}))
        mode = self.mode(signature, capabilities)
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
        plan: _Plan,
        response: Response,
        *,
        visible: bool = False,
    ) -> dict[str, Any]:
        text = response.text
        cut = response.finish_reason == "length"
        try:
            found = self.read(signature, _said(text, cut=cut), plan.mode, cut=cut)
        except ParseError as error:
            raise ReplyError(error, self.name, signature) from error
        if visible:
            self.parse(signature, text or "")  # for callbacks: what counts was read above
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
            values = _values(demo)
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
    ) -> _Plan:
        plans = self._plans.get(signature)
        if plans is not None:
            snapshot = [_values(demo) for demo in demos]
            instructions, model, defaults = signature.instructions, lm.model, lm.kwargs
            for plan in plans:
                if (
                    plan.demos == snapshot
                    and plan.lm_kwargs == lm_kwargs
                    and plan.defaults == defaults
                    and plan.instructions == instructions
                    and plan.model == model
                    and (not isinstance(lm, LM) or plan.mode == self.mode(signature, lm.capabilities))
                ):
                    return plan
        self.check(signature)
        plan = self._new_plan(lm, lm_kwargs, signature, demos)
        with self._lock:
            kept = self._plans.get(signature, [])[-_PLANS_PER_SIGNATURE + 1 :]
            self._plans[signature] = [*kept, plan]
        return plan

    def _new_plan(
        self,
        lm: BaseLM,
        lm_kwargs: dict[str, Any],
        signature: type[Signature],
        demos: list[Any],
    ) -> _Plan:
        capabilities = lm.capabilities if isinstance(lm, LM) else Capabilities()
        mode = self.mode(signature, capabilities)
        system, turns = self._prefix_texts(signature, demos, mode)
        merged = {**lm.kwargs, **lm_kwargs}
        count = merged.pop("n", None) or 1
        rollout = rollout_number(merged.pop("rollout_id", None))
        config = _config(merged, self.constraint(signature, mode))
        if isinstance(lm, LM):
            config = effective(config, rollout)
        messages = tuple(
            Message.user(t["content"]) if t["role"] == "user" else Message.assistant(t["content"]) for t in turns
        )
        return _Plan(
            instructions=signature.instructions,
            demos=[dict(_values(demo)) for demo in demos],
            lm_kwargs=dict(lm_kwargs),
            defaults=dict(lm.kwargs),
            model=lm.model,
            mode=mode,
            prefix=Prefix(lm.model, system, messages, config),
            write_inputs=self._writer(signature),
            history=[{"role": "system", "content": system}, *turns],
            rollout=rollout,
            count=count,
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


def _said(text: str | None, *, cut: bool) -> str:
    if text is None or not text.strip():
        raise ParseError("The reply is empty.", reason="truncated" if cut else "empty", raw=text or "")
    return text


def _values(demo: Any) -> dict[str, Any]:
    store = getattr(demo, "_store", None)
    return store if store is not None else demo


def _rollout(lm: BaseLM, plan: _Plan, draw: int) -> dict[str, Any]:
    number = plan.rollout + draw
    return {"rollout_id": number} if number else {}


_CONFIG_NAMES = frozenset(field.name for field in fields(Config)) - {
    "extensions",
    "response_format",
    "stop",
}
# What DSPy's own engines read from the LM itself, and what only messages= calls know.
_NOT_SENT = frozenset(
    {
        "api_key", "api_base", "base_url", "timeout", "headers", "extra_headers", "cache", "num_retries",
        "num_generations", "response_format", "tools", "tool_choice", "parallel_tool_calls", "prediction",
        "model_list", "api_version", "prompt_cache",
    }
)  # fmt: skip


def _config(options: dict[str, Any], constraint: Constraint) -> Config:
    known: dict[str, Any] = {}
    extensions: dict[str, Any] = {}
    for name, value in options.items():
        if value is None or name in _NOT_SENT:
            continue
        if name == "max_completion_tokens":
            known["max_tokens"] = value
        elif name == "logprobs":
            known["logprobs"] = options.get("top_logprobs") or (5 if value is True else value)
        elif name in ("stop", "top_logprobs"):
            continue
        elif name in _CONFIG_NAMES:
            known[name] = value
        else:
            extensions[name] = value
    stop = options.get("stop") or ()
    stop = (stop,) if isinstance(stop, str) else tuple(stop)
    known["stop"] = (*stop, *(s for s in constraint.stop if s not in stop))
    if constraint.grammar is not None:
        extensions["grammar"] = constraint.grammar
    if constraint.schema is not None:
        known["response_format"] = {
            "type": "json_schema",
            "name": "reply",
            "schema": dict(constraint.schema),
            "strict": True,
        }
    try:
        return Config(**known, extensions=extensions or None)
    except (TypeError, ValueError) as error:
        raise FormatError(
            f"A request option cannot be used: {error}. Given: {json.dumps(options, default=repr)}."
        ) from error
