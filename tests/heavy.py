"""Libraries that take long to import: every worker collects all tests, and runs those that use them or does not."""

from tunesmith.lazy import lazy_module

__all__ = ["bm25s", "pd", "stats"]

bm25s = lazy_module("bm25s")
pd = lazy_module("pandas")
stats = lazy_module("scipy.stats")
