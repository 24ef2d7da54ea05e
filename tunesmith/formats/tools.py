"""`tools`: a thought and the call of a tool, by the model's own way of calling tools if it has one."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from tunesmith.errors import FormatError, ParseError
from tunesmith.formats.format import ReplyError, field_notes, thinking_of
from tunesmith.formats.json import JsonFormat
from tunesmith.formats.options import Constraint
from tunesmith.formats.plan import Plan
from tunesmith.formats.registry import register
from tunesmith.formats.rendered import call_turn, result_turn
from tunesmith.formats.thoughts import without_thoughts
from tunesmith.formats.unheld import object_within
from tunesmith.lazy import lazy_module, lazy_pattern
from tunesmith.lm import Capabilities, FunctionTool, Response, TextPart, ToolCallPart
from tunesmith.signatures import Signature, output_types

if TYPE_CHECKING:
    from tunesmith.formats import streaming
    from tunesmith.formats.streaming import FieldReader
else:
    streaming = lazy_module("tunesmith.formats.streaming")  # most calls are not streamed

__all__ = ["OFFERED", "ToolsFormat", "offered_tools"]

OFFERED = "offered_tools"
"""The attribute of an output's type that holds the tools which the output may call, as `FunctionTool`s."""

_NATIVE = "tools"
_NAME = lazy_pattern(r"[A-Za-z0-9_-]{1,64}")  # what OpenAI takes as the name of a tool
_TAGS = lazy_pattern(r"</?tool_call>|<\|python_tag\|>")
_RETURNED = "See the observation of this step."


class ToolsFormat(JsonFormat):
    """A text and a call of a tool: `{"tool": name, "arguments": {...}}`, in an output whose type offers the tools.

    A model that calls tools by itself gets them as tools, and its call is the output; what it writes beside the call,
    or else its thoughts, is the text. Every other model gets the request of `json`, and so does one whose server
    refuses tools. Of several calls in a reply the first counts. A model that writes its call as text, as small ones do,
    is read, too; a reply without a call is a `ParseError`.
    """

    name: ClassVar[str] = _NATIVE

    def check_outputs(self, signature: type[Signature]) -> None:
        """Refuse outputs other than a call, or a text and a call."""
        super().check_outputs(signature)
        if offered_tools(signature) is None or len(signature.output_fields) > 2:
            raise FormatError(
                f"The format `{self.name}` carries a text and a call of a tool, as `ts.ReAct` has them. Use `json`."
            )

    def mode(self, signature: type[Signature], capabilities: Capabilities, *, shown: bool = False) -> str:
        """Send tools if the model calls them by itself, and all have names that every server takes."""
        found = offered_tools(signature)
        if capabilities.tools and found is not None and all(_NAME.fullmatch(tool.name) for tool in found[1]):
            return _NATIVE
        return super().mode(signature, capabilities, shown=shown)

    def constraint(self, signature: type[Signature], mode: str) -> Constraint:
        """Return the tools, or the constraint of `json`."""
        found = offered_tools(signature)
        return Constraint(tools=found[1]) if mode == _NATIVE and found else super().constraint(signature, mode)

    def disproves(self, signature: type[Signature], text: str, mode: str, *, cut: bool) -> bool:
        """Return whether the grammar or the schema of all outputs cannot have allowed the reply."""
        return mode != _NATIVE and super().disproves(signature, text, mode, cut=cut)

    def reader(self, signature: type[Signature], mode: str) -> "FieldReader":
        """Return a reader of the object, or one that waits for the call."""
        return streaming.WholeReader() if mode == _NATIVE else super().reader(signature, mode)

    def _system(self, signature: type[Signature], mode: str) -> str:
        if mode != _NATIVE:
            return self.system_text(signature)
        inputs: Any = signature
        for name in signature.output_fields:
            inputs = inputs.delete(name)
        return "\n".join(part for part in (signature.instructions, field_notes(inputs)) if part)

    def _reply_turns(self, signature: type[Signature], outputs: Mapping[str, Any], mode: str) -> list[dict[str, Any]]:
        text, action = _names(signature)
        call = outputs.get(action)
        if mode != _NATIVE or not isinstance(call, Mapping) or not isinstance(call.get("arguments"), Mapping):
            return super()._reply_turns(signature, outputs, mode)
        name, said = str(call.get("tool") or "?"), str(outputs.get(text, ""))
        return [call_turn(said, name, call["arguments"], "call_0"), result_turn(_RETURNED, name, "call_0")]

    def _outputs(self, signature: type[Signature], plan: Plan, response: Response) -> dict[str, Any]:
        if plan.mode != _NATIVE:
            return super()._outputs(signature, plan, response)
        text, action = _names(signature)
        said = "".join(part.text for part in response.message.parts if isinstance(part, TextPart))
        cut = response.finish_reason == "length"
        call = response.message.first(ToolCallPart)
        if call is None:
            return self._written(signature, said, cut=cut)
        try:
            thought = without_thoughts(said).strip()
        except ParseError:
            thought = said.strip()
        found = {text: thought or thinking_of(response)} if text else {}
        return {**found, action: {"tool": call.name, "arguments": dict(call.input)}}

    def _written(self, signature: type[Signature], said: str, *, cut: bool) -> dict[str, Any]:
        """Return the outputs of a model that wrote its call into the text."""
        text, action = _names(signature)
        try:
            answer = without_thoughts(said, cut=cut)
            call = _call_in(answer)
            if call is not None:
                return {**({text: ""} if text else {}), action: call}
            return self.read(signature, answer, "none", cut=cut)
        except ParseError as error:
            if not said.strip():
                why = ParseError("The reply is empty: no tool is called.", reason="empty", raw=said)
            elif error.reason == "truncated":
                why = error
            else:
                why = ParseError("No tool is called. Call one.", reason="missing", raw=said, field=action)
            raise ReplyError(why, self.name, signature) from error


def offered_tools(signature: type[Signature]) -> tuple[str, tuple[FunctionTool, ...]] | None:
    """Return the output that calls a tool, with the tools that it may call; `None` without one."""
    for name, kind in output_types(signature).items():
        tools: tuple[FunctionTool, ...] = getattr(kind, OFFERED, ())
        if tools:
            return name, tools
    return None


def _names(signature: type[Signature]) -> tuple[str, str]:
    """Return the output that holds the text, empty without one, and the one that holds the call."""
    found = offered_tools(signature)
    action = found[0] if found else ""
    return next((name for name in signature.output_fields if name != action), ""), action


def _call_in(text: str) -> dict[str, Any] | None:
    """Return the call that a text holds in one of the forms that models are trained on, `None` if it holds none."""
    found = object_within(_TAGS.sub("", text))
    if found is None:
        return None
    inside = found["function"] if isinstance(found.get("function"), Mapping) else found
    name = next((inside[key] for key in ("name", "tool", "function") if isinstance(inside.get(key), str)), None)
    given = next((inside[key] for key in ("arguments", "parameters") if key in inside), None)
    if isinstance(given, str):
        try:
            given = json.loads(given)
        except ValueError:
            return None
    return {"tool": name, "arguments": dict(given)} if name and isinstance(given, Mapping) else None


register(ToolsFormat())
