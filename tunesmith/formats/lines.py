"""`lines`: a labelled line per field, `Field: value`."""

from typing import ClassVar

from tunesmith.formats.labelled import LINES
from tunesmith.formats.layout import Layout
from tunesmith.formats.registry import register
from tunesmith.formats.sections import SectionFormat

__all__ = ["LinesFormat"]


class LinesFormat(SectionFormat):
    """Inputs and outputs as labelled lines."""

    name: ClassVar[str] = "lines"
    layout: ClassVar[Layout] = LINES


register(LinesFormat())
