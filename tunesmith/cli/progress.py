"""Live progress on stderr with what is spent and left, around whatever calls the model."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tunesmith.experiments import ProgressLine
from tunesmith.lm import Meter, StopSignal, metered

__all__ = ["Tell", "shown_progress"]

Tell = Callable[[str, int, int], None]


@contextmanager
def shown_progress(*, quiet: bool, budget_calls: int | None = None) -> Iterator[Tell]:
    """Yield a function that shows progress; calls made inside are counted beside it.

    Args:
        quiet: show nothing.
        budget_calls: calls there are, where there is a limit.
    """
    meter = Meter()

    def spent() -> str:
        charged, paid = meter.charged, meter.paid
        if charged.calls == 0:
            return ""
        left = "" if budget_calls is None else f" of {budget_calls}"
        return f"{charged.calls}{left} calls charged, {paid.calls} paid, {charged.tokens:,} tokens"

    try:
        with metered(meter):
            if quiet:
                yield _say_nothing
            else:
                with ProgressLine(note=spent) as line:
                    yield line.tell
    except StopSignal as stop:
        raise stop.error from None


def _say_nothing(text: str, done: int, total: int) -> None:
    pass
