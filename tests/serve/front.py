"""A service in this process, and a client of it without a network."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Literal

import dspy
import httpx

import tunesmith as ts
from tunesmith.serve import Service

__all__ = ["Triage", "asked", "client_of", "served"]


class Triage(dspy.Signature):
    """Name the topic."""

    text: str = dspy.InputField(desc="a guest's comment")
    label: Literal["billing", "other"] = dspy.OutputField()


def served(
    answer: Callable[[Any], Any] = lambda _: "billing", *, slots: int = 4, program: Any = None, **options: Any
) -> Service:
    """Return a service of one program over a double."""
    lm = ts.FunctionLM(answer, slots=slots)
    made = ts.Predict(Triage) if program is None else program
    return Service(lambda: {"": (made, lm)}, **options)


def client_of(service: Any) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app=service), base_url="http://localhost")


def asked(service: Any, talk: Callable[[httpx.AsyncClient], Awaitable[Any]]) -> Any:
    """Return what `talk` returns, with a client of `service`."""

    async def whole() -> Any:
        async with client_of(service) as client:
            return await talk(client)

    return asyncio.run(whole())
