"""Datasets and scores."""

from typing import TYPE_CHECKING

from tunesmith.lazy import lazy_package

if TYPE_CHECKING:
    from tunesmith.data.advice import as_options, as_settings
    from tunesmith.data.checkup import (
        DataCheck,
        FieldFacts,
        Finding,
        Place,
        check_data,
        looks_like_labels,
    )
    from tunesmith.data.conversion import Conversion, convert_file
    from tunesmith.data.datafile import DataFile, compared_fields, plain
    from tunesmith.data.dataset import Dataset, Splits
    from tunesmith.data.disjoint import check_disjoint
    from tunesmith.data.fitting import Fitted, fitted
    from tunesmith.data.keys import canonical_json, content_key, example_key, fields_of, input_fields_of, inputs_key
    from tunesmith.data.labeling import Decision, Labeling
    from tunesmith.data.language import language_of
    from tunesmith.data.paths import MISSING, at_path
    from tunesmith.data.readers import read_file
    from tunesmith.data.score import Score
    from tunesmith.data.scripts import scripts_of
    from tunesmith.data.shapes.registry import known_shapes, register_shape
    from tunesmith.data.shapes.shape import Dropped, Given, Shape
    from tunesmith.data.source import Reading, Row
    from tunesmith.data.text import normalize_text, tokens
    from tunesmith.data.writers import check_targets, jsonl, write_rows
else:
    __getattr__ = lazy_package(__name__)

__all__ = [
    "as_options",
    "as_settings",
    "at_path",
    "canonical_json",
    "check_data",
    "check_disjoint",
    "check_targets",
    "compared_fields",
    "content_key",
    "Conversion",
    "convert_file",
    "DataCheck",
    "DataFile",
    "Dataset",
    "Decision",
    "Dropped",
    "example_key",
    "FieldFacts",
    "fields_of",
    "Finding",
    "Fitted",
    "fitted",
    "Given",
    "input_fields_of",
    "inputs_key",
    "jsonl",
    "known_shapes",
    "Labeling",
    "language_of",
    "looks_like_labels",
    "MISSING",
    "normalize_text",
    "Place",
    "plain",
    "read_file",
    "Reading",
    "register_shape",
    "Row",
    "Score",
    "scripts_of",
    "Shape",
    "Splits",
    "tokens",
    "write_rows",
]
