"""Tools of an MCP server, in this process and over a pipe, work as tools of the program."""

import asyncio
import json
import logging
import sys
from collections.abc import Iterator
from typing import Any, Literal

import dspy
import pytest
from pydantic import BaseModel

import tunesmith as ts
from tunesmith.errors import UsageError
from tunesmith.modules.agents.json_types import arguments_of_schema

SERVER = """
from mcp.server import MCPServer
server = MCPServer("piped")

@server.tool()
def double(x: int) -> int:
    "Double it."
    return 2 * x

server.run("stdio")
"""


class Place(BaseModel):
    city: str
    zip: int | None = None


@pytest.fixture
def server() -> Any:
    from mcp.server import MCPServer  # here, because every worker would import it
    from mcp.types import ToolAnnotations

    made = MCPServer("shop")
    logging.getLogger("mcp").setLevel(logging.CRITICAL)

    @made.tool(annotations=ToolAnnotations(read_only_hint=True))
    def find(query: str, k: int = 3, place: Place | None = None, kind: Literal["a", "b"] = "a") -> dict[str, Any]:
        """Find it.

        More that a model need not read.
        """
        return {"query": query, "k": k, "city": place and place.city, "kind": kind}

    @made.tool()
    def pay(amount: float) -> str:
        """Pay."""
        if amount > 10:
            raise ValueError("too much")
        return f"paid {amount}"

    return made


@pytest.fixture
def tools(server: Any) -> Iterator[dict[str, ts.Tool]]:
    with ts.MCPTools(server) as found:
        yield {tool.name: tool for tool in found}


def test_tools_have_the_types_and_words_of_the_server(tools: dict[str, ts.Tool]) -> None:
    assert tools["find"].form == "find(query: str, k?: int, place?: Place | None, kind?: Literal['a', 'b'])"
    assert (tools["find"].description, tools["find"].side_effects, tools["pay"].side_effects) == (
        "Find it.",
        False,
        True,
    )


def test_results_are_structured_and_arguments_are_converted(tools: dict[str, ts.Tool]) -> None:
    found = tools["find"](query=5, k="2", place={"city": "Oslo"})
    assert found == {"query": "5", "k": 2, "city": "Oslo", "kind": "a"}
    assert asyncio.run(tools["pay"].acall(amount="1.5")) == "paid 1.5"


def test_errors_of_the_server_and_arguments_that_do_not_fit_are_errors_here(tools: dict[str, ts.Tool]) -> None:
    with pytest.raises(UsageError, match="`pay` reports an error"):
        tools["pay"](amount=11)
    with pytest.raises(UsageError, match=r"Use find\(query: str"):
        tools["find"](kind="c")


def test_an_agent_uses_the_tools_and_reads_their_errors(tools: dict[str, ts.Tool]) -> None:
    def act(tool: str, **arguments: Any) -> str:
        return json.dumps({"thought": "?", "action": {"tool": tool, "arguments": arguments}})

    lm = ts.ScriptedLM(act("pay", amount=11), act("pay", amount=2), act("finish", answer="done"))
    with dspy.context(lm=lm):
        found = ts.ReAct("question -> answer", tools=list(tools.values()))(question="Pay!")
    assert [step.failed for step in found.steps] == [True, False, False]
    assert found.steps[1].observation == "paid 2.0"


def test_a_tool_that_does_not_only_read_does_not_run_in_an_evaluation_unless_allowed(server: Any) -> None:
    rows = [dspy.Example(question="q").with_inputs("question")]

    def paid(allowed: tuple[str, ...]) -> Any:
        class Desk(dspy.Module):
            def __init__(self, tool: ts.Tool) -> None:
                super().__init__()
                self.step, self.tool = ts.Predict("question -> answer"), tool

            def forward(self, question: str) -> dspy.Prediction:
                self.step(question=question)
                return dspy.Prediction(answer=self.tool(amount=1))

        with ts.MCPTools(server, allowed=allowed) as found:
            tool = next(one for one in found if one.name == "pay")
            return ts.evaluate(Desk(tool), rows, lambda *given: 1.0, lm=ts.FunctionLM(lambda seen: "x")).errors

    assert (paid(()), paid(("pay",))) == (1, 0)


def test_a_closed_connection_and_a_server_that_is_not_there_are_clear_errors(server: Any) -> None:
    with ts.MCPTools(server) as found:
        pass
    with pytest.raises(UsageError, match="closed"):
        found[0](query="x")
    with pytest.raises(UsageError, match="does not answer"):
        ts.MCPTools("http://127.0.0.1:9/mcp", timeout=20).__enter__()
    with pytest.raises(UsageError, match="no tool 'fly'"):
        ts.MCPTools(server, allowed=["fly"]).__enter__()


@pytest.mark.whole
def test_a_program_that_is_started_serves_its_tools() -> None:
    from mcp import StdioServerParameters

    with ts.MCPTools(StdioServerParameters(command=sys.executable, args=["-c", SERVER])) as (double,):
        assert double(x="21") == 42


def test_a_schema_of_any_shape_gives_types() -> None:
    schema = {
        "properties": {
            "tree": {"$ref": "#/$defs/Node"},
            "size": {"type": ["integer", "null"]},
            "tags": {"type": "array", "items": {"enum": ["x", "y"]}},
            "free": {"type": "object", "additionalProperties": {"type": "number"}},
            "odd": {"allOf": [{"type": "string"}, {"minLength": 2}]},
            "missing": {"$ref": "#/nowhere"},
            "any": True,
        },
        "$defs": {"Node": {"type": "object", "properties": {"next": {"$ref": "#/$defs/Node"}}}},
        "required": ["tags"],
    }
    tool = ts.Tool(dict, "f", "", arguments_of_schema(schema))
    given = {"tags": ["x"], "tree": {"next": {"next": {}}}, "size": None, "free": {"a": 1.5}, "odd": "s", "any": [1]}
    assert tool(**given) == given
    with pytest.raises(UsageError, match=r"`tags.0`"):
        tool(tags=["z"])
    ts.ReAct("question -> answer", tools=[tool])


def test_a_server_that_does_not_answer_is_named_without_its_environment() -> None:
    mcp = pytest.importorskip("mcp")
    server = mcp.StdioServerParameters(command="/no/such", args=["--x"], env={"KEY": "sk-secret"})
    with pytest.raises(UsageError, match="/no/such --x") as caught:
        ts.MCPTools(server, timeout=3).__enter__()
    assert "sk-secret" not in str(caught.value)
