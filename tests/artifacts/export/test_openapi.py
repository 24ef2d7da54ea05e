import asyncio
import json
from pathlib import Path
from typing import Any

import dspy
from pydantic import BaseModel

import tunesmith as ts
from tests.artifacts.export.prompts import program
from tests.each import each
from tunesmith.serve import Service


class Place(BaseModel):
    city: str
    country: str | None = None


class Locate(dspy.Signature):
    """Find places."""

    text: str = dspy.InputField(desc="a sentence")
    near: Place = dspy.InputField()
    places: list[Place] = dspy.OutputField(desc="in order")


def resolved(node: Any, document: Any) -> Any:
    """Return a schema without references, without titles, and without a default of null, which FastAPI leaves out."""
    if isinstance(node, list):
        return [resolved(one, document) for one in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        target = document
        for step in node["$ref"].removeprefix("#/").split("/"):
            target = target[step]
        node = {**target, **{key: value for key, value in node.items() if key != "$ref"}}
    kept = {key: value for key, value in node.items() if key != "title" and (key, value) != ("default", None)}
    return {key: resolved(value, document) for key, value in kept.items()}


def types(document: Any) -> tuple[Any, Any]:
    """Return the types of the request and of the answer of `/predict`."""
    found = document["paths"]["/predict"]["post"]
    asked, answered = found["requestBody"], found["responses"]["200"]
    return tuple(resolved(one["content"]["application/json"]["schema"], document) for one in (asked, answered))  # type: ignore[return-value]


def served(made: Any) -> Any:
    """Return the document that the service itself gives."""
    import httpx

    service = Service(lambda: {"": (made, ts.FunctionLM(lambda _: "x"))})

    async def ask() -> Any:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=service), base_url="http://localhost") as client:
            return (await client.get("/openapi.json")).json()

    return asyncio.run(ask())


@each("make", [program, lambda: ts.Predict(Locate), lambda: ts.ChainOfThought("question -> answer: int")])
def test_the_types_are_those_of_the_service(make: Any) -> None:
    assert types(json.loads(ts.export(make(), to="openapi").text)) == types(served(make()))


def test_it_is_a_document_that_fastapi_reads_and_says_where_the_token_goes() -> None:
    from fastapi.openapi.models import OpenAPI

    text = ts.export(program(), to="openapi", server="https://sort.example.org", token=True).text
    found = OpenAPI.model_validate_json(text)
    assert [server.url for server in found.servers or []] == ["https://sort.example.org"]
    assert json.loads(text)["security"] == [{"token": []}]


def test_a_program_with_tools_has_one_too(tmp_path: Path) -> None:
    def capital(country: str) -> str:
        """Return the capital."""
        return country

    found = json.loads(ts.export(ts.ReAct("question -> answer", tools=[capital]), to="openapi").text)
    assert types(found)[0]["required"] == ["question"]
