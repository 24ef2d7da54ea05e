"""What a compile leaves as it is: frozen parts of a program, and protected texts of its instructions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

from tunesmith.errors import UsageError, shown
from tunesmith.modules import Candidate, nearest_path

__all__ = ["Kept"]

_WHAT = ("instruction", "demos", "format")
_PROGRAM = "self"


@dataclass(frozen=True, slots=True)
class Kept:
    """What no candidate of a compile changes.

    Attributes:
        base: the program as given.
        parts: predictor paths, each with `instruction`, `demos` or `format`.
        settings: module paths, each with the name of a setting.
        protect: texts that stay in the instructions that have them.
    """

    base: Candidate
    parts: frozenset[tuple[str, str]] = frozenset()
    settings: frozenset[tuple[str, str]] = frozenset()
    protect: tuple[str, ...] = ()

    @classmethod
    def of(cls, base: Candidate, freeze: Sequence[str], protect: Sequence[str]) -> Self:
        """Read the arguments `freeze` and `protect` of a compile.

        Raises:
            UsageError: one names what the program does not have.
        """
        _check_texts("freeze", freeze, '["router", "answer.demos"]')
        _check_texts("protect", protect, '["Never give legal advice."]')
        parts, settings = set[tuple[str, str]](), set[tuple[str, str]]()
        for name in freeze:
            found, set_ = _named(base, name)
            parts |= found
            settings |= set_
        for text in protect:
            if not any(text in part.instruction for part in base.parts.values()):
                raise UsageError(
                    f"No instruction of the program holds the protected text {shown(text)}. Copy it from one exactly, "
                    "line breaks included; `tunesmith show` prints them."
                )
        return cls(base, frozenset(parts), frozenset(settings), tuple(protect))

    def free(self, what: str) -> tuple[str, ...]:
        """Return the predictor paths whose `instruction`, `demos` or `format` may change."""
        return tuple(path for path in self.base.parts if (path, what) not in self.parts)

    def restored(self, candidate: Candidate) -> Candidate:
        """Return the candidate with everything that is kept as it was: the same one if nothing differs."""
        if not (self.parts or self.settings or self.protect):
            return candidate
        found = candidate
        for path in candidate.parts:
            found = self._restored_part(found, path)
        settings = dict(found.settings)
        for path, name in sorted(self.settings):
            settings[path] = {**settings.get(path, {}), name: self.base.settings[path][name]}
        whole = any(all((path, what) in self.parts for what in _WHAT) for path in self.base.parts)
        sampling = self.base.sampling if whole else candidate.sampling  # it is of all predictors
        found = replace(found, settings=settings, sampling=sampling)
        return candidate if found == candidate else found

    def _restored_part(self, candidate: Candidate, path: str) -> Candidate:
        part, given = candidate.parts[path], self.base.parts[path]
        lost = any(text in given.instruction and text not in part.instruction for text in self.protect)
        if lost or (path, "instruction") in self.parts:
            candidate = candidate.with_part(path, instruction=given.instruction)
        place = nearest_path(path)
        chosen = (part.demos, candidate.settings.get(place)) != (given.demos, self.base.settings.get(place))
        if (path, "demos") in self.parts and chosen:
            candidate = candidate.with_demos(path, given.demos, self.base.nearest(path))
        if (path, "format") in self.parts:  # last, because other changes drop the offsets
            candidate = candidate.with_part(path, format=given.format, offsets=given.offsets)
        return candidate


def _check_texts(name: str, given: Any, example: str) -> None:
    listed = isinstance(given, (list, tuple))
    if not listed or not all(isinstance(text, str) and text.strip() for text in given):
        raise UsageError(f"`{name}` is a list of texts, such as {example}. Given: {shown(given)}.")


def _named(base: Candidate, name: str) -> tuple[set[tuple[str, str]], set[tuple[str, str]]]:
    """Return the parts and the settings that one name of `freeze` stands for."""
    parts = {(path, what) for path in base.parts if _is_inside(path, name) for what in _WHAT}
    settings = {one for one in _settings(base.settings) if _is_inside(one[0], name)}
    if not parts and not settings:
        place, _, what = name.rpartition(".")
        parts = {(path, what) for path in base.parts if what in _WHAT and _is_inside(path, place)}
        settings = {(place, what)} & _settings(base.settings)
    if not parts and not settings:
        own = [f"{path}.{one}" for path, one in sorted(_settings(base.settings))]
        raise UsageError(
            f"`freeze` names {shown(name)}, which the program does not have. Its predictors are: "
            f"{', '.join(base.parts)}; each may be followed by .{', .'.join(_WHAT)}, and the module around it may be "
            f"named. Its settings are: {', '.join(own) or 'none'}."
        )
    return parts, settings


def _is_inside(path: str, place: str) -> bool:
    return path == place or path.startswith((f"{place}.", f"{place}[")) or place == _PROGRAM


def _settings(settings: Mapping[str, Mapping[str, Any]]) -> set[tuple[str, str]]:
    return {(path, name) for path, values in settings.items() for name in values}
