"""An instruction that is written from examples alone: whoever only improves on a bad one stays near it."""

from typing import TYPE_CHECKING

from tunesmith.compilers._wording import pair_texts
from tunesmith.modules import Predict
from tunesmith.signatures import InputField, OutputField, Signature

if TYPE_CHECKING:
    from tunesmith.compilers._search import Search

__all__ = ["written_anew"]

_PAIRS = 4


class WriteAnew(Signature):
    """Write the instruction that makes a model give these outputs for these inputs. Copy no example."""

    task: str = InputField(desc="what the step gets and gives")
    pairs: list[str] = InputField(desc="inputs and right outputs")
    instruction: str = OutputField()


_STEP = Predict(WriteAnew, max_tokens=300)


def written_anew(search: "Search", path: str, *, draw: int, attempts: int = 1) -> str | None:
    """Return a new instruction of the predictor at `path`, written without sight of the one so far.

    Args:
        search: asks the prompt model.
        path: of the predictor.
        draw: of the pairs; another number gives others.
        attempts: proposals that are asked for, one by one, until one can be used.

    Returns:
        The instruction, `None` if there are no pairs, or no proposal of use.
    """
    pairs = pair_texts(search.examples(path, _PAIRS, draw=draw))
    for _ in range(attempts if pairs else 0):
        texts = search.propose(path, _STEP, task=search.task(path), pairs=pairs)
        if texts:
            return texts[0]
    return None
