"""Everything a compiler may change, as one frozen value."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from tunesmith import formats  # as a whole: a loaded program has its formats, and chooses none
from tunesmith.data import content_key
from tunesmith.errors import ArtifactError, DataError, UsageError, brief, shown
from tunesmith.lazy import lazy_module
from tunesmith.modules.binding import bind, bind_nearest, bound_format, bound_offsets, format_of
from tunesmith.modules.module import Module, caller_adapter, copy_program
from tunesmith.modules.setting import change_settings, nearest_path, settings_of
from tunesmith.signatures import Demo, Signature, check_inputs

if TYPE_CHECKING:
    from tunesmith.modules import nearest as nearests
    from tunesmith.modules.changes import Changes
    from tunesmith.modules.nearest import Nearest
else:
    nearests = lazy_module("tunesmith.modules.nearest")  # most predictors show all their demos

__all__ = ["Candidate", "Part"]

_EMPTY: Mapping[str, Any] = MappingProxyType({})


class Part(NamedTuple):
    """The instruction, demos, format and offsets of one predictor.

    Attributes:
        instruction: the text above the fields.
        demos: worked examples, in prompt order, or the pool that `Nearest` chooses from.
        format: name of the prompt format; `None` uses the caller's adapter.
        offsets: what calibration adds to the log-probability of each label, by its text; only for `scored` formats.
    """

    instruction: str
    demos: tuple[Demo, ...] = ()
    format: str | None = None
    offsets: Mapping[str, float] = _EMPTY

    def __repr__(self) -> str:
        more = "calibrated" if self.offsets else ""
        return brief(self, self.format or "", f"{len(self.demos)} demos", more, instruction=self.instruction)

    def __hash__(self) -> int:
        return hash((self.instruction, self.demos, self.format))

    def __deepcopy__(self, memo: dict[int, Any]) -> "Part":
        return self

    def to_json(self) -> dict[str, Any]:
        """Return the part as JSON values."""
        return {
            "instruction": self.instruction,
            "demos": [demo.to_json() for demo in self.demos],
            "format": self.format,
            "settings": {"offsets": dict(self.offsets)} if self.offsets else {},
        }


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Candidate:
    """One configuration of a program.

    Attributes:
        parts: a `Part` per predictor path.
        sampling: request options for all predictors.
        settings: declared settings by module path and name; the program itself is `self`. A predictor that chooses the
            demos of each call has the settings of its `Nearest` at `PATH.nearest`.

    Two candidates with the same content are equal and have the same `key`, in every process.

    Example:
        >>> import tunesmith as ts
        >>> program = ts.Predict("text -> label")
        >>> given = ts.Candidate.of(program)
        >>> changed = given.with_part("self", instruction="Answer in one word.")
        >>> changed.apply(program).signature.instructions
        'Answer in one word.'
        >>> changed.key == given.key
        False
    """

    parts: Mapping[str, Part]
    sampling: Mapping[str, Any] = field(default_factory=lambda: _EMPTY)
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=lambda: _EMPTY)
    _key: str | None = field(default=None, init=False, repr=False, compare=False)  # computed at first use

    def __post_init__(self) -> None:
        object.__setattr__(self, "parts", MappingProxyType(dict(self.parts)))
        object.__setattr__(self, "sampling", MappingProxyType(dict(self.sampling)))
        settings = {path: MappingProxyType(dict(values)) for path, values in self.settings.items()}
        object.__setattr__(self, "settings", MappingProxyType(settings))

    def __repr__(self) -> str:
        parts = [f"{path}: {part.format or 'no format'}, {len(part.demos)} demos" for path, part in self.parts.items()]
        more = f"and {len(parts) - 3} more predictors" if len(parts) > 3 else ""
        settings = {path: dict(values) for path, values in self.settings.items()} or None
        return brief(self, self.key[:12], *parts[:3], more, sampling=dict(self.sampling) or None, settings=settings)

    def _repr_html_(self) -> str:
        from tunesmith.notebook import details_html, paragraphs_html, table_html, text_html  # only notebooks ask

        found = []
        for path, part in self.parts.items():
            words = ", ".join([part.format or "the caller’s adapter", f"{len(part.demos)} demos"])
            demos = "\n".join(shown({**demo.inputs, **demo.outputs}) for demo in part.demos)
            found.append(paragraphs_html([f"{path}: {words}"]) + text_html(part.instruction))
            found.append(details_html("Demos", text_html(demos)) if demos else "")
        given = [
            *self.sampling.items(),
            *((f"{path}.{k}", v) for path, own in self.settings.items() for k, v in own.items()),
        ]
        rows = [["option or setting", "value"], *([name, shown(value)] for name, value in given)]
        return "".join(found) + (table_html(rows) if given else "")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Candidate) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)

    def __deepcopy__(self, memo: dict[int, Any]) -> "Candidate":
        return self

    @classmethod
    def of(cls, program: Module) -> "Candidate":
        """Return the current configuration of `program`. An unbound predictor gets tunesmith's default format.

        If `dspy.settings.adapter` is set, unbound predictors stay unbound.

        Raises:
            UsageError: the program has no predictors.
            SignatureError: DSPy reserves the name of an input.
            DataError: a value of a demo does not fit its field.
        """
        predictors = program.named_predictors()
        if not predictors:
            raise UsageError(
                f"{type(program).__name__} has no predictors, so there is nothing to evaluate or compile. "
                "Create predictors in its `__init__` and assign them to attributes."
            )
        own = caller_adapter() is not None
        parts = {}
        for path, predictor in predictors:
            signature = predictor.signature
            check_inputs(signature)
            # A demo without outputs is never shown. DSPy's `LabeledFewShot` adds such demos to pipelines.
            shown = [demo for demo in predictor.demos if any(name in demo for name in signature.output_fields)]
            try:
                demos = tuple(Demo.of(signature, demo) for demo in shown)
            except DataError as error:
                raise DataError(f"A demo of the predictor `{path}` cannot be used. {error}") from error
            chosen = bound_format(predictor)
            if chosen is None and not own:
                chosen = formats.default_format(signature, demos)
            parts[path] = Part(signature.instructions, demos, chosen, dict(bound_offsets(predictor)))
        return cls(parts, settings=settings_of(program))

    @property
    def key(self) -> str:
        """The sha256 of the canonical JSON, in hex."""
        if self._key is None:
            object.__setattr__(self, "_key", content_key(self.to_json(), escaped=True))
        return self._key or ""

    def with_part(self, path: str, **changes: Any) -> "Candidate":
        """Return a copy with `changes` to the part at `path`.

        Offsets belong to the prompt that they were learned on: another instruction, format or other demos drop them.

        Raises:
            UsageError: there is no such path, or a part has no such field.
        """
        if path not in self.parts:
            raise UsageError(f"There is no predictor {path!r}. The paths are: {', '.join(self.parts)}.")
        unknown = [name for name in changes if name not in Part._fields]
        if unknown:
            raise UsageError(f"A part has no `{unknown[0]}`. It has: {', '.join(Part._fields)}.")
        part = self.parts[path]
        if part.offsets and "offsets" not in changes and part._replace(**changes) != part:
            changes["offsets"] = {}
        return replace(self, parts={**self.parts, path: part._replace(**changes)})

    def with_demos(self, path: str, demos: Iterable[Demo], nearest: "Nearest | None" = None) -> "Candidate":
        """Return a copy whose predictor at `path` shows `demos`, or those of them that `nearest` chooses for each call.

        `with_part(path, demos=...)` changes the demos and leaves it as it is whether calls choose among them.

        Raises:
            UsageError: there is no such path.
        """
        changed = self.with_part(path, demos=tuple(demos), offsets={})
        settings = {place: values for place, values in self.settings.items() if place != nearest_path(path)}
        if nearest is not None:
            settings[nearest_path(path)] = nearest.values()
        return replace(changed, settings=settings)

    def nearest(self, path: str) -> "Nearest | None":
        """Return what chooses the demos of a call of the predictor at `path`, `None` if every call shows them all."""
        found = self.settings.get(nearest_path(path))
        return None if found is None else nearests.Nearest(**found)

    def shown_demos(self, path: str) -> int:
        """Return how many demos a call of the predictor at `path` shows."""
        count, nearest = len(self.parts[path].demos), self.nearest(path)
        return count if nearest is None else min(nearest.k, count)

    def with_setting(self, path: str, name: str, value: Any) -> "Candidate":
        """Return a copy with a new value of the setting `name` of the module at `path`.

        Raises:
            UsageError: there is no such setting.
        """
        if name not in self.settings.get(path, ()):
            known = [f"{place}.{one}" for place, values in self.settings.items() for one in values]
            raise UsageError(f"There is no setting {path}.{name}. The settings are: {', '.join(known) or 'none'}.")
        found = replace(self, settings={**self.settings, path: {**self.settings[path], name: value}})
        for predictor in self.parts:  # another choice of demos is another prompt
            if nearest_path(predictor) == path and found != self:
                found = found.with_part(predictor, offsets={})
        return found

    def apply(self, program: Module) -> Module:
        """Return a copy of `program` that uses this candidate. `program` does not change.

        Raises:
            UsageError: the predictor paths or settings differ from the program's, or a format is unknown.
            FormatError: a format cannot carry its predictor's signature.
        """
        return self.install(copy_program(program))

    def install(self, program: Module) -> Module:
        """Do what `apply` does, but in place, and return `program`.

        Raises:
            UsageError: as `apply`; then some predictors may be changed already.
            FormatError: as `apply`.
        """
        predictors = dict(program.named_predictors())
        if set(predictors) != set(self.parts):
            raise UsageError(
                f"The candidate is for the predictors {', '.join(sorted(self.parts))}; the program has "
                f"{', '.join(sorted(predictors)) or 'none'}. Apply it to the program it was made for."
            )
        for path, part in self.parts.items():
            predictor = predictors[path]
            if predictor.signature.instructions != part.instruction:
                predictor.signature = predictor.signature.with_instructions(part.instruction)
            predictor.demos = [demo.as_example() for demo in part.demos]
            if part.format is not None:
                check = getattr(format_of(part.format, part.offsets), "check", None)
                if check is not None:
                    check(predictor.signature)
            bind(predictor, part.format, part.offsets)
            bind_nearest(predictor, nearests.Nearest() if nearest_path(path) in self.settings else None)
            if self.sampling:
                predictor.config = {**predictor.config, **self.sampling}
        change_settings(program, self.settings)
        return program

    def to_json(self) -> dict[str, Any]:
        """Return the candidate as JSON values."""
        return {
            "parts": {path: part.to_json() for path, part in self.parts.items()},
            "sampling": dict(self.sampling),
            **({"settings": {path: dict(values) for path, values in self.settings.items()}} if self.settings else {}),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any], signatures: Mapping[str, type[Signature]]) -> "Candidate":
        """Return the candidate that `to_json` wrote. Checks its demos against `signatures`, by path.

        Raises:
            ArtifactError: the data has a different shape.
            DataError: a demo does not fit its signature.
        """
        try:
            parts = {
                path: Part(
                    part["instruction"],
                    tuple(Demo.from_json(signatures[path], demo) for demo in part["demos"]),
                    part["format"],
                    dict(part["settings"].get("offsets", {})),
                )
                for path, part in data["parts"].items()
            }
            return cls(parts, dict(data["sampling"]), dict(data.get("settings", {})))
        except (KeyError, TypeError, AttributeError) as error:
            raise ArtifactError(
                f"This is not a candidate: {error!r} is missing or has a wrong type. "
                "Pass the return value of `Candidate.to_json`."
            ) from error

    def differences(self, given: "Candidate") -> str:
        """Return in a few words how this candidate differs from `given`: formats, demos, instructions."""
        parts = []
        for path in self.parts:
            words = _differences(self, given, path)
            if words:
                parts.append(words if len(self.parts) == 1 else f"{path}: {words}")
        parts += [f"{name} {value}" for name, value in self.sampling.items() if given.sampling.get(name) != value]
        told = set(map(nearest_path, self.parts))
        for path, values in self.settings.items():
            before = values if path in told else given.settings.get(path, {})
            parts += [f"{name} {value}" for name, value in values.items() if before.get(name) != value]
        return "; ".join(parts)

    def changes(self, after: "Candidate") -> "Changes":
        """Return what is different in `after`: instructions, demos, formats, offsets, options and settings."""
        from tunesmith.modules.changes import Changes  # here, because a run does not need it

        return Changes.of(self.to_json(), after.to_json())

    def diff(self, other: "Candidate") -> str:
        """Return the changes from this candidate to `other` as text; empty if there are none."""
        return str(self.changes(other))


def _differences(changed: Candidate, before: Candidate, path: str) -> str:
    part, words = changed.parts[path], []
    given = before.parts.get(path, part)
    if part.format != given.format:
        words.append(part.format or "the caller’s adapter")
    place = nearest_path(path)
    if part.demos != given.demos or changed.settings.get(place) != before.settings.get(place):
        words.append(_demos_in_words(changed, path))
    if part.instruction != given.instruction:
        words.append(f"instruction {shown(' '.join(part.instruction.split()), 48)}")
    if part.offsets != given.offsets:
        words.append("calibrated" if part.offsets else "not calibrated")
    return ", ".join(words)


def _demos_in_words(candidate: Candidate, path: str) -> str:
    count, nearest = len(candidate.parts[path].demos), candidate.nearest(path)
    if nearest is None:
        return f"{count} demos"
    return f"nearest {candidate.shown_demos(path)} of {count} demos ({nearest.order}, {nearest.similarity})"
