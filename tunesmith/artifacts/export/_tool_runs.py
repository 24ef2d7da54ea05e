"""A run of `ts.ReAct` as one conversation with calls of tools and what they returned."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from tunesmith.artifacts.export._replies import CALL, OBSERVATION, LeftOut, Prompt, demo_of, prompt_of, reply_of
from tunesmith.evaluation import Row
from tunesmith.modules import FINISH, Module, Predict, ReAct, with_default_formats

__all__ = ["ToolRuns"]


class ToolRuns:
    """Makes conversations of the runs of a program's only `ts.ReAct`.

    The prompt is that of a plain predictor over the same fields, and the last turn its reply: the tools are no part of
    a text, because who trains on tool calls gives the tools apart.

    Attributes:
        tools: name, description and parameters of each tool; empty if the program has no `ReAct`, or several.
        predictors: paths whose steps are in the conversations.
    """

    def __init__(self, program: Module) -> None:
        found: Any = program.named_sub_modules(ReAct)
        made = {id(one): one for _, one in found}
        self.tools: tuple[dict[str, Any], ...] = ()
        self.predictors: frozenset[str] = frozenset()
        if len(made) != 1:
            return
        (react,) = made.values()
        inside = {id(react.step), id(react.extract)}
        paths = {id(one): path for path, one in program.named_predictors()}
        self.predictors = frozenset(path for key, path in paths.items() if key in inside)
        self._step = paths.get(id(react.step))
        self._plain: Any = with_default_formats(Predict(react.signature))
        self.tools = tuple(
            {"name": tool["name"], "description": tool["description"], "parameters": tool["arguments"]}
            for tool in react.spec()["tools"]
        )

    def conversation(self, row: Row) -> tuple[Prompt, str] | None:
        """Return the prompt with the calls, and the last reply; `None` if the row does not hold the run of a `ReAct`.

        Raises:
            LeftOut: a call failed, or the values do not fit.
        """
        taken, places = self._taken(row), self._places(row)
        if not taken or not places:
            return None
        if len(places) != len(taken) or any(step["failed"] for step in taken):
            raise LeftOut("of runs in which a call of a tool failed")
        demo = demo_of(self._plain, row.steps[places[0]].inputs, row.outputs or {})
        turns = [turn for step in taken if step["tool"] != FINISH for turn in _turns(step)]
        return prompt_of(self._plain, demo.inputs).then(turns), reply_of(self._plain, demo)

    def failed(self, row: Row) -> frozenset[int]:
        """Return the numbers of the steps whose calls failed. A good end does not make them good replies."""
        taken, places = self._taken(row), self._places(row)
        if len(places) != len(taken):  # a reply that could not be read is no step of the row
            return frozenset()
        return frozenset(place for place, step in zip(places, taken, strict=True) if step["failed"])

    def _places(self, row: Row) -> list[int]:
        return [place for place, step in enumerate(row.steps) if self.tools and step.predictor == self._step]

    def _taken(self, row: Row) -> Sequence[Mapping[str, Any]]:
        """Return what the row says of the calls, empty if it does not."""
        found: Any = (row.outputs or {}).get("steps")
        return found if self.tools and _are_steps(found) else ()


def _turns(step: Mapping[str, Any]) -> list[tuple[str, str]]:
    # As one JSON text: as objects, the arguments of other tools are added with null when a table is made of the rows.
    call = json.dumps({"name": step["tool"], "arguments": step["arguments"]}, ensure_ascii=False)
    return [(CALL, call), (OBSERVATION, step["observation"])]


def _are_steps(taken: Any) -> bool:
    names = {"tool", "arguments", "observation", "failed"}
    return isinstance(taken, Sequence) and all(isinstance(one, Mapping) and names <= one.keys() for one in taken)
