"""Judge one prediction."""

from tunesmith.metrics.combined import gated, weighted
from tunesmith.metrics.judging import Judge, judge, judges_used
from tunesmith.metrics.matching import contains, exact_match, one_of, regex_match
from tunesmith.metrics.metric import Metric, metric_fingerprint, metric_name
from tunesmith.metrics.numeric import numeric_close
from tunesmith.metrics.overlap import rouge_l, token_f1
from tunesmith.metrics.sources import code_identity, source_key
from tunesmith.metrics.structured import json_fields

__all__ = [
    "code_identity",
    "contains",
    "exact_match",
    "gated",
    "json_fields",
    "Judge",
    "judge",
    "judges_used",
    "Metric",
    "metric_fingerprint",
    "metric_name",
    "numeric_close",
    "one_of",
    "regex_match",
    "rouge_l",
    "source_key",
    "token_f1",
    "weighted",
]
