"""Logs: one JSON object per line, without the texts of requests."""

import datetime
import json
import logging
import threading
from typing import Any, TextIO

__all__ = ["JsonLog", "Log"]


class Log:
    """A log that is not written, for a service inside another app."""

    def write(self, event: str, *, level: str = "info", **fields: Any) -> None:
        """Write one event with its fields; `None` is left out."""

    def handler(self) -> logging.Handler:
        """Return a handler that writes the records of `logging` here."""
        return _Handler(self)


class JsonLog(Log):
    """Writes events to a stream, one line each."""

    def __init__(self, stream: TextIO) -> None:
        self._stream, self._lock = stream, threading.Lock()

    def write(self, event: str, *, level: str = "info", **fields: Any) -> None:
        """Write one event with its fields; `None` is left out."""
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
        found = {name: value for name, value in fields.items() if value is not None}
        line = json.dumps({"time": now, "level": level, "event": event, **found}, default=str)
        with self._lock:
            try:
                self._stream.write(f"{line}\n")
                self._stream.flush()
            except (OSError, ValueError):  # a full disk or a closed pipe must not end the service
                pass


class _Handler(logging.Handler):
    def __init__(self, log: Log) -> None:
        super().__init__()
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        self._log.write("message", level=record.levelname.lower(), source=record.name, text=record.getMessage())
