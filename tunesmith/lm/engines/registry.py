"""Kinds of engines: which specs each answers, and its options, declared once where the engine is defined.

`ts.lm`, `[lm]` in tunesmith.toml and the table in docs/models.md read the same declarations.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType, UnionType
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, Union, get_args, get_origin, get_type_hints

from pydantic import AfterValidator, ConfigDict, TypeAdapter, ValidationError

from tunesmith.errors import UsageError, shown
from tunesmith.lazy import import_files, lazy_module
from tunesmith.lm.engine import Engine
from tunesmith.lm.options import CLIENT_OPTIONS, SECRET_OPTIONS

if TYPE_CHECKING:
    from tunesmith.lm import waiting
else:
    waiting = lazy_module("tunesmith.lm.waiting")  # few options are times

__all__ = [
    "Built",
    "EngineKind",
    "EngineOptions",
    "TimeLimit",
    "engine_kind",
    "engine_kinds",
    "engine_options",
    "file_options",
    "option",
    "register_engine",
]

Built = tuple[Engine, dict[str, Any]]
"""An engine, and the options that build it again."""


def _time_limit(value: float) -> float:
    if not waiting.is_time_limit(value):
        raise ValueError
    return value


TimeLimit = Annotated[int | float, AfterValidator(_time_limit)]
"""The type of an option that is a number of seconds that can be waited."""


class _Option(NamedTuple):
    is_: str
    help: str
    type_of_file: Any


def option(is_: str, help: str, *, type_of_file: Any = None) -> Any:  # noqa: A002 - the word that click uses
    """Declare an option of an engine; it is `None` if it is not given.

    Args:
        is_: what a value is, for the message about a wrong one, such as "true or false".
        help: what the option does, in one line.
        type_of_file: what tunesmith.toml may hold, if that is less than what Python may give.
    """
    return _Option(is_, help, type_of_file)


class EngineOptions:
    """Options of `ts.lm` that one kind of engine has: attributes with a type, each made by `option`.

    Example:
        >>> class VolumeOptions(EngineOptions):
        ...     volume: int | None = option("a whole number", "how loud a reply is")
        >>> list(VolumeOptions.declared())
        ['volume']
    """

    @classmethod
    def declared(cls) -> dict[str, _Option]:
        """Return the options by name."""
        named = {name: value for kind in reversed(cls.__mro__) for name, value in vars(kind).items()}
        return {name: value for name, value in named.items() if isinstance(value, _Option)}

    @classmethod
    def type_of(cls, name: str) -> Any:
        """Return the declared type of an option."""
        return get_type_hints(cls, include_extras=True)[name]

    @classmethod
    def fits(cls, name: str, value: object) -> bool:
        """Return whether `value` is of the option's type."""
        type_ = cls.type_of(name)
        if type_ is Any or (get_origin(type_) in (Union, UnionType) and type(value) in get_args(type_)):
            return True
        # Not a pydantic model of all options: a process imports every kind of engine, and gives few options to one.
        adapter = TypeAdapter(type_, config=ConfigDict(strict=True, arbitrary_types_allowed=True))
        try:
            adapter.validate_python(value)
        except ValidationError:
            return False
        return True


class EngineKind(NamedTuple):
    """One kind of engine.

    Attributes:
        name: of the kind, such as `ollama`.
        spec: how a spec of it looks, such as `ollama/<model>`.
        help: what answers, in one line for the docs.
        options: its options.
        make: returns the engine of a spec, from the given options and the number of slots.
        takes: whether a spec is of this kind, with the options that were given.
        slots: returns how many requests to have on the way at once, from a spec and the options that were given, if
            the user gives no number.
        runs_here: whether it runs in this process, so that no server can go away.
        asks: whether making it may ask a server.
        defaults: request options of an LM that sets none; without a temperature the engine's own default counts.
        instead: what to do instead of an option that only other kinds have, by its name.
        otherwise: the same for any option that is not there.
    """

    name: str
    spec: str
    help: str
    options: type[EngineOptions]
    make: Callable[[str, dict[str, Any], int], Built]
    takes: Callable[[str, Mapping[str, Any]], bool]
    slots: Callable[[str, Mapping[str, Any]], int] = lambda _spec, _given: 1
    runs_here: bool = False
    asks: bool = False
    defaults: Mapping[str, Any] = MappingProxyType({"temperature": None})
    instead: Mapping[str, str] = MappingProxyType({})
    otherwise: str = "Leave it out"

    def checked(self, spec: str, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the options that were given, checked; `None` counts as not given.

        Raises:
            UsageError: one is not an option of this kind, or its value is wrong.
        """
        present = {name: value for name, value in given.items() if value is not None}
        declared = self.options.declared()
        for name, value in sorted(present.items()):
            if name not in declared:
                raise UsageError(f"{spec!r} has no option `{name}`. {self.instead.get(name, self.otherwise)}.")
            if not self.options.fits(name, value):
                # The value of a secret is not shown.
                text = f"a value of type {type(value).__name__}" if name in SECRET_OPTIONS else shown(value)
                raise UsageError(f"`{name}` is {declared[name].is_}. Given: {text}.")
        return present


_KINDS: dict[str, EngineKind] = {}
_PACKAGE = __name__.rpartition(".")[0]
_LAST = "dspy"  # answers every spec that no other kind takes


def register_engine(kind: EngineKind) -> EngineKind:
    """Let `ts.lm` make engines of this kind.

    Raises:
        UsageError: the name is taken.
    """
    if kind.name in _KINDS:
        raise UsageError(f"There is an engine {kind.name!r} already. Choose another name.")
    _KINDS[kind.name] = kind
    return kind


def engine_kinds() -> tuple[EngineKind, ...]:
    """Return every kind, the one that answers any other spec last."""
    import_files(_PACKAGE)
    return tuple(sorted(_KINDS.values(), key=lambda kind: (kind.name == _LAST, kind.name)))


def engine_kind(spec: str, given: Mapping[str, Any]) -> EngineKind:
    """Return the kind that answers `spec` with these options."""
    return next(kind for kind in engine_kinds() if kind.takes(spec, given))


def engine_options() -> frozenset[str]:
    """Return the names of all options of engines."""
    return CLIENT_OPTIONS.union(*(kind.options.declared() for kind in engine_kinds()))


def file_options() -> dict[str, Any]:
    """Return the type of every option that tunesmith.toml may hold under [lm]; a secret is in no file."""
    found: dict[str, Any] = {}
    for kind in engine_kinds():
        for name, declared in kind.options.declared().items():
            type_ = declared.type_of_file or kind.options.type_of(name)
            if type_ is not Any and name not in SECRET_OPTIONS:
                found[name] = found[name] | type_ if name in found else type_
    return found
