"""Write a finished run to a tracker of experiments: MLflow, Weights & Biases. A tracker is one file here."""

from typing import TYPE_CHECKING

from tunesmith.lazy import lazy_package

if TYPE_CHECKING:
    from tunesmith.experiments.tracking.record import Tracked, TrackedRun
    from tunesmith.experiments.tracking.trackers import export_run

__all__ = ["export_run", "Tracked", "TrackedRun"]

__getattr__ = lazy_package(__name__)
