"""Prompt prefixes of the in-process engine: each is processed once, and its state is stored in a file.

llama.cpp reuses the content of its context. Its KV cells may come from another batch, so that greedy replies
can depend on the order of calls, in rare cases. Here each call starts with the state after its prefix, which depends
only on that prefix: all messages before the last one, and the field name that begins the last one.
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
_DUMMY = " ."  # replaces the last message, or the text after its opening, while a prefix is processed
_OPENING = re.compile(r"[A-Za-z][A-Za-z_ ]{0,40}:(?= )|\[\[ ## \w{1,40} ## \]\](?=\n)")

Messages = list[dict[str, str]]


class Prefixes:
    """Bring contexts to the state after a prefix. All contexts of a weight file share the states.

    Args:
        slots: the contexts.
        states: the stored states.
    """

    def __init__(self, slots: Slots, states: "StateFolder") -> None:
        self._slots, self._states = slots, states
        self._reading = threading.Lock()  # of concurrent callers with the same new prefix, one processes it

    def bring(self, context: Context, messages: Messages) -> bool:
        """Bring `context` to the state after the prefix of `messages`.

        Returns:
            Whether the context has that state. If not, it has to process all messages and must not reuse its content.
        """
        prefix, opening = messages[:-1], _opening(messages[-1])
        name = _name(prefix, opening)
        if self._restored(context, name):
            return True
        with self._reading:
            if not self._states.has(name):
                with self._slots.reader(context) as reader:
                    if not self._read(reader, prefix, opening):
                        return False  # the request itself then raises the error
                    self._save(reader, name)
        return self._restored(context, name) or self._read(context, prefix, opening)

    def _read(self, context: Context, prefix: Messages, opening: str = "") -> bool:
        """Process the prefix with `context`; return whether that worked.

        The prefix is processed in steps, each from the state after the previous one: the system message, which the
        candidates of a search share, then the demos, then the opening. So the state does not depend on earlier calls.
        """
        before = prefix if opening else prefix[:1]
        begun = len(before) > 0 and (before != prefix or opening != "") and before[0]["role"] == "system"
        reusable = begun and self._reached(context, before)
        reply = context.chat(
            {
                "messages": [*prefix, {"role": "user", "content": opening + _DUMMY}],
                "max_tokens": 1,
                "temperature": 0,
                "cache_prompt": reusable,
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
        with contextlib.suppress(OSError):  # on a full disk each call processes the prefix again
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
    """Return the field name that begins a message, empty if there is none. The inputs of a program share it."""
    found = _OPENING.match(message["content"]) if message["role"] == "user" else None
    return "" if found is None else found[0]


def _name(prefix: Messages, opening: str = "") -> str:
    return hashlib.sha256(json.dumps([prefix, opening]).encode()).hexdigest()[:32] + ".bin"


class StateFolder:
    """A temporary folder (0700) of state files. Above `limit` bytes it drops the least recently used ones.

    The files hold prompts. They are removed at exit. Folders of killed processes are removed by the next process: if
    the lock of a folder is free, its owner has ended.
    """

    def __init__(self, *, limit: int = LIMIT) -> None:
        self._limit = limit
        self._folder: Path | None = None
        self._sizes: OrderedDict[str, int] = OrderedDict()
        self._changing = threading.RLock()

    @property
    def path(self) -> Path:
        """The folder, created at first use."""
        with self._changing:
            if self._folder is None:
                _sweep()
                self._folder = Path(tempfile.mkdtemp(prefix=_MARK))  # mkdtemp sets mode 0700
                self._lock = filelock.FileLock(self._folder / ".lock")
                self._lock.acquire()
                self._process = os.getpid()
                atexit.register(self._remove)
            return self._folder

    def has(self, name: str) -> bool:
        """Return whether the state exists, and mark it as used."""
        with self._changing:
            if name not in self._sizes:
                return False
            self._sizes.move_to_end(name)
            return True

    def add(self, name: str) -> None:
        """Register the file `name`, which the engine has written, and drop old files above the limit."""
        with self._changing:
            try:
                self._sizes[name] = (self.path / name).stat().st_size
            except OSError:  # on a full disk the state is not stored
                return
            while sum(self._sizes.values()) > self._limit and len(self._sizes) > 1:
                self.drop(next(iter(self._sizes)))

    def drop(self, name: str) -> None:
        """Remove one state."""
        with self._changing:
            self._sizes.pop(name, None)
            (self.path / name).unlink(missing_ok=True)

    def clear(self) -> None:
        """Remove all states. A context that needs one processes its prefix again."""
        with self._changing:
            for name in list(self._sizes):
                self.drop(name)

    def _remove(self) -> None:
        if self._process == os.getpid():  # else the folder belongs to the parent of this forked process
            self._lock.release()
            shutil.rmtree(self.path, ignore_errors=True)


def _sweep() -> None:
    for folder in Path(tempfile.gettempdir()).glob(f"{_MARK}*"):
        if not folder.is_dir() or folder.is_symlink():
            continue
        mark = folder / ".lock"
        if not mark.exists():  # another process has created the folder, but not yet its lock
            continue
        try:
            with filelock.FileLock(mark, timeout=0):
                shutil.rmtree(folder, ignore_errors=True)
        except (filelock.Timeout, OSError):
            continue
