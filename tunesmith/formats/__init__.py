"""Prompt formats: how a signature, its demos and its inputs become a request, and a reply its outputs."""

from typing import TYPE_CHECKING

from tunesmith.lazy import lazy_package

if TYPE_CHECKING:
    from tunesmith.formats.bare import BareFormat
    from tunesmith.formats.choosing import carries, default_format, field_reader
    from tunesmith.formats.fields import field_titles, plain_text, read_inputs
    from tunesmith.formats.format import (
        Adapter,
        AdapterParseError,
        ChatAdapter,
        Format,
        Rendered,
        history_field,
        inputs_with_parts,
    )
    from tunesmith.formats.layout import Layout, Section
    from tunesmith.formats.options import Constraint
    from tunesmith.formats.plan import values_of
    from tunesmith.formats.registry import format_names, get_format, register
    from tunesmith.formats.scored import LABEL_LOGPROBS, calibrated_format, gives_label_logprobs, scored_format
    from tunesmith.formats.sections import SectionFormat
    from tunesmith.formats.streaming import FieldReader, settled
    from tunesmith.formats.tools import OFFERED
else:
    __getattr__ = lazy_package(__name__)

__all__ = [
    "Adapter",
    "AdapterParseError",
    "BareFormat",
    "calibrated_format",
    "carries",
    "ChatAdapter",
    "Constraint",
    "default_format",
    "field_reader",
    "field_titles",
    "FieldReader",
    "Format",
    "format_names",
    "get_format",
    "gives_label_logprobs",
    "history_field",
    "inputs_with_parts",
    "LABEL_LOGPROBS",
    "Layout",
    "OFFERED",
    "plain_text",
    "read_inputs",
    "register",
    "Rendered",
    "scored_format",
    "Section",
    "SectionFormat",
    "settled",
    "values_of",
]
