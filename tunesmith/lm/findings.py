"""What is found out about a model while it is used, and goes into the notes of every result."""

import logging
import threading
from collections.abc import Iterable

from tunesmith.lm.engine import Capabilities

__all__ = ["Findings"]

_LOG = logging.getLogger("tunesmith")


class Findings:
    """Whether the server of one model holds replies to the schema or grammar that a request carries.

    A server may drop a constraint and say nothing: some do for models that think, proxies do for every model. A reply
    that the constraint could not have produced proves it. From then on replies are asked for freely and checked here.

    Every row of a ledger that was made from then on has the note, so that a resumed run knows it before its first call.
    """

    def __init__(self, model: str) -> None:
        self.unheld = False
        self._lock = threading.Lock()
        self._note = (
            f"the server does not hold replies of {model} to the schema, grammar or stop that was sent: they are asked "
            "for freely and checked here"
        )

    @property
    def notes(self) -> tuple[str, ...]:
        """What was found out, in sentences."""
        return (self._note,) if self.unheld else ()

    def give_up(self) -> None:
        """Ask freely from now on; logged once."""
        with self._lock:
            first, self.unheld = not self.unheld, True
        if first:
            _LOG.warning("%s.", self._note[:1].upper() + self._note[1:])

    def recall(self, notes: Iterable[str]) -> None:
        """Take over what an earlier process found out, from the notes that it left."""
        if not self.unheld and self._note in notes:
            self.give_up()

    def usable(self, found: Capabilities) -> Capabilities:
        """Return what the engine can do, as far as it is true."""
        return found._replace(constraints=frozenset()) if self.unheld else found
