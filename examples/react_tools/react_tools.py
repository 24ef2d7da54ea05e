"""Answer questions about a shop with two tools: a compile finds examples that show the model which one to call.

A model of 135M parameters calls tools better than it reads what they return, so one call is all that this asks of it.

The model is named by TUNESMITH_LM (`embedded`, `ollama/qwen3:4b`, ...).
"""

import os

import dspy

import tunesmith as ts

PRICES = {
    "kettle": 29,
    "lamp": 45,
    "chair": 80,
    "toaster": 35,
    "mug": 9,
    "desk": 210,
    "clock": 17,
    "rug": 64,
    "vase": 23,
}
STOCK = {"kettle": 4, "lamp": 0, "chair": 12, "toaster": 7, "mug": 150, "desk": 2, "clock": 31, "rug": 5, "vase": 9}


def price(item: str) -> str:
    """Look up what an item costs, in euros."""
    return str(PRICES[item])


def stock(item: str) -> str:
    """Look up how many of an item are in stock."""
    return str(STOCK[item])


def questions(items: list[str]) -> list[dspy.Example]:
    """Return a question about the price and one about the stock of each item."""
    asked = [(f"How much is the {item}?", str(PRICES[item])) for item in items]
    asked += [(f"How many pieces of the {item} do you have?", str(STOCK[item])) for item in items]
    return [dspy.Example(question=question, answer=answer).with_inputs("question") for question, answer in asked]


def right_call(example: dspy.Example, found: dspy.Prediction, trace: object = None) -> bool:
    """Return whether the tool that was called returned the answer."""
    return found.steps[-1].observation == example.answer


items = list(PRICES)
lm = ts.lm(os.environ.get("TUNESMITH_LM", "embedded"))
result = ts.compile(
    ts.ReAct("question -> answer", tools=[price, stock], max_steps=1, answer_at_limit=False),
    metric=right_call,
    trainset=questions(items[:3]),
    valset=questions(items[3:5]),
    testset=questions(items[5:]),
    compiler=ts.BootstrapFewShot(),
    lm=lm,
)
print(result.baseline, "->", result.compiled)
print(result.verdict)
with dspy.context(lm=lm):
    step = result.program(question="How many pieces of the rug do you have?").steps[0]
print(step.tool, dict(step.arguments), "->", step.observation)
