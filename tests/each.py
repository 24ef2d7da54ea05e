"""One test for many small cases: pytest takes longer to start a test than a small case takes to run."""

import functools
import inspect
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest

_LONG = 200
Test = Callable[..., None]
Ids = Iterable[Any] | Callable[[Any], Any] | None


def each(names: str | Sequence[str], cases: Iterable[Any], ids: Ids = None) -> Callable[[Test], Test]:
    """Run a test for every case, as `pytest.mark.parametrize` does, but as one test that goes on after a failure.

    A failure names its case; several are raised as one `ExceptionGroup`. Each case has a folder of its own in
    `tmp_path`. The cases share the other fixtures, so use it only if a case leaves those as it found them. A case has
    no marks.

    Args:
        names: of the parameters, also as one text with commas between them.
        cases: a value per case, a tuple if there are several names; also `pytest.param` with an id.
        ids: what names the cases: a text for each, or what makes it from a value.
    """
    named = [name.strip() for name in names.split(",")] if isinstance(names, str) else list(names)
    listed = [_case(case, several=len(named) > 1) for case in cases]
    assert listed, f"no case of {names}"
    labels = _labels(listed, ids)

    def decorate(test: Test) -> Test:
        @functools.wraps(test)
        def run(*args: Any, **kwargs: Any) -> None:
            failed = []
            for at, ((_, values), label) in enumerate(zip(listed, labels, strict=True)):
                given = _own_folder(kwargs, at) | dict(zip(named, values, strict=True))
                error = _failure(test, args, given)
                if error is not None:
                    error.add_note(f"in the case {label}")
                    failed.append(error)
            if len(failed) == 1:
                raise failed[0]
            if failed:
                raise ExceptionGroup(f"{len(failed)} of {len(listed)} cases failed", failed)

        signature = inspect.signature(test)
        rest = [parameter for name, parameter in signature.parameters.items() if name not in named]
        run.__signature__ = signature.replace(parameters=rest)  # type: ignore[attr-defined]
        return run

    return decorate


def _case(case: Any, *, several: bool) -> tuple[Any, tuple[Any, ...]]:
    """Return the id, if there is one, and the values."""
    if isinstance(case, type(pytest.param())):
        assert not case.marks, f"a case with a mark is a test of its own: {case}"
        return case.id, tuple(case.values)
    return None, tuple(case) if several else (case,)


def _labels(listed: list[tuple[Any, tuple[Any, ...]]], ids: Ids) -> list[str]:
    own = [None] * len(listed) if ids is None or callable(ids) else list(ids)
    found = []
    for (name, values), other in zip(listed, own, strict=True):
        parts = [None if not callable(ids) else ids(value) for value in values]
        texts = [repr(value) if part is None else str(part) for value, part in zip(values, parts, strict=True)]
        label = next((str(given) for given in (name, other) if given is not None), ", ".join(texts))
        found.append(label if len(label) <= _LONG else label[:_LONG] + "...")
    return found


def _own_folder(fixtures: dict[str, Any], at: int) -> dict[str, Any]:
    if "tmp_path" not in fixtures:
        return fixtures
    folder: Path = fixtures["tmp_path"] / f"case-{at}"
    folder.mkdir()
    return fixtures | {"tmp_path": folder}


def _failure(test: Test, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Exception | None:
    try:
        test(*args, **kwargs)
    except Exception as error:
        return error
    except pytest.fail.Exception as error:  # such as `pytest.raises` that saw nothing raised: it is no `Exception`
        return AssertionError(str(error)).with_traceback(error.__traceback__)
    return None
