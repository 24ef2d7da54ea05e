"""Libraries that take long to import: every worker collects all tests, and runs those that use them or does not."""

from tunesmith.lazy import lazy_module

__all__ = ["distributed", "pd", "stats"]

distributed = lazy_module("distributed")
pd = lazy_module("pandas")
stats = lazy_module("scipy.stats")
