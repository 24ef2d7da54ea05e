"""Datasets and scores."""

from typing import TYPE_CHECKING

from tunesmith.lazy import lazy_package

if TYPE_CHECKING:
    from tunesmith.data.dataset import Dataset, Splits
    from tunesmith.data.disjoint import check_disjoint
    from tunesmith.data.fitting import Fitted, fitted, with_labels
    from tunesmith.data.keys import canonical_json, content_key, example_key, fields_of, inputs_key
    from tunesmith.data.paths import MISSING, at_path
    from tunesmith.data.readers import read_file
    from tunesmith.data.score import Score
    from tunesmith.data.scripts import scripts_of
    from tunesmith.data.source import Reading
    from tunesmith.data.text import normalize_text, tokens
else:
    __getattr__ = lazy_package(__name__)

__all__ = [
    "at_path",
    "canonical_json",
    "check_disjoint",
    "content_key",
    "Dataset",
    "example_key",
    "fields_of",
    "Fitted",
    "fitted",
    "inputs_key",
    "MISSING",
    "normalize_text",
    "read_file",
    "Reading",
    "Score",
    "scripts_of",
    "Splits",
    "tokens",
    "with_labels",
]
