"""A fresh process that loads a program and predicts once, from the cache: what `bench_start.py` measures.

    python benchmarks/first_prediction.py write|predict tunesmith|dspy FOLDER ADDRESS

`write` saves the program. Nothing but `import dspy` comes before the clock starts, so all that a library imports itself
is on its own account.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import dspy

MODEL = "openai/noop"
TEXT = "Visit 0 to the corner bakery: fresh bread, warm and kind service, I will come again"


def our_program(folder: Path, address: str) -> Callable[..., Any]:
    import tunesmith as ts

    return ts.load(folder / "artifact", lm=ts.lm(MODEL, host=address))


def their_program(folder: Path, address: str) -> Callable[..., Any]:
    class Mood(dspy.Signature):
        """Say whether the visitor liked the place."""

        text: str = dspy.InputField()
        label: Literal["positive", "negative"] = dspy.OutputField()

    program = dspy.Predict(Mood)
    program.load(str(folder / "program.json"))
    program.set_lm(dspy.LM(MODEL, api_base=address))
    return program


def write(library: str, folder: Path, address: str) -> dict[str, Any]:
    """Save a program with four demos."""
    from noop import Mood, demos, save_untested

    import tunesmith as ts

    if library == "dspy":
        theirs = dspy.Predict(Mood)
        theirs.demos = demos(4)
        theirs.save(str(folder / "program.json"))
    else:
        ours = ts.Predict(Mood)
        candidate = ts.Candidate.of(ours).with_part("self", demos=tuple(ts.Demo.of(Mood, d) for d in demos(4)))
        save_untested(folder / "artifact", ours, candidate, ts.lm(MODEL, host=address))
    return {}


def predict(library: str, folder: Path, address: str) -> dict[str, Any]:
    """Load the program and ask it once."""
    load = {"tunesmith": our_program, "dspy": their_program}[library]
    start, wall = time.process_time(), time.perf_counter()
    label = str(load(folder, address)(text=TEXT).label)
    return {"cpu": time.process_time() - start, "wall": time.perf_counter() - wall, "label": label}


if __name__ == "__main__":
    task = {"write": write, "predict": predict}[sys.argv[1]]
    print(json.dumps(task(sys.argv[2], Path(sys.argv[3]), sys.argv[4])))
