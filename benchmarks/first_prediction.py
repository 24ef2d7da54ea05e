"""A fresh process that loads a program and predicts once, from the cache: what `bench_imports.py` measures.

python benchmarks/first_prediction.py tunesmith|dspy FOLDER MODEL ADDRESS TEXT

Nothing but `import dspy` comes before the clock starts, so all that a side imports itself is on its own account.
"""

import json
import sys
import time
from pathlib import Path
from typing import Literal

import dspy


def ours(folder: Path, model: str, address: str, text: str) -> str:
    import tunesmith as ts

    program = ts.load(folder / "artifact", lm=ts.lm(model, host=address))
    return str(program(text=text).label)


def theirs(folder: Path, model: str, address: str, text: str) -> str:
    class Mood(dspy.Signature):
        """Say whether the visitor liked the place."""

        text: str = dspy.InputField()
        label: Literal["positive", "negative"] = dspy.OutputField()

    program = dspy.Predict(Mood)
    program.load(str(folder / "program.json"))
    with dspy.context(lm=dspy.LM(model, api_base=address)):
        return str(program(text=text).label)


def main() -> None:
    side, folder, model, address, text = sys.argv[1:]
    start, wall = time.process_time(), time.perf_counter()
    label = {"tunesmith": ours, "dspy": theirs}[side](Path(folder), model, address, text)
    spent = {"cpu": time.process_time() - start, "wall": time.perf_counter() - wall}
    print(json.dumps({**spent, "label": label, "litellm": "litellm" in sys.modules}))


if __name__ == "__main__":
    main()
