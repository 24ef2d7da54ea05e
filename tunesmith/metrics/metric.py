"""What a metric is, and how it is named and identified."""

import functools
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import Any, ParamSpec, Protocol, TypeVar, cast, overload

from tunesmith.data import Score, content_key
from tunesmith.errors import DataError, UsageError, shown
from tunesmith.metrics.sources import code_identity, place, source_key
from tunesmith.signatures import Example

__all__ = ["Metric", "MetricFactory", "factory", "metric_fingerprint", "metric_name"]

# The metrics of this package are frozen dataclasses with two more attributes: `metric_name`, and
# `metric_version`, which goes up whenever the same settings begin to give other scores.
_DEFAULT = "_tunesmith_default"

P = ParamSpec("P")
M = TypeVar("M")
M_co = TypeVar("M_co", covariant=True)


class Metric(Protocol):
    """Judges one prediction. Any DSPy metric is one.

    It must not change its arguments, and must return the same for the same arguments. It raises
    `MetricError` where the example cannot be judged; what the program did wrong is a low score.
    """

    def __call__(
        self,
        example: Example,
        prediction: Any,
        trace: Any = None,
    ) -> bool | float | Score:
        """Return the judgement of `prediction`, given the labels of `example`."""
        ...


class MetricFactory(Protocol[P, M_co]):
    """A function that makes a metric, and is itself the metric with the default settings."""

    @overload
    def __call__(self, example: Example, prediction: object, trace: object = None) -> Score: ...
    @overload
    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> M_co: ...


def factory(make: Callable[P, M]) -> MetricFactory[P, M]:
    """Return `make`, able to score directly when its first argument is an example."""

    @functools.wraps(make)
    def make_or_score(*args: Any, **kwargs: Any) -> Any:
        if "example" in kwargs or (args and isinstance(args[0], Example)):
            return cast("Any", make)()(*args, **kwargs)
        return make(*args, **kwargs)

    setattr(make_or_score, _DEFAULT, make)
    return cast("MetricFactory[P, M]", make_or_score)


def metric_name(metric: Callable[..., Any]) -> str:
    """Return a short name for reports: `exact_match(queue)`, or the name of the function."""
    own = getattr(metric, "metric_name", None)
    if isinstance(own, str):
        return own
    if isinstance(metric, functools.partial):
        return metric_name(metric.func)
    name = getattr(metric, "__name__", type(metric).__name__)
    return "lambda" if name == "<lambda>" else str(name)


def metric_fingerprint(metric: Callable[..., Any]) -> str:
    """Return the identity of a metric: the sha256 of what it is, 64 hexadecimal digits.

    For a metric of this package that is its kind, its version and its settings. For a function it
    is its code and what that uses of the caller's own (`code_identity`), with defaults and the
    values it closes over; for an object of a class the source of the class, with its attributes.
    Of values that have no JSON form only the type counts.

    Raises:
        UsageError: `metric` cannot be called.
    """
    if not callable(metric):
        raise UsageError(f"A metric is a function. Given: {shown(metric)}.")
    try:
        return content_key(_identity(metric))
    except RecursionError as error:
        raise UsageError(f"The metric closes over itself. Given: {shown(metric)}.") from error


def _identity(value: Any) -> Any:
    default = getattr(value, _DEFAULT, None)
    if default is not None:
        return _identity(default())
    own = None if isinstance(value, type) else getattr(value, "metric_identity", None)
    if callable(own):
        return own()
    version = getattr(value, "metric_version", None)
    if isinstance(version, int) and is_dataclass(value):
        settings = {field.name: _setting(getattr(value, field.name)) for field in fields(value)}
        return ["metric", type(value).__name__, version, settings]
    if isinstance(value, functools.partial):
        named = {name: _setting(item) for name, item in value.keywords.items()}
        return ["partial", _setting(value.func), [_setting(item) for item in value.args], named]
    if isinstance(value, MethodType):
        return ["method", _identity(value.__func__), _attributes(value.__self__)]
    if isinstance(value, FunctionType):
        return _function_identity(value)
    if isinstance(value, (type, BuiltinFunctionType)):
        return ["named", *place(value), source_key(value)]
    return ["object", *place(type(value)), source_key(type(value)), _attributes(value)]


def _function_identity(function: FunctionType) -> Any:
    cells = [cell.cell_contents for cell in function.__closure__ or () if _is_filled(cell)]
    defaults = [*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()]
    return [
        "function",
        *code_identity(function),
        [_setting(value) for value in (*defaults, *cells) if value is not function],
    ]


def _attributes(value: Any) -> Any:
    declared = [field.name for field in fields(value)] if is_dataclass(value) else []
    names = declared or sorted(getattr(value, "__dict__", {}))
    return {name: _setting(getattr(value, name, None)) for name in names}


def _setting(value: Any) -> Any:
    """Return the identity of a value that a metric holds."""
    if isinstance(value, (FunctionType, MethodType, functools.partial)) or hasattr(value, "metric_version"):
        return _identity(value)
    if isinstance(value, (list, tuple)):
        return [_setting(item) for item in value]
    try:
        content_key(value)
    except DataError:
        # An address in a repr would make another identity in every process.
        return ["type", *place(value if isinstance(value, type) else type(value))]
    return value


def _is_filled(cell: Any) -> bool:
    try:
        cell.cell_contents  # noqa: B018 - an empty cell raises here
    except ValueError:
        return False
    return True
