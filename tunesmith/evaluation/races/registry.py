"""Every race by its name: a file of this package registers what it defines, with `register_race`."""

from tunesmith.evaluation.race import RACES
from tunesmith.lazy import import_files

__all__ = ["RACES"]

import_files(__name__.rpartition(".")[0])
