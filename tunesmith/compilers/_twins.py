"""Candidates that send the same requests: one of them is enough."""

from dataclasses import replace

from tunesmith.modules import Candidate, Module, change_settings, copy_program, idle_of, nearest_path, settings_of

__all__ = ["Twins"]


class Twins:
    """Makes one candidate of all that differ only in what has no effect: the prompt of a plan that is not made.

    Args:
        program: as given.
        base: its candidate, whose values stand for those without effect.
    """

    def __init__(self, program: Module, base: Candidate) -> None:
        self._base = base
        self._program = copy_program(program) if base.settings else program
        self._own = settings_of(self._program)

    def one(self, candidate: Candidate) -> Candidate:
        """Return the candidate with the values of the program as given for all that has no effect."""
        base = self._base
        if not base.settings:
            return candidate
        change_settings(self._program, {path: candidate.settings.get(path, own) for path, own in self._own.items()})
        idle = idle_of(self._program)
        unused = {nearest_path(path) for path in idle.parts} - base.settings.keys()  # choices of demos of such parts
        settings = {
            path: {
                name: base.settings[path][name] if (path, name) in idle.settings else one for name, one in own.items()
            }
            for path, own in candidate.settings.items()
            if path not in unused
        }
        parts = {path: base.parts[path] if path in idle.parts else part for path, part in candidate.parts.items()}
        return replace(candidate, parts=parts, settings=settings)
