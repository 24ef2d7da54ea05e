"""Settings: values of a module that a compiler may choose, declared in the module's class."""

from collections.abc import Callable, Mapping
from typing import Any

from tunesmith.errors import UsageError, shown
from tunesmith.modules.module import Module, open_modules

__all__ = [
    "NEAREST",
    "DeclaredSetting",
    "Setting",
    "change_settings",
    "choices_of",
    "declared_settings",
    "modules_with_settings",
    "nearest_path",
    "settings_of",
]

NEAREST = "tunesmith_nearest"
"""The attribute of a predictor that holds its `Nearest`, which declares settings too."""


class DeclaredSetting:
    """A descriptor that declares one setting of a class and checks each value.

    Attributes:
        default: default value. Its type is the type of the setting.
        choices: values that a compiler tries, in order; if empty, it does not change the setting.
        low: smallest allowed value, `None` without a bound.
        high: largest allowed value, `None` without a bound.
        only: the allowed values; if empty, any is.
        help: one line for the docs.
        used: whether it has an effect, by its module; `None`: always.
        name: of the attribute.
    """

    __slots__ = ("choices", "default", "help", "high", "low", "name", "only", "used")

    def __init__(
        self,
        default: Any,
        choices: tuple[Any, ...] = (),
        low: float | None = None,
        high: float | None = None,
        help: str = "",  # noqa: A002 - see `Setting`
        only: tuple[Any, ...] = (),
        used: Callable[[Any], bool] | None = None,
    ) -> None:
        self.default, self.choices, self.only, self.used = default, choices, only, used
        self.low, self.high, self.help, self.name = low, high, help, ""
        for value in (self.default, *self.choices):
            self.check(value)

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if instance is None:
            return self
        return instance.__dict__.get(self.name, self.default)

    def __set__(self, instance: Any, value: Any) -> None:
        instance.__dict__[self.name] = self.check(value)

    def check(self, value: Any) -> Any:
        """Return `value` converted to the setting's type.

        Raises:
            UsageError: it has a wrong type, or is out of bounds.
        """
        kind = type(self.default)
        if kind is float and type(value) is int:
            value = float(value)
        title = f"The setting `{self.name}`" if self.name else "A default or choice of a setting"
        if type(value) is not kind:
            raise UsageError(f"{title} must be of type {kind.__name__}. Given: {shown(value)}.")
        too_low = self.low is not None and not value >= self.low
        too_high = self.high is not None and not value <= self.high
        if too_low or too_high:
            raise UsageError(f"{title} must be {self._range()}. Given: {shown(value)}.")
        if self.only and value not in self.only:
            raise UsageError(f"{title} must be one of: {', '.join(map(str, self.only))}. Given: {shown(value)}.")
        return value

    def _range(self) -> str:
        if self.low is None:
            return f"at most {self.high}"
        return f"at least {self.low}" if self.high is None else f"from {self.low} to {self.high}"


def Setting(  # noqa: N802 - used in a class body like pydantic's `Field`
    default: Any,
    *,
    choices: tuple[Any, ...] = (),
    low: float | None = None,
    high: float | None = None,
    only: tuple[Any, ...] = (),
    used: Callable[[Any], bool] | None = None,
    help: str = "",  # noqa: A002 - the word that click and argparse use
) -> Any:
    """Declare a setting of a module: `Candidate.apply` sets it, compilers search it, artifacts store it.

    Args:
        default: default value: a bool, int, float or text. Its type is the type of the setting.
        choices: values that a compiler tries; if empty, it does not change the setting.
        low: smallest allowed value.
        high: largest allowed value.
        only: the allowed values; if empty, any is.
        used: gets the module and returns whether the setting has an effect with the values of the others. A compiler
            does not try values without effect. Default: it always has.
        help: one line for the docs.

    Raises:
        UsageError: the default or a choice is out of bounds. Raised when the class is defined.

    Example:
        >>> import tunesmith as ts
        >>> from tunesmith.modules import Module
        >>> class Brief(Module):
        ...     words: int = ts.Setting(20, choices=(10, 20), low=1)
        >>> Brief().words
        20
    """
    return DeclaredSetting(default, tuple(choices), low, high, help, tuple(only), used)


def declared_settings(kind: type) -> Mapping[str, DeclaredSetting]:
    """Return the settings that the class `kind` and its bases declare, by name."""
    attributes = {name: value for base in reversed(kind.__mro__) for name, value in vars(base).items()}
    return {name: value for name, value in attributes.items() if isinstance(value, DeclaredSetting)}


def nearest_path(path: str) -> str:
    """Return the path of the settings by which the predictor at `path` chooses its demos."""
    return f"{path}.nearest"


def modules_with_settings(program: Module) -> dict[str, Any]:
    """Return what declares settings, by path: modules, the program itself as `self`, and each `Nearest`."""
    modules = {path: module for path, module in open_modules(program) if declared_settings(type(module))}
    for path, predictor in program.named_predictors():
        if NEAREST in predictor.__dict__:
            modules[nearest_path(path)] = predictor.__dict__[NEAREST]
    return modules


def settings_of(program: Module) -> dict[str, dict[str, Any]]:
    """Return the value of every declared setting, by module path and name; the program itself is `self`."""
    return {
        path: {name: getattr(module, name) for name in declared_settings(type(module))}
        for path, module in modules_with_settings(program).items()
    }


def choices_of(program: Module) -> dict[tuple[str, str], tuple[Any, ...]]:
    """Return the choices of each setting that has some, by module path and name."""
    return {
        (path, name): setting.choices
        for path, module in modules_with_settings(program).items()
        for name, setting in declared_settings(type(module)).items()
        if setting.choices
    }


def change_settings(program: Module, settings: Mapping[str, Mapping[str, Any]]) -> None:
    """Set these settings of `program`, by module path and name.

    Raises:
        UsageError: the program has no such setting, or a value is not allowed.
    """
    if not settings:
        return
    modules = modules_with_settings(program)
    for path, values in settings.items():
        names = declared_settings(type(modules[path])) if path in modules else {}
        for name, value in values.items():
            if name not in names:
                known = [
                    f"{place}.{one}" for place, module in modules.items() for one in declared_settings(type(module))
                ]
                raise UsageError(
                    f"The program has no setting `{name}` at {path!r}. It has: {', '.join(known) or 'none'}."
                )
            setattr(modules[path], name, value)
