"""`Team`: several agents with roles, which speak in turn until they agree, and then an answer."""

from collections.abc import Generator, Mapping, Sequence
from typing import Any

from tunesmith.errors import ParseError, UsageError, shown
from tunesmith.formats import AdapterParseError
from tunesmith.lm import Call as LMCall
from tunesmith.modules.agents.conversation import fitting, turn_text
from tunesmith.modules.agents.counted import Counted, tokens_of
from tunesmith.modules.flow import Call, Flow, Steps, until_budget
from tunesmith.modules.flows.parts import Parts, prediction_fields
from tunesmith.modules.module import Module, Prediction, as_signature, signature_of
from tunesmith.modules.predict import Predict
from tunesmith.modules.registry import register_module
from tunesmith.modules.setting import Setting
from tunesmith.signatures import InputField, OutputField, Signature, is_generated

__all__ = ["Team"]

_CONVERSATION, _SAYS, _DONE = "conversation", "says", "done"
_NOTHING = "Nobody has said anything."


@register_module
class Team(Flow):
    """Let members with roles speak in turn about a task until all are done or a limit is reached, then conclude.

    In the manner of CAMEL (Li et al. 2023, "Communicative Agents for 'Mind' Exploration", section 3): each role is in
    the instruction of its member, which reads the task and the conversation and writes what it `says`, and whether from
    its view the task is `done`. Differences: any number of members; the talk ends when all of them, one after the
    other, say that it is done; and the predictor `conclude` reads the answer from the conversation.

    Returns the outputs of `conclude` with `messages`, a list of `{"member": ..., "message": ...}`, and `stopped`:
    `done`, `turns`, `max_tokens`, or `budget`, which ended after the first message; the outputs are then `None`. One
    run is at most one call for each turn, in the order of the members, and one of `conclude`. A member whose reply
    cannot be read says nothing in that turn.

    Args:
        conclude: a signature of the task, or a predictor of the task's inputs and `conversation`.
        roles: of each member, in words; it becomes the instruction of the member's predictor.
        turns: most messages.
        max_tokens: no turn begins when the turns used as many, in and out; 0 for no limit.
        tokens: most tokens of the last messages, which a member reads. A token is a word, a mark, or one Chinese
            character.
        order: names of the members in the order in which they speak; default that of `roles`.
        **members: modules that take the place of the predictor of a role, such as a `ts.ReAct` with an input
            `conversation` and an output `says`. An output `done` is optional.

    Raises:
        UsageError: there are fewer than two members, one has no role or lacks a field, or the signature has a field
            that the module uses.

    Example:
        >>> import dspy
        >>> import tunesmith as ts
        >>> roles = {"writer": "You write the line.", "critic": "You say what is wrong with the line."}
        >>> team = ts.Team("topic -> line", roles)
        >>> replies = [
        ...     '{"says": "Snow falls.", "done": true}',
        ...     '{"says": "Good.", "done": true}',
        ...     "Snow falls.",
        ... ]
        >>> with dspy.context(lm=ts.ScriptedLM(*replies)):
        ...     found = team(topic="winter")
        >>> found.line, found.stopped, [one["member"] for one in found.messages]
        ('Snow falls.', 'done', ['writer', 'critic'])
    """

    turns: int = Setting(6, choices=(2, 4, 6), low=1, help="most messages")
    max_tokens: int = Setting(0, low=0, help="tokens after which no turn begins; 0: no limit")
    tokens: int = Setting(1000, low=20, help="most tokens of the messages that a member reads")

    def __init__(
        self,
        conclude: Any,
        roles: Mapping[str, str],
        turns: int = 6,
        max_tokens: int = 0,
        tokens: int = 1000,
        *,
        order: Sequence[str] | None = None,
        **members: Module,
    ) -> None:
        super().__init__()
        if not isinstance(roles, Mapping) or not all(isinstance(text, str) for text in roles.values()):
            raise UsageError(
                f"`roles` maps each member to its role, as in {{'critic': 'You ...'}}. Given: {shown(roles)}."
            )
        if len(roles) < 2:
            raise UsageError(
                f"`roles` has two or more members, as {{'a': 'You ...', 'b': ...}}. Given: {shown(roles)}."
            )
        unknown = [name for name in members if name not in roles]
        if unknown:
            raise UsageError(f"The member `{unknown[0]}` has no role. `roles` has: {', '.join(roles)}.")
        self.roles = dict(roles)
        self.conclude, self.signature = _concluding(conclude)
        made = {name: members.get(name) or Predict(_speaking(self.signature, role)) for name, role in roles.items()}
        self.parts = Parts(self, "member", made, order, least=2)
        self._check_members()
        self.turns, self.max_tokens, self.tokens = turns, max_tokens, tokens

    def spec(self) -> Mapping[str, Any]:
        """Return the constructor's arguments except the settings."""
        members = {name: getattr(self, name) for name in self.parts.names}
        return {"conclude": self.conclude, "roles": self.roles, "order": self.parts.names, **members}

    def calls(self) -> Mapping[str, int]:
        """Return how often one run runs each inner module at most."""
        count = len(self.parts.names)
        spoken = {name: (self.turns - place + count - 1) // count for place, name in enumerate(self.parts.names)}
        return {**spoken, "conclude": 1}

    def steps(self, **inputs: Any) -> Steps:
        """Talk and conclude."""
        messages: list[dict[str, str]] = []
        outputs: dict[str, Any] = dict.fromkeys(self.signature.output_fields)
        stopped = yield from until_budget(self._work(inputs, messages, outputs), messages)
        return Prediction(**{**outputs, "messages": messages, "stopped": stopped})

    def _work(
        self, inputs: Mapping[str, Any], messages: list[dict[str, str]], outputs: dict[str, Any]
    ) -> Generator[Call, Any, str]:
        """Put what is said into `messages`, and the answer into `outputs`; return why the talk stopped."""
        stopped = yield from self._talk(inputs, messages)
        found = yield Call(self.conclude, {**inputs, _CONVERSATION: self._read(messages)})
        outputs.update(found.items())
        return stopped

    def _talk(self, inputs: Mapping[str, Any], messages: list[dict[str, str]]) -> Generator[Call, Any, str]:
        used: list[LMCall] = []
        agreed = 0
        for turn in range(self.turns):
            if self.max_tokens and tokens_of(used) >= self.max_tokens:
                return "max_tokens"
            name = self.parts.names[turn % len(self.parts.names)]
            call = self.parts.call(self, name, {**inputs, _CONVERSATION: self._read(messages)})
            try:
                found = yield Call(Counted(call.module, used), call.inputs)
            except (ParseError, AdapterParseError):  # the member says nothing, and the others go on
                agreed = 0
                continue
            said = prediction_fields(found, f"The member `{name}`")
            messages.append({"member": name, "message": str(said.get(_SAYS))})
            agreed = agreed + 1 if said.get(_DONE) is True else 0
            if agreed == len(self.parts.names):
                return _DONE
        return "turns"

    def _read(self, messages: Sequence[Mapping[str, str]]) -> str:
        """Return the last messages, as a member reads them."""
        texts = [turn_text({one["member"]: one["message"]}, number) for number, one in enumerate(messages, 1)]
        return "\n".join(fitting(reversed(texts), self.tokens)[::-1]) or _NOTHING

    def _check_members(self) -> None:
        for name in self.parts.names:
            inputs, outputs = self.parts.input_types(name), self.parts.output_types(name)
            if _CONVERSATION not in inputs or (outputs is not None and _SAYS not in outputs):
                raise UsageError(
                    f"The member `{name}` needs an input `{_CONVERSATION}` and an output `{_SAYS}`. Its inputs: "
                    f"{', '.join(inputs)}; outputs: {', '.join(outputs or ())}."
                )


def _concluding(given: Any) -> tuple[Any, type[Signature]]:
    """Return the predictor that concludes, and the signature of the task."""
    if isinstance(given, Module):
        predictors = given.named_predictors()
        if len(predictors) != 1 or _CONVERSATION not in signature_of(predictors[0][1]).input_fields:
            raise UsageError(f"`conclude` must be a signature, or a predictor with an input `{_CONVERSATION}`.")
        task: Any = signature_of(predictors[0][1]).delete(_CONVERSATION)
        return given, task
    signature = as_signature(given)
    taken = [name for name in (_SAYS, _DONE, "messages", "stopped") if name in signature.fields]
    if taken:
        raise UsageError(f"The signature has a field `{taken[0]}`, but `Team` adds that field itself. Rename it.")
    return Predict(_reading(signature)), signature


def _speaking(signature: Any, role: str) -> type[Signature]:
    """Return the signature of a member. Its instruction is its role, and a compiler may reword it."""
    made = signature
    for name in signature.output_fields:
        made = made.delete(name)
    task = (
        "" if is_generated(signature, signature.instructions) else f"\nThe task of the team: {signature.instructions}"
    )
    how = f"{role}{task}\nAnswer the others in one to three sentences, and say whether the task is done."
    made = _reading(made).append(_SAYS, OutputField(), str).append(_DONE, OutputField(), bool)
    found: type[Signature] = made.with_instructions(how)
    return found


def _reading(signature: Any) -> Any:
    """Return a signature with the conversation among its inputs."""
    if _CONVERSATION in signature.fields:
        raise UsageError(f"The signature has a field `{_CONVERSATION}`, but `Team` adds that field itself. Rename it.")
    return signature.append(_CONVERSATION, InputField(), str)
