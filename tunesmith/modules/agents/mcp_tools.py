"""`MCPTools`: the tools of a server of the Model Context Protocol; the door to `mcp`."""

import asyncio
import concurrent.futures
import threading
from collections.abc import Callable, Coroutine, Sequence
from types import TracebackType
from typing import Any

from tunesmith.errors import UsageError, masked, shown
from tunesmith.modules.agents.json_types import arguments_of_schema
from tunesmith.modules.agents.tool import Tool

__all__ = ["MCPTools"]


class MCPTools:
    """The tools of an MCP server, as long as the connection is open.

    The connection lives in a thread of its own, so that the tools work in sync and in async programs. The arguments are
    validated here, and by the server. A structured result is returned as it is, any other as text. An error that the
    server reports is raised, and `ReAct` shows it to the model.

    A tool has side effects unless the server says that it only reads (`readOnlyHint`). Such a tool does not run in
    evaluations and compiles.

    Args:
        server: an address such as `http://localhost:8000/mcp`, `mcp.StdioServerParameters`, or a server of `mcp` in
            this process.
        side_effects: whether every tool has side effects, whatever the server says; `None` believes the server.
        allowed: names of tools that may run in evaluations and compiles in spite of side effects.
        timeout: seconds for connecting, and for the answer to a call.

    Raises:
        UsageError: at the start of the block: `mcp` is not installed, or the server does not answer. At a call: the
            server reports an error, or the connection is closed.

    Example:
        >>> import tunesmith as ts
        >>> from mcp.server import MCPServer
        >>> server = MCPServer("desk")
        >>> @server.tool()
        ... def double(x: int) -> int:
        ...     return 2 * x
        >>> with ts.MCPTools(server) as (tool,):
        ...     tool(x="21")
        42
    """

    def __init__(
        self,
        server: Any,
        *,
        side_effects: bool | None = None,
        allowed: Sequence[str] = (),
        timeout: float = 60.0,
    ) -> None:
        self._server, self._side_effects, self._timeout = server, side_effects, timeout
        self._allowed = frozenset(allowed)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._thread: threading.Thread | None = None
        self._client: Any = None

    def __enter__(self) -> list[Tool]:
        """Connect and return the tools."""
        client = self._new_client()
        ready: concurrent.futures.Future[list[Any]] = concurrent.futures.Future()
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._connected(client, ready)), name="tunesmith-mcp", daemon=True
        )
        self._thread.start()
        try:
            listed = ready.result(self._timeout)
        except Exception as error:
            self.close()
            raise UsageError(
                f"The MCP server {_name(self._server)} does not answer: {_words(error)}. Start it or check its address."
            ) from error
        unknown = self._allowed - {one.name for one in listed}
        if unknown:
            self.close()
            names = ", ".join(one.name for one in listed)
            raise UsageError(f"The server has no tool {min(unknown)!r}, which `allowed` names. It has: {names}.")
        return [self._tool(one) for one in listed]

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection. The tools then raise `UsageError`."""
        loop, stop, thread = self._loop, self._stop, self._thread
        self._loop = self._stop = self._thread = self._client = None
        if loop is not None and stop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(stop.set)
        if thread is not None:
            thread.join(self._timeout)

    def _new_client(self) -> Any:
        try:
            from mcp import Client
        except ImportError as error:
            raise UsageError(
                "Tools of an MCP server need the package `mcp`. Install it: pip install 'tunesmith[mcp]'."
            ) from error
        return Client(self._server, read_timeout_seconds=self._timeout)

    async def _connected(self, client: Any, ready: "concurrent.futures.Future[list[Any]]") -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        stop = self._stop
        try:
            async with client:
                found = await _all_tools(client)
                self._client = client
                ready.set_result(found)
                await stop.wait()
        except BaseException as error:  # noqa: BLE001 - told to the thread that waits for the tools
            if not ready.done():
                ready.set_exception(error)

    def _tool(self, listed: Any) -> Tool:
        hints = listed.annotations
        effects = self._side_effects if self._side_effects is not None else not (hints and hints.read_only_hint)
        function = self._caller(listed.name)
        return Tool(
            function,
            listed.name,
            listed.description or listed.title or "",
            arguments_of_schema(listed.input_schema),
            side_effects=effects,
            instead=function if listed.name in self._allowed else None,
        )

    def _caller(self, name: str) -> Callable[..., Coroutine[Any, Any, Any]]:
        async def call(**arguments: Any) -> Any:
            client, loop = self._client, self._loop
            if client is None or loop is None:
                raise UsageError(
                    f"`{name}` is a tool of an MCP server whose connection is closed. Call it in the block."
                )
            asked = asyncio.run_coroutine_threadsafe(client.call_tool(name, arguments), loop)
            return _value(name, await asyncio.wrap_future(asked))

        return call


async def _all_tools(client: Any) -> list[Any]:
    page = await client.list_tools()
    found = list(page.tools)
    while page.next_cursor:
        page = await client.list_tools(cursor=page.next_cursor)
        found += page.tools
    return found


def _value(name: str, result: Any) -> Any:
    """Return what a call gave; a server puts a result that is no object under the lone key `result`."""
    structured = result.structured_content
    texts = [getattr(one, "text", None) or f"({one.type})" for one in result.content]
    if result.is_error:
        raise UsageError(f"`{name}` reports an error: {' '.join(texts) or 'no reason'}")
    if structured is None:
        return "\n".join(texts)
    return structured["result"] if isinstance(structured, dict) and structured.keys() == {"result"} else structured


def _name(server: Any) -> str:
    """Return a server as it was given, without passwords and without the environment, which may hold keys."""
    command = getattr(server, "command", None)
    name = server if command is None else " ".join([str(command), *map(str, server.args)])
    return shown(masked(name) if isinstance(name, str) else name)


def _words(error: BaseException) -> str:
    """Return the cause of an error, which `mcp` puts into groups."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}".removesuffix(": ")
