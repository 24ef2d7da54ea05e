"""Solve word problems by programs: the model writes Python, and running it gives the answer.

A very small model writes prose if nothing shows it a program, so four are given as demos, one for each kind of
arithmetic. A compile then takes programs of its own that worked as demos. Needs `pip install 'tunesmith[pal]'`.

The model is named by TUNESMITH_LM (`embedded`, `ollama/qwen3:4b`, ...).
"""

import os
from pathlib import Path

import dspy

import tunesmith as ts

SHOWN = {
    "Paul has 9 coins and finds 4 more. How many coins does he have?": "return 9 + 4",
    "There were 60 cups and 25 broke. How many cups are left?": "return 60 - 25",
    "A hall has 6 rows of 15 seats. How many seats does it have?": "return 6 * 15",
    "Three children share 21 plums equally. How many plums does each get?": "return 21 / 3",
}


def shown(question: str, line: str) -> dspy.Example:
    """Return a demo: the question and the program that answers it."""
    return dspy.Example(question=question, program=f"def solution():\n    {line}")


problems = ts.Dataset.load(Path(__file__).parent / "problems.jsonl", inputs=["question"])
splits = problems.split(train=12, val=12, test=24)
lm = ts.lm(os.environ.get("TUNESMITH_LM", "embedded"), max_tokens=120)
exact = ts.metrics.exact_match("answer")

thoughts = ts.ChainOfThought("question -> answer: int")
print("chain of thought", ts.evaluate(thoughts, splits.test, exact, lm=lm).interval)

program = ts.ProgramOfThought("question -> answer: int", retries=0)
program.write.demos = [shown(question, line) for question, line in SHOWN.items()]
result = ts.compile(
    program,
    metric=exact,
    trainset=splits.train,
    valset=splits.val,
    testset=splits.test,
    compiler=ts.BootstrapFewShot(),
    lm=lm,
)
print("programs", result.baseline, "->", result.compiled)
print(result.verdict)

with dspy.context(lm=lm):
    found = result.program(question="A ship has 5 cabins of 4 beds, and 7 beds are free. How many beds are taken?")
print(repr(found.program), "->", found.answer)
