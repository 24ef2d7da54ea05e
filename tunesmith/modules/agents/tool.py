"""`Tool`: a function that a model may call, with typed arguments and declared side effects."""

import asyncio
import copy
import inspect
import json
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from contextvars import copy_context
from dataclasses import dataclass, field
from functools import partial
from threading import Thread
from types import MethodType
from typing import Annotated, Any, NotRequired, get_args, get_origin

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo
from typing_extensions import TypedDict, get_type_hints

from tunesmith.errors import UsageError, brief, shown
from tunesmith.lazy import lazy_pattern
from tunesmith.lm import FunctionTool, in_trial
from tunesmith.modules.inputs import program_inputs
from tunesmith.modules.module import DspyTool, Module, run_to_end
from tunesmith.modules.retrieval.passage import Retriever
from tunesmith.signatures import Signature, input_types, to_json_value, type_text

__all__ = ["Tool", "arguments_type", "as_tool", "program_tools", "result_text", "tools_of", "typed_dict"]

_NAME = lazy_pattern(r"[A-Za-z0-9_./-]{1,128}")
_NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Tool:
    """A function that a model may call.

    A call has its arguments validated and converted first: `"5"` is an `int`, `5` a `str`, and an unknown argument is
    an error. An async function works, too.

    A tool with side effects does not run while its program is evaluated or compiled: `instead` runs, or the call is an
    error, which `ReAct` shows to the model. A tool without declared side effects always runs.

    Attributes:
        function: every parameter has a type and a name. Or a module, whose inputs are the arguments.
        name: 1 to 128 letters, digits, `_`, `.`, `/` and `-`; default the function's.
        description: what it does, for the model; default the first paragraph of the docstring, or the instruction of a
            module.
        arguments: a `TypedDict` of the arguments; default that of the function's parameters.
        side_effects: whether a call changes something outside the program.
        instead: runs in place of `function` in evaluations and compiles. To allow `function` itself, give it again.
        seconds: after which a call is an error; 0 for no limit. A function that is not async then runs in a thread of
            its own, which nothing can stop: it goes on, and what it returns is lost.

    Raises:
        UsageError: the function has a parameter without a type or name, or the name is not allowed. Calling the tool:
            the arguments do not fit, it has side effects and may not run, or `seconds` have passed.

    Example:
        >>> import tunesmith as ts
        >>> def add(a: int, b: int = 1) -> int:
        ...     '''Add two numbers.'''
        ...     return a + b
        >>> tool = ts.Tool(add)
        >>> tool(a="2"), tool.form
        (3, 'add(a: int, b?: int)')
    """

    function: Callable[..., Any]
    name: str = ""
    description: str | None = None
    arguments: Any = None
    side_effects: bool = False
    instead: Callable[..., Any] | None = None
    seconds: float = 0.0
    _adapter: TypeAdapter[Any] = field(init=False)

    def __post_init__(self) -> None:
        if not callable(self.function):
            raise UsageError(f"A tool is made from a function. Given: {shown(self.function)}.")
        name = self.name or getattr(self.function, "__name__", type(self.function).__name__)
        if _NAME.fullmatch(name) is None:
            raise UsageError(
                "The name of a tool has 1 to 128 letters, digits, `_`, `.`, `/` and `-`. "
                f"Given: {shown(name)}. Pass `name=`."
            )
        if not isinstance(self.seconds, int | float) or not 0 <= self.seconds < float("inf"):
            raise UsageError(f"`seconds` must be a number of at least 0. Given: {shown(self.seconds)}.")
        described = _words(self.function) if self.description is None else self.description
        arguments = _of_function(self.function, name) if self.arguments is None else self.arguments
        set_value = object.__setattr__
        set_value(self, "name", name)
        set_value(self, "description", " ".join((described or "").split("\n\n")[0].split()))
        set_value(self, "arguments", arguments)
        set_value(self, "_adapter", _adapter_of(arguments, name))

    def __repr__(self) -> str:
        return brief(self, self.form, side_effects=self.side_effects or None)

    def __deepcopy__(self, memo: dict[int, Any]) -> "Tool":
        return self

    @property
    def form(self) -> str:
        """Name and arguments with their types, as `search(query: str, k?: int)`; `?` marks what may be left out."""
        needed = self.arguments.__required_keys__
        inside = (f"{name}{'' if name in needed else '?'}: {type_text(hint)}" for name, hint in self._hints().items())
        return f"{self.name}({', '.join(inside)})"

    @property
    def words(self) -> str:
        """The description, with those of the arguments."""
        notes = {name: _note(getattr(hint, "__metadata__", ())) for name, hint in self._hints().items()}
        return " ".join(
            filter(None, [self.description, *(f"`{name}`: {note}" for name, note in notes.items() if note)])
        )

    @property
    def offered(self) -> FunctionTool:
        """The tool as a request offers it to a model that calls tools by itself."""
        return FunctionTool(self.name, self.description or None, self._adapter.json_schema())

    def to_json(self) -> dict[str, Any]:
        """Return what identifies the tool in an artifact: its name, words and arguments, not its function."""
        return {"name": self.name, "description": self.description, "arguments": self._adapter.json_schema()}

    def __call__(self, /, **arguments: Any) -> Any:
        """Validate the arguments and run the function; an async one in a loop of its own."""
        if self.seconds:
            return run_to_end(self.acall(**arguments))
        found = self._chosen()(**self._checked(arguments))
        return run_to_end(found) if inspect.isawaitable(found) else found

    async def acall(self, /, **arguments: Any) -> Any:
        """Validate the arguments, run the function and wait for it.

        A function that is not async blocks the loop, unless `seconds` is set.
        """
        function, checked = self._chosen(), self._checked(arguments)
        if not self.seconds:
            return await _called(function, checked, apart=False)
        task = asyncio.ensure_future(_called(function, checked, apart=True))
        task.add_done_callback(_looked_at)
        try:
            done, _ = await asyncio.wait({task}, timeout=self.seconds)
        finally:
            task.cancel()
        if not done:
            raise UsageError(f"`{self.name}` did not answer within {self.seconds:g} seconds.")
        return task.result()

    def running(self, module: Module) -> "Tool":
        """Return the tool with `module` in place of its own: the copy of it that a program holds."""
        made = copy.copy(self)
        object.__setattr__(made, "function", module)
        return made

    def _hints(self) -> dict[str, Any]:
        hints = get_type_hints(self.arguments, include_extras=True)
        absent: Any = NotRequired
        return {name: get_args(hint)[0] if get_origin(hint) is absent else hint for name, hint in hints.items()}

    def _checked(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        try:
            checked: Mapping[str, Any] = self._adapter.validate_python(dict(arguments))
        except ValidationError as error:
            raise UsageError(
                f"The arguments of `{self.name}` do not fit: {_problems(error)}. Use {self.form}."
            ) from error
        return checked

    def _chosen(self) -> Callable[..., Any]:
        if not self.side_effects or not in_trial():
            return self.function
        if self.instead is None:
            raise UsageError(
                f"`{self.name}` has side effects, so it did not run: this is an evaluation or a compile. Give "
                "`Tool(..., instead=...)` a function that may run here."
            )
        return self.instead


async def _called(function: Any, arguments: Mapping[str, Any], *, apart: bool) -> Any:
    """Return the result of a function; `apart`: one that is not async is called in a thread of its own."""
    if isinstance(function, Module):
        return await function.acall(**arguments)
    if apart and not inspect.iscoroutinefunction(function):
        found = await _in_thread(partial(function, **arguments))
    else:
        found = function(**arguments)
    return await found if inspect.isawaitable(found) else found


def _looked_at(task: "asyncio.Future[Any]") -> None:
    """Take note of an error that came too late, which asyncio would log."""
    if not task.cancelled():
        task.exception()


def _in_thread(work: Callable[[], Any]) -> "asyncio.Future[Any]":
    """Return the result of work in a thread that does not keep the process from ending, as those of a pool do."""
    found: Future[Any] = Future()
    found.set_running_or_notify_cancel()  # nothing stops it, and it may set its result when nobody waits any more

    def run() -> None:
        try:
            found.set_result(work())
        except BaseException as error:  # noqa: BLE001 - raised again where it is awaited
            found.set_exception(error)

    Thread(target=copy_context().run, args=(run,), name="tunesmith-tool", daemon=True).start()
    return asyncio.wrap_future(found)


def as_tool(given: Any) -> Tool:
    """Return a tool: itself, or made from a function or from a tool of DSPy.

    Raises:
        UsageError: `given` is none of these.
    """
    if isinstance(given, Tool):
        return given
    if isinstance(given, DspyTool):
        return Tool(given.func, given.name or "", given.desc, _of_dspy(given))
    return Tool(given)


def _of_dspy(tool: DspyTool) -> Any:
    """Return the arguments that a tool of DSPy declares if its function takes any, as those of MCP and LangChain do."""
    parameters = inspect.signature(tool.func).parameters.values()
    if not tool.arg_types or not any(one.kind is one.VAR_KEYWORD for one in parameters):
        return None
    notes, schemas = tool.arg_desc or {}, tool.args or {}
    types = {
        name: Annotated[kind, Field(description=notes[name])] if notes.get(name) else kind
        for name, kind in tool.arg_types.items()
    }
    return arguments_type(types, [name for name in types if "default" not in (schemas.get(name) or {})])


def typed_dict(name: str, types: Mapping[str, Any]) -> Any:
    """Return a `TypedDict` of this name; pydantic takes only those of `typing_extensions` before Python 3.12."""
    make: Any = TypedDict
    return make(name, dict(types))


def arguments_type(types: Mapping[str, Any], required: Iterable[str]) -> Any:
    """Return a `TypedDict` of arguments that converts numbers to texts and refuses other keys."""
    needed = set(required)
    made = typed_dict("arguments", {name: t if name in needed else _may_be_absent(t) for name, t in types.items()})
    made.__pydantic_config__ = ConfigDict(extra="forbid", coerce_numbers_to_str=True, arbitrary_types_allowed=True)
    return made


def _may_be_absent(kind: Any) -> Any:
    return NotRequired[kind]


def result_text(value: Any) -> str:
    """Return what a tool returned as text: a text as it is, other values as JSON if they have a JSON form."""
    if isinstance(value, str):
        return value
    try:
        return json.dumps(to_json_value(value), ensure_ascii=False)
    except Exception:  # noqa: BLE001 - a tool may return any object
        return str(value)


def _words(function: Callable[..., Any]) -> str | None:
    if isinstance(function, Retriever):
        return "Search for passages."
    signature = _signature(function) if isinstance(function, Module) else None
    return inspect.getdoc(function) if signature is None else signature.instructions


def _signature(module: Module) -> type[Signature] | None:
    """Return the signature of a module's inputs, `None` if only its code knows them."""
    try:
        return program_inputs(module).signature
    except UsageError:
        return None


def _of_function(function: Callable[..., Any], name: str) -> Any:
    if not isinstance(function, Module):
        return _of_parameters(function, name)
    signature = _signature(function)
    if signature is None:
        kind: Any = type(function)  # DSPy logs a warning if `forward` is looked up on an instance
        return _of_parameters(MethodType(kind.forward, function), name)
    fields = signature.input_fields
    return arguments_type(input_types(signature), [one for one in fields if fields[one].is_required()])


def _of_parameters(function: Callable[..., Any], name: str) -> Any:
    try:
        parameters = inspect.signature(function, eval_str=True).parameters.values()
    except (ValueError, TypeError, NameError) as error:
        raise UsageError(f"The parameters of the tool `{name}` are unknown: {error}. Wrap it in a function.") from error
    for one in parameters:
        if one.kind not in _NAMED or one.annotation is one.empty:
            raise UsageError(
                f"Each parameter of a tool needs a name and a type, and `{one}` of `{name}` has not both. Write "
                f"`{one.name}: str`, or wrap the function in one with such parameters."
            )
    needed = [one.name for one in parameters if one.default is one.empty]
    return arguments_type({one.name: one.annotation for one in parameters}, needed)


def _adapter_of(arguments: Any, name: str) -> TypeAdapter[Any]:
    try:
        adapter: TypeAdapter[Any] = TypeAdapter(arguments)
        adapter.json_schema()
    except Exception as error:
        raise UsageError(
            f"An argument of the tool `{name}` has a type that JSON cannot hold: {shown(str(error))}. Use plain types, "
            "a Literal, an Enum or a pydantic model."
        ) from error
    return adapter


def _note(metadata: Iterable[Any]) -> str:
    """Return the description in the metadata of a type: that of a pydantic `Field`, or a text."""
    found = (one.description if isinstance(one, FieldInfo) else one for one in metadata)
    return next((text for text in found if isinstance(text, str)), "")


def _problems(error: ValidationError) -> str:
    found = [(".".join(map(str, one["loc"])), one["msg"], one["type"]) for one in error.errors(include_url=False)]
    return "; ".join(
        f"`{place}`: {'no such argument' if kind == 'extra_forbidden' else text}" for place, text, kind in found
    )


def tools_of(module: Module) -> tuple[Tool | DspyTool, ...]:
    """Return the tools that a module has as its attribute `tools`: of tunesmith and of DSPy."""
    given = vars(module).get("tools")
    items = given.values() if isinstance(given, Mapping) else given if isinstance(given, list | tuple) else ()
    return tuple(one for one in items if isinstance(one, Tool | DspyTool))


def program_tools(program: Module) -> dict[str, list[dict[str, Any]]]:
    """Return the tools of every module that has some, by its path, as JSON: names, words and arguments."""
    inside: Any = program.named_sub_modules(Module)
    found = {path.removeprefix("self."): tools_of(module) for path, module in inside}
    return {path: [_described(one) for one in tools] for path, tools in found.items() if tools}


def _described(tool: Tool | DspyTool) -> dict[str, Any]:
    if isinstance(tool, Tool):
        return tool.to_json()
    arguments = json.loads(
        json.dumps(tool.args or {}, default=lambda value: type(value).__name__)
    )  # a default may be anything
    return {"name": str(tool.name), "description": tool.desc or "", "arguments": arguments}
