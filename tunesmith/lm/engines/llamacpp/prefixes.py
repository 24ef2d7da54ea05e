"""Prefixes of the in-process engine: each is read once, and kept as a file from which a context goes on.

llama.cpp reuses whatever its context still holds, and a cell of it was computed in another batch. So greedy
replies could differ, in rare cases, with the order of calls. Here each call begins with the state after its
prefix, which depends on nothing but that prefix: all messages before the last one, and the name of a field with which
the last one opens.
"""

import atexit
import contextlib
import hashlib
import json
import os
import re
import shutil
import tempfile
import threading
from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING

from tunesmith.lazy import lazy_module
from tunesmith.lm.engines.llamacpp.context import Context
from tunesmith.lm.engines.llamacpp.slots import Slots

if TYPE_CHECKING:
    import filelock
else:
    filelock = lazy_module("filelock")

__all__ = ["Prefixes", "StateFolder"]

LIMIT = 512 * 1024 * 1024
_MARK = "tunesmith-states-"
_DUMMY = " ."  # stands for the last message, or what follows its opening, while a prefix is read
_OPENING = re.compile(r"[A-Za-z][A-Za-z_ ]{0,40}:(?= )|\[\[ ## \w{1,40} ## \]\](?=\n)")

Messages = list[dict[str, str]]


class Prefixes:
    """Brings contexts to the state after a prefix. All contexts of a weight file share the states.

    Args:
        slots: the contexts.
        states: where the states are kept.
    """

    def __init__(self, slots: Slots, states: "StateFolder") -> None:
        self._slots, self._states = slots, states
        self._reading = threading.Lock()  # callers with one new prefix meet here; one of them reads it

    def bring(self, context: Context, messages: Messages) -> bool:
        """Bring `context` to the state after the prefix of `messages`.

        Returns:
            Whether it is there; else the context has to read all of them, and nothing that it holds may be reused.
        """
        prefix, opening = messages[:-1], _opening(messages[-1])
        name = _name(prefix, opening)
        if self._restored(context, name):
            return True
        with self._reading:
            if not self._states.has(name):
                with self._slots.reader(context) as reader:
                    if not self._read(reader, prefix, opening):
                        return False  # the request itself will say what is wrong
                    self._save(reader, name)
        return self._restored(context, name) or self._read(context, prefix, opening)

    def _read(self, context: Context, prefix: Messages, opening: str = "") -> bool:
        """Let `context` read the prefix; return whether it could.

        It is read in steps, each from the state after the one before: the system message, which the candidates of a
        search share, the demos, the opening. So the state is the same whatever was read earlier.
        """
        before = prefix if opening else prefix[:1]
        begun = len(before) > 0 and (before != prefix or opening != "") and before[0]["role"] == "system"
        there = begun and self._reached(context, before)
        reply = context.chat(
            {
                "messages": [*prefix, {"role": "user", "content": opening + _DUMMY}],
                "max_tokens": 1,
                "temperature": 0,
                "cache_prompt": there,
            }
        )
        return "error" not in reply

    def _reached(self, context: Context, prefix: Messages) -> bool:
        name = _name(prefix)
        if self._restored(context, name):
            return True
        if not self._read(context, prefix):
            return False
        self._save(context, name)
        return True

    def _save(self, context: Context, name: str) -> None:
        with contextlib.suppress(OSError):  # a full disk: each call reads the prefix again
            context.save(name)
            self._states.add(name)

    def _restored(self, context: Context, name: str) -> bool:
        if not self._states.has(name):
            return False
        try:
            context.restore(name)
        except OSError:
            self._states.drop(name)
            return False
        return True


def _opening(message: dict[str, str]) -> str:
    """Return how a message opens if that is the name of a field, which the inputs of a program share."""
    found = _OPENING.match(message["content"]) if message["role"] == "user" else None
    return "" if found is None else found[0]


def _name(prefix: Messages, opening: str = "") -> str:
    return hashlib.sha256(json.dumps([prefix, opening]).encode()).hexdigest()[:32] + ".bin"


class StateFolder:
    """A 0700 temporary folder of state files; the least recently used ones are dropped above `limit` bytes.

    The files hold prompts. They are removed at exit, and folders that a killed process left behind are removed
    when the next one starts: a folder whose lock can be taken has no owner any more.
    """

    def __init__(self, *, limit: int = LIMIT) -> None:
        self._limit = limit
        self._folder: Path | None = None
        self._sizes: OrderedDict[str, int] = OrderedDict()
        self._changing = threading.RLock()

    @property
    def path(self) -> Path:
        """The folder, made when it is first asked for."""
        with self._changing:
            if self._folder is None:
                _sweep()
                self._folder = Path(tempfile.mkdtemp(prefix=_MARK))  # mkdtemp makes it 0700
                self._lock = filelock.FileLock(self._folder / ".lock")
                self._lock.acquire()
                self._process = os.getpid()
                atexit.register(self._remove)
            return self._folder

    def has(self, name: str) -> bool:
        """Return whether the state is there, and count this as a use."""
        with self._changing:
            if name not in self._sizes:
                return False
            self._sizes.move_to_end(name)
            return True

    def add(self, name: str) -> None:
        """Count the file `name`, which the engine just wrote, and drop old ones above the limit."""
        with self._changing:
            try:
                self._sizes[name] = (self.path / name).stat().st_size
            except OSError:  # a full disk: the state is simply not there next time
                return
            while sum(self._sizes.values()) > self._limit and len(self._sizes) > 1:
                self.drop(next(iter(self._sizes)))

    def drop(self, name: str) -> None:
        """Remove one state."""
        with self._changing:
            self._sizes.pop(name, None)
            (self.path / name).unlink(missing_ok=True)

    def clear(self) -> None:
        """Remove all states; a context that needs one reads its prefix again."""
        with self._changing:
            for name in list(self._sizes):
                self.drop(name)

    def _remove(self) -> None:
        if self._process == os.getpid():  # else it belongs to the process that this one was forked from
            self._lock.release()
            shutil.rmtree(self.path, ignore_errors=True)


def _sweep() -> None:
    for folder in Path(tempfile.gettempdir()).glob(f"{_MARK}*"):
        if not folder.is_dir() or folder.is_symlink():
            continue
        mark = folder / ".lock"
        if not mark.exists():  # another process is between making the folder and locking it
            continue
        try:
            with filelock.FileLock(mark, timeout=0):
                shutil.rmtree(folder, ignore_errors=True)
        except (filelock.Timeout, OSError):
            continue
