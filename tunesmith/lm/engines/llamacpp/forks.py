"""Protect native objects with threads in forked processes, which inherit the objects but not the threads.

In a forked process a call to such an object hangs. Its destructor waits for the missing threads, so that freeing the
object hangs or crashes the process. So a forked process drops its references and never frees these objects.
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
        """Drop the native objects without using them, and return them."""


_LIBC = ctypes.CDLL(None)
_owners: "weakref.WeakSet[_Owner]" = weakref.WeakSet()
_given_up_in: list[int] = []  # this process and its parents, if they dropped such objects


def given_up_in_forks(owner: _Owner) -> None:
    """Make every forked process call `owner.give_up()` first, and never free the objects that it returns.

    This includes an owner that is unreferenced but not yet garbage collected.
    """
    _owners.add(owner)


def not_freed_in_forks(made: T) -> T:
    """Return `made`, and never free it if this process was forked while such an object existed.

    A library that was in use at the fork cannot stop its threads in the forked process.
    """
    if _given_up_in:
        _keep(made)
    return made


def _keep(thing: object) -> None:
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(thing))  # a reference in a list would be freed at exit


def _after_fork() -> None:
    dropped = [native for owner in list(_owners) for native in owner.give_up()]
    for native in dropped:
        _keep(native)
    if dropped:
        _given_up_in.append(os.getpid())
        if hasattr(_LIBC, "on_exit"):  # skip the library's static destructors, which wait for its threads, too
            _LIBC.on_exit(_LIBC._exit, None)


os.register_at_fork(after_in_child=_after_fork)
