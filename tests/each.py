"""One test for many small cases: pytest takes longer to start a test than a small case takes to run."""

import functools
import inspect
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest

from tunesmith.errors import shown

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
    labels = [name for name, _ in listed] if ids is None or callable(ids) else list(ids)
    assert len(labels) == len(listed), f"{len(labels)} ids for {len(listed)} cases"

    def decorate(test: Test) -> Test:
        @functools.wraps(test)
        def run(*args: Any, **kwargs: Any) -> None:
            failed = []
            for at, (label, (_, values)) in enumerate(zip(labels, listed, strict=True)):
                given = _own_folder(kwargs, at) | dict(zip(named, values, strict=True))
                error = _failure(test, args, given)
                if error is not None:
                    error.add_note(f"in the case {_label(values, ids) if label is None else label}")
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


def _label(values: tuple[Any, ...], ids: Ids) -> str:
    given = [ids(value) if callable(ids) else None for value in values]
    return ", ".join(shown(value) if text is None else str(text) for value, text in zip(values, given, strict=True))


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
