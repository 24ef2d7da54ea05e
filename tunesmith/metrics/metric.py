"""The metric interface, names of metrics, and their fingerprints."""

import functools
import inspect
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import Any, ClassVar, ParamSpec, Protocol, TypeVar, cast, overload

from tunesmith.data import Score, content_key
from tunesmith.errors import DataError, UsageError, shown
from tunesmith.lazy import import_files
from tunesmith.lm import BaseLM
from tunesmith.metrics.sources import code_identity, place, source_key
from tunesmith.modules import Prediction
from tunesmith.signatures import Example

__all__ = [
    "check_metric",
    "factory",
    "judged_by",
    "judgement",
    "Metric",
    "metric_fingerprint",
    "metric_name",
    "MetricFactory",
    "named",
    "named_metrics",
    "score_of",
    "Scorer",
    "scorer_of",
    "step_feedback",
    "without_call",
]

# The metrics of this package are frozen dataclasses with two more attributes: `metric_name` and
# `metric_version`. Raise the version whenever the same settings give other scores than before.
_DEFAULT = "_tunesmith_default"

P = ParamSpec("P")
M = TypeVar("M")
M_co = TypeVar("M_co", covariant=True)


class Metric(Protocol):
    """Scores one prediction. Any DSPy metric is one, including the five-argument metrics of `dspy.GEPA`.

    A metric must not change its arguments and must return the same score for the same arguments. It raises
    `MetricError` if the example cannot be judged. A mistake of the program is a low score.
    """

    def __call__(self, example: Example, prediction: Any, trace: Any = None, /) -> bool | float | Score:
        """Return the score of `prediction`, given the labels of `example`."""
        ...


class Scorer:
    """Base class of the metrics here: a subclass implements `score` and names the fields that it compares.

    It takes the three arguments of DSPy's metrics and the five of `dspy.GEPA`'s. If GEPA asks for a single predictor
    (`pred_name`), it returns a `dspy.Prediction` with `score` and `feedback`.
    """

    __slots__ = ()
    made_by: ClassVar[str] = ""
    """The function that makes the metric."""

    @property
    def metric_name(self) -> str:
        """The name for reports: `exact_match(queue)`, or the class of a metric that no function makes."""
        fields = f"({', '.join(self.outputs)})" if self.outputs else ""
        return f"{self.made_by}{fields}" if self.made_by else type(self).__name__

    @property
    def labels(self) -> tuple[str, ...]:
        """The fields that every example must have; empty if they depend on the example."""
        return ()

    @property
    def outputs(self) -> tuple[str, ...]:
        """The fields that every prediction should have; empty if they depend on the example."""
        return self.labels

    def score(self, example: Example, prediction: object, trace: object = None) -> Score:
        """Return the score of a prediction."""
        raise NotImplementedError

    def __call__(
        self,
        example: Example,
        prediction: object,
        trace: object = None,
        pred_name: str | None = None,
        pred_trace: object = None,
    ) -> Score:
        """Return the score of a prediction; see the class for `pred_name`."""
        return judgement(self.score(example, prediction, trace), pred_name)


def judgement(score: Score, pred_name: str | None) -> Score:
    """Return the score, as a `dspy.Prediction` if `dspy.GEPA` passed a `pred_name`."""
    if pred_name is None:
        return score
    return cast("Score", Prediction(score=score.value, feedback=score.feedback))


def score_of(
    metric: Callable[..., Any],
    example: Example,
    prediction: object,
    trace: object = None,
) -> Score:
    """Call a metric with the number of arguments it takes (two, three, or the five of `dspy.GEPA`).

    Raises:
        MetricError: the metric did not return a score.
    """
    return scorer_of(metric)(example, prediction, trace)


def scorer_of(metric: Callable[..., Any]) -> Callable[[Example, object, object], Score]:
    """Return `score_of` for one metric, with its signature inspected once."""
    if isinstance(metric, Scorer):
        return metric.score
    taken = _taken(metric)
    if taken == 3:  # the usual case
        return lambda example, prediction, trace: Score.of(metric(example, prediction, trace))
    return lambda *given: Score.of(metric(*(*given, None, None)[:taken]))


def step_feedback(
    metric: Callable[..., Any], example: Example, prediction: object, trace: list[Any], name: str
) -> str | None:
    """Return what a metric says of one predictor, `None` if it judges no predictor by itself.

    Args:
        metric: judges one if it takes `pred_name` and `pred_trace`, as `dspy.GEPA`'s metrics do.
        example: what the program ran on.
        prediction: what the program returned.
        trace: of each inner prediction the predictor, its inputs and its prediction, and its path.
        name: path of the predictor.

    Raises:
        MetricError: the metric did not return a score.
    """
    ours = hasattr(metric, "metric_version")  # these say the same of every predictor
    try:
        taken = not ours and "pred_name" in inspect.signature(metric).parameters
    except (TypeError, ValueError):
        return None
    if not taken:
        return None
    whole = [(predictor, inputs, found) for predictor, inputs, found, _ in trace]
    own = [(predictor, inputs, found) for predictor, inputs, found, path in trace if path == name]
    return Score.of(metric(example, prediction, whole, name, own)).feedback


def judged_by(metric: Metric, lm: BaseLM) -> Metric:
    """Return `metric` with `lm` as the model of its judges that have none of their own.

    Those that a function of the caller's calls are not seen.

    Example:
        >>> import dspy
        >>> import tunesmith as ts
        >>> from tunesmith.metrics import judged_by
        >>> polite = judged_by(ts.metrics.judge("It is polite."), ts.ScriptedLM("good"))
        >>> polite(dspy.Example(text="Hello?").with_inputs("text"), dspy.Prediction(answer="Good morning!")).value
        1.0
    """
    under: Callable[[BaseLM], Metric] | None = getattr(metric, "under", None)
    return metric if under is None else under(lm)


def check_metric(metric: object) -> None:
    """Raise `UsageError` if `metric` cannot be called as a metric."""
    if isinstance(metric, type) or not callable(metric):
        instance = " Pass an instance, not a class." if isinstance(metric, type) else ""
        raise UsageError(
            f"A metric must be a function of (example, prediction, trace=None). Given: {shown(metric)}.{instance}"
        )
    made = getattr(metric, "__annotations__", {}).get("return")
    if isinstance(made, type) and issubclass(made, Scorer) and not hasattr(metric, _DEFAULT):
        raise UsageError(
            f"`{metric_name(metric)}` makes a metric and is none: call it with {inspect.signature(metric)}."
        )
    try:
        signature = inspect.signature(metric)
        signature.bind(*range(_taken(metric)))
    except TypeError as error:
        raise UsageError(
            f"`{metric_name(metric)}` cannot be called as a metric, with (example, prediction, trace=None): {error}. "
            f"It takes {signature}."
        ) from error
    except ValueError:  # functions written in C may have no signature
        return


def without_call(metric: Metric) -> Metric:
    """Return the metric with default settings for a factory that was passed in its place, else `metric`."""
    default: Callable[[], Metric] | None = getattr(metric, _DEFAULT, None)
    return metric if default is None else default()


def _taken(metric: Callable[..., Any]) -> int:
    """Return how many arguments to pass to a metric: the required ones, and `trace` if the metric takes it."""
    try:
        parameters = inspect.signature(metric).parameters.values()
    except (TypeError, ValueError):
        return 3
    places = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    needed = sum(p.default is p.empty for p in places)
    usual = 3 if any(p.kind is p.VAR_POSITIONAL for p in parameters) else min(3, len(places))
    return max(2, usual, min(needed, 5))


class MetricFactory(Protocol[P, M_co]):
    """A function that makes a metric. It is also the metric with default settings."""

    @overload
    def __call__(
        self,
        example: Example,
        prediction: object,
        trace: object = None,
        pred_name: str | None = None,
        pred_trace: object = None,
    ) -> Score: ...
    @overload
    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> M_co: ...


def factory(make: Callable[P, M]) -> MetricFactory[P, M]:
    """Wrap `make` so that it scores directly if its first argument is an example."""

    @functools.wraps(make)
    def make_or_score(*args: Any, **kwargs: Any) -> Any:
        if "example" in kwargs or (args and isinstance(args[0], Example)):
            return cast("Any", make)()(*args, **kwargs)
        return make(*args, **kwargs)

    own = inspect.signature(make)
    if not any(p.kind is p.VAR_POSITIONAL for p in own.parameters.values()):
        # `dspy.GEPA` inspects the signature for five arguments.
        placed = [p for p in own.parameters.values() if p.kind is p.POSITIONAL_OR_KEYWORD]
        rest = [p for p in own.parameters.values() if p.kind is p.KEYWORD_ONLY]
        scored = inspect.Parameter("scored", inspect.Parameter.VAR_POSITIONAL)
        make_or_score.__signature__ = own.replace(parameters=[*placed, scored, *rest])  # type: ignore[attr-defined]
    setattr(make_or_score, _DEFAULT, make)
    return cast("MetricFactory[P, M]", named(make_or_score))


_NAMED: dict[str, Callable[..., Any]] = {}
_Make = TypeVar("_Make", bound=Callable[..., Any])


def named(make: _Make) -> _Make:
    """Register a metric for tunesmith.toml and the command line, as `exact_match:field` or with several fields.

    Use it as a decorator in a file of this package; `factory` includes it.
    """
    _NAMED[make.__name__] = make
    return make


def named_metrics() -> dict[str, Callable[..., Any]]:
    """Return the factories of all registered metrics by name."""
    import_files(__name__.rpartition(".")[0])
    return dict(sorted(_NAMED.items()))


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

    For a metric of this package it covers class, version and settings. For a function it covers the
    code and the user code that it uses (`code_identity`), its defaults and its closure. For an
    object it covers the source of its class and its attributes. A value without a JSON form counts
    by its type only.

    Raises:
        UsageError: `metric` cannot be called.
    """
    if not callable(metric):
        raise UsageError(f"A metric must be a function. Given: {shown(metric)}.")
    try:
        return content_key(_identity(metric))
    except RecursionError as error:
        raise UsageError(f"The metric closes over itself. Given: {shown(metric)}.") from error


def _identity(value: Any) -> Any:
    value = without_call(value)
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
    """Return the identity of a metric's setting."""
    if isinstance(value, (FunctionType, MethodType, functools.partial)) or hasattr(value, "metric_version"):
        return _identity(value)
    if isinstance(value, (list, tuple)):
        return [_setting(item) for item in value]
    try:
        content_key(value)
    except DataError:
        # A repr with a memory address would change the identity in every process.
        return ["type", *place(value if isinstance(value, type) else type(value))]
    return value


def _is_filled(cell: Any) -> bool:
    try:
        cell.cell_contents  # noqa: B018 - an empty cell raises here
    except ValueError:
        return False
    return True
