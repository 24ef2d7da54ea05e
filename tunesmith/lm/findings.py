"""What is found out about a model while it is used, and goes into the notes of every result."""

import logging
import threading
from collections.abc import Iterable

from tunesmith.lm.engine import Capabilities

__all__ = ["Findings"]

_LOG = logging.getLogger("tunesmith")


class Findings:
    """Whether the server of one model holds replies to the schema or grammar of a request, and takes its tools.

    A server may drop a constraint and say nothing: some do for models that think, proxies do for every model. A reply
    that the constraint could not have produced proves it. From then on replies are asked for freely and checked here.

    A server of a model that calls tools may be started without reading the calls; it then refuses requests with tools.
    From then on a call is asked for as any other reply.

    Every row of a ledger that was made from then on has the note, so that a resumed run knows it before its first call.
    """

    def __init__(self, model: str) -> None:
        self.unheld = self.toolless = False
        self._lock = threading.Lock()
        self._note = (
            f"the server does not hold replies of {model} to the schema, grammar or stop that was sent: they are asked "
            "for freely and checked here"
        )
        self._no_tools = f"the server refuses tools for {model}: calls of tools are asked for as JSON"

    @property
    def notes(self) -> tuple[str, ...]:
        """What was found out, in sentences."""
        known = {self._note: self.unheld, self._no_tools: self.toolless}
        return tuple(note for note, holds in known.items() if holds)

    def give_up(self) -> None:
        """Ask freely from now on; logged once."""
        with self._lock:
            first, self.unheld = not self.unheld, True
        if first:
            _warn(self._note)

    def give_up_tools(self) -> None:
        """Send no tools from now on; logged once."""
        with self._lock:
            first, self.toolless = not self.toolless, True
        if first:
            _warn(self._no_tools)

    def recall(self, notes: Iterable[str]) -> None:
        """Take over what an earlier process found out, from the notes that it left."""
        known = tuple(notes)
        if self._note in known:
            self.give_up()
        if self._no_tools in known:
            self.give_up_tools()

    def usable(self, found: Capabilities) -> Capabilities:
        """Return what the engine can do, as far as it is true."""
        if self.toolless:
            found = found._replace(tools=False)
        return found._replace(constraints=frozenset()) if self.unheld else found


def _warn(note: str) -> None:
    _LOG.warning("%s.", note[:1].upper() + note[1:])
