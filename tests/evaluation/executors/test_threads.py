"""Threads of this process."""

from tests.contracts.executor import ExecutorContract


class TestThreads(ExecutorContract):
    name = "threads"
