"""Every race by its name."""

from types import MappingProxyType

from tunesmith.evaluation.race import Race
from tunesmith.evaluation.races.bandits import ucb, ucb_e
from tunesmith.evaluation.races.eliminations import block_race, wilcoxon
from tunesmith.evaluation.races.halving import paired_halving, sh
from tunesmith.evaluation.races.multistage import multistage
from tunesmith.evaluation.races.rejects import s_sr, sr
from tunesmith.evaluation.races.whole import bf, bound, full

__all__ = ["RACES"]

_RUNS = {
    "full": full,
    "bf": bf,
    "bound": bound,
    "ucb": ucb,
    "ucb-e": ucb_e,
    "sr": sr,
    "s-sr": s_sr,
    "sh": sh,
    "multistage": multistage,
    "paired-halving": paired_halving,
    "block-race": block_race,
    "wilcoxon": wilcoxon,
}

RACES = MappingProxyType({name: Race(name, run) for name, run in _RUNS.items()})
