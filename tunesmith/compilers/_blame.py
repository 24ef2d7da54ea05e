"""The step that names the predictor to blame for a failure."""

from tunesmith.signatures import InputField, OutputField, Signature

__all__ = ["Blame"]


class Blame(Signature):
    """A program of several steps gave a wrong answer. Find the first step whose output is wrong or too little.

    Judge each step by its own inputs: a step that got a wrong input and did its part is not to blame.
    """

    steps: list[str] = InputField(desc="what each step does")
    trace: list[str] = InputField(desc="inputs and outputs of each step, in order")
    problem: str = InputField(desc="the right answer, and what is wrong")
    evidence: str = OutputField(desc="what shows it, in one sentence")
    fix: str = OutputField(desc="what the step's instruction should say, in one sentence")
    module: str = OutputField(desc="name of the step")
