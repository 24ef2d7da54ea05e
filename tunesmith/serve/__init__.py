"""HTTP service of artifacts: typed endpoints made from each program's signature."""

from typing import TYPE_CHECKING

from tunesmith.lazy import lazy_package

if TYPE_CHECKING:
    from tunesmith.serve.feedback import FeedbackFolder
    from tunesmith.serve.labeling import LabelService
    from tunesmith.serve.limits import Limits
    from tunesmith.serve.log import JsonLog, Log
    from tunesmith.serve.server import check_address, names_of, run_server
    from tunesmith.serve.service import Service
    from tunesmith.serve.tracing import Tracer
    from tunesmith.serve.trial import Second
else:
    __getattr__ = lazy_package(__name__)

__all__ = [
    "check_address",
    "FeedbackFolder",
    "JsonLog",
    "LabelService",
    "Limits",
    "Log",
    "names_of",
    "run_server",
    "Second",
    "Service",
    "Tracer",
]
