"""The default: threads of this process, as many as the model has slots."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar

from tunesmith.evaluation.executor import Evaluate, Executor, register_executor
from tunesmith.evaluation.subject import Subject

__all__ = ["Threads"]


@register_executor
class Threads(Executor):
    """Runs every program here. Any program will do."""

    name: ClassVar[str] = "threads"

    @contextmanager
    def seat(self, subject: Subject) -> Iterator[Evaluate]:
        """Give the program itself."""
        yield subject.evaluate
