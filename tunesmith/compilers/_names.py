"""The names of compilers, without importing them: that takes seconds, and a shell that completes a name waits."""

from pathlib import Path

from tunesmith.lazy import lazy_pattern

__all__ = ["compiler_names", "name_of"]

# The class of a compiler, and the name that it gives itself instead.
_COMPILER = lazy_pattern(r"(?m)^class (\w+)\(\w*Compiler\):|^    command_name = \"(.+)\"")
_WORD = lazy_pattern(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def compiler_names() -> list[str]:
    """Return the names that `compilers()` finds, as the files of this package say them."""
    found = list[str]()
    for file in Path(__file__).parent.glob("[!_]*.py"):
        for kind, own in _COMPILER.findall(file.read_text(encoding="utf-8")):
            if own:
                found.pop()
            found.append(own or name_of(kind))
    return sorted(found)


def name_of(kind: str) -> str:
    """Return what `tunesmith.toml` and `--compiler` call a compiler's class: `RandomSearch` is `random-search`."""
    return _WORD.sub("-", kind).lower()
