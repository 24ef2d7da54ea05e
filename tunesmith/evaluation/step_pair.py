"""Where two runs of one example part: the two steps that answer the same inputs otherwise."""

from collections.abc import Sequence

from tunesmith.evaluation.report import Step

__all__ = ["parting_steps"]


def parting_steps(
    better: Sequence[Step], worse: Sequence[Step], *, answered: bool = True
) -> tuple[Step, Step | None] | None:
    """Return the first steps in which two runs part, that of the better run first.

    Before it both runs are the same, so what they part in is an answer of one predictor to the same inputs.

    Args:
        better: steps of one run.
        worse: steps of the other.
        answered: whether the worse run came to its end. If not, the step after its last is one without an answer.

    Returns:
        The two steps, the second `None` if the worse run has no answer there; `None` if the runs part otherwise than
        by an answer.
    """
    for one, other in zip(better, worse, strict=False):
        if one.predictor != other.predictor or one.inputs != other.inputs:
            return None
        if one.outputs != other.outputs:
            return one, other
    if not answered and len(better) > len(worse):
        return better[len(worse)], None
    return None
