"""How p values are corrected if the scores choose what the others are compared with."""

import numpy as np

from tunesmith.evaluation import PairedScores
from tunesmith.experiments.correction import compared_with


def test_equal_programs_are_rarely_called_different_though_the_best_is_the_reference() -> None:
    rng, wrong = np.random.default_rng(1), {True: 0, False: 0}
    for _ in range(80):
        common = rng.normal(size=60)
        scores = {str(one): tuple((common + rng.normal(size=60)).tolist()) for one in range(8)}
        best = max(scores, key=lambda name: sum(scores[name]))
        for is_best in wrong:
            found = compared_with(
                best, list(scores), lambda one, two: PairedScores(scores[one], scores[two]), is_best=is_best
            )
            wrong[is_best] += any(one.p_holm <= 0.05 for one in found.values())
    assert wrong[True] <= 4, "5 %"
    assert wrong[False] > 4, "as if the best had been named beforehand"
