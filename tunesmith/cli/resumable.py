"""A model that does not answer ends a verb with an error, but only stops a run that was begun."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tunesmith.cli.failures import RunStopped
from tunesmith.errors import ModelMissing, ModelUnavailable, UsageError
from tunesmith.evaluation import RunInfo

__all__ = ["may_be_resumed"]


@contextmanager
def may_be_resumed(run: Path, *, new: bool = False) -> Iterator[None]:
    """Let a model that is missing, or a server that is away or refuses us, stop the run that is made inside.

    Args:
        run: the run's folder.
        new: whether the same command would set the run aside and start afresh.

    Raises:
        RunStopped: the run was begun, now or by an earlier command, and is not done.
        ModelMissing, ModelUnavailable: there is nothing to go on with.
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
