"""What a run's folder tells, and one HTML page of it."""

from typing import TYPE_CHECKING

from tunesmith.lazy import lazy_package

if TYPE_CHECKING:
    from tunesmith.experiments.report.outline import Outlined, RunOutline
    from tunesmith.experiments.report.page import report_page, write_report
    from tunesmith.experiments.report.record import RunRecord, Tried

__all__ = ["Outlined", "report_page", "RunOutline", "RunRecord", "Tried", "write_report"]

__getattr__ = lazy_package(__name__)
