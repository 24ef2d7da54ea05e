"""Rollouts: the same call again, as another draw with a row of its own in the reply cache."""

from tunesmith.lm import BaseLM, rollout_number

__all__ = ["MOST_ROLLOUTS", "rolled"]

# Rollout r of a program uses the rollout numbers from r * MOST_ROLLOUTS on, so that two rollouts share no draw. The
# number of a draw does not depend on how many there are, so a change from three draws to five costs two calls.
MOST_ROLLOUTS = 1000


def rolled(lm: BaseLM, number: int, temperature: float) -> BaseLM:
    """Return the LM that makes draw `number` of a module that makes several."""
    first = rollout_number(lm.kwargs.get("rollout_id")) * MOST_ROLLOUTS
    return lm.copy(rollout_id=first + number, temperature=temperature)
