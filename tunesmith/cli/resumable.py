"""Turn an unavailable model into `RunStopped` if a run has started, so that it can be resumed."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tunesmith.cli.failures import RunStopped
from tunesmith.errors import ModelMissing, ModelUnavailable, UsageError
from tunesmith.evaluation import RunInfo

__all__ = ["may_be_resumed"]


@contextmanager
def may_be_resumed(run: Path, *, new: bool = False) -> Iterator[None]:
    """Raise `RunStopped` if the model is missing or its server is unavailable during the run inside.

    Args:
        run: the run's folder.
        new: whether the same command would start the run from scratch.

    Raises:
        RunStopped: the run has started, now or in an earlier command, and is not finished.
        ModelMissing, ModelUnavailable: no run has started.
    """
    try:
        yield
    except (ModelMissing, ModelUnavailable) as error:
        if not _is_begun(run):
            raise
        way = "the same command without --new goes on" if new else "the same command goes on"
        raise RunStopped(error, run, way) from error


def _is_begun(run: Path) -> bool:
    try:
        return RunInfo.of(run).state in ("running", "stopped")
    except UsageError:
        return False
