"""Judge one prediction."""

import sys
from typing import TYPE_CHECKING

from tunesmith.lazy import lazy_package

if TYPE_CHECKING:
    from tunesmith.metrics.combined import gated, weighted
    from tunesmith.metrics.judging import Judge, judge, judges_used
    from tunesmith.metrics.matching import contains, exact_match, one_of, regex_match
    from tunesmith.metrics.metric import (
        Metric,
        Scorer,
        check_metric,
        judged_by,
        metric_fingerprint,
        metric_name,
        named_metrics,
        score_of,
        scorer_of,
        step_feedback,
        without_call,
    )
    from tunesmith.metrics.numeric import numeric_close
    from tunesmith.metrics.overlap import rouge_l, token_f1
    from tunesmith.metrics.passages import (
        answer_in_passages,
        citation_correctness,
        ndcg_at,
        precision_at,
        recall_at,
        reciprocal_rank,
    )
    from tunesmith.metrics.sets import set_match
    from tunesmith.metrics.sources import code_identity, source_key
    from tunesmith.metrics.structured import json_fields
    from tunesmith.metrics.values import MISSING_FIELD, items_of, same
else:
    __getattr__ = lazy_package(__name__)

__all__ = [
    "answer_in_passages",
    "check_metric",
    "citation_correctness",
    "code_identity",
    "contains",
    "exact_match",
    "gated",
    "items_of",
    "json_fields",
    "Judge",
    "judge",
    "judged_by",
    "judges_used",
    "Metric",
    "metric_fingerprint",
    "metric_name",
    "MISSING_FIELD",
    "named_metrics",
    "ndcg_at",
    "numeric_close",
    "one_of",
    "precision_at",
    "recall_at",
    "reciprocal_rank",
    "regex_match",
    "rouge_l",
    "same",
    "score_of",
    "Scorer",
    "scorer_of",
    "set_match",
    "source_key",
    "step_feedback",
    "token_f1",
    "weighted",
    "without_call",
]


def __dir__() -> list[str]:
    """List the metrics only; the other public names serve other packages."""
    package = sys.modules[__name__]
    made = {name: getattr(getattr(package, name), "__annotations__", {}).get("return") for name in __all__}
    kinds = (package.Scorer, package.Judge)
    return sorted(n for n, kind in made.items() if isinstance(kind, type) and issubclass(kind, kinds))
