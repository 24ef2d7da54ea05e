"""Native objects that have threads of their own: a forked process has the objects and not the threads.

There a call waits for ever, and to free the object ends the process or never ends: its destructor waits for threads
that are not there. So a forked process gives such objects up and never frees them.
"""

import ctypes
import os
import weakref
from collections.abc import Sequence
from typing import Protocol, TypeVar

__all__ = ["given_up_in_forks", "not_freed_in_forks"]

T = TypeVar("T")


class _Owner(Protocol):
    def give_up(self) -> Sequence[object]:
        """Forget the native objects without using them, and return them."""


_LIBC = ctypes.CDLL(None)
_owners: "weakref.WeakSet[_Owner]" = weakref.WeakSet()
_given_up_in: list[int] = []  # this process and those it was forked from, if they gave something up


def given_up_in_forks(owner: _Owner) -> None:
    """Let every forked process call `owner.give_up()` first, and never free what it returns.

    This holds as well for an owner that nothing refers to any more, and that no collection has found yet.
    """
    _owners.add(owner)


def not_freed_in_forks(made: T) -> T:
    """Return `made`, which is never freed if this process has given up another one of its kind.

    A library that was in use when its process was forked cannot stop its threads in the new one.
    """
    if _given_up_in:
        _keep(made)
    return made


def _keep(thing: object) -> None:
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(thing))  # a list of ours would be freed at the end of the process


def _after_fork() -> None:
    found = [given_up for owner in list(_owners) for given_up in owner.give_up()]
    for given_up in found:
        _keep(given_up)
    if found:
        _given_up_in.append(os.getpid())
        if hasattr(_LIBC, "on_exit"):  # the library's own statics wait for its threads as well: they are left out
            _LIBC.on_exit(_LIBC._exit, None)


os.register_at_fork(after_in_child=_after_fork)
