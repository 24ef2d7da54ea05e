"""Programs as users of DSPy write them; this file knows nothing of tunesmith."""

from typing import Any, Literal

import dspy


class Route(dspy.Signature):
    """Route the message to a queue."""

    message: str = dspy.InputField(desc="as the customer wrote it")
    queue: Literal["billing", "cards", "other"] = dspy.OutputField()


class Listed(dspy.Module):
    """A predictor in a list, with code around it."""

    def __init__(self) -> None:
        super().__init__()
        self.steps = [dspy.Predict(Route)]
        self.seen: dict[str, int] = {"calls": 0}

    def forward(self, message: str) -> dspy.Prediction:
        if not message.strip():
            return dspy.Prediction(queue="other")
        found = self.steps[0](message=" ".join(message.split()))
        return dspy.Prediction(queue=found.queue, length=len(message))

    async def aforward(self, message: str) -> dspy.Prediction:
        found = await self.steps[0].acall(message=" ".join(message.split()))
        return dspy.Prediction(queue=found.queue, length=len(message))


class Draft(dspy.Module):
    """One step of a pipeline."""

    def __init__(self) -> None:
        super().__init__()
        self.write = dspy.ChainOfThought("message, queue -> draft", temperature=0.5)

    def forward(self, message: str, queue: str) -> dspy.Prediction:
        return self.write(message=message, queue=queue)

    async def aforward(self, message: str, queue: str) -> dspy.Prediction:
        return await self.write.acall(message=message, queue=queue)


class Pipeline(dspy.Module):
    """Two steps of ChainOfThought, the second in a nested module."""

    def __init__(self) -> None:
        super().__init__()
        self.route = dspy.ChainOfThought(Route)
        self.parts = {"draft": Draft()}

    def forward(self, message: str) -> dspy.Prediction:
        queue = self.route(message=message).queue
        return dspy.Prediction(queue=queue, draft=self.parts["draft"](message=message, queue=queue).draft)

    async def aforward(self, message: str) -> dspy.Prediction:
        queue = (await self.route.acall(message=message)).queue
        draft = await self.parts["draft"].acall(message=message, queue=queue)
        return dspy.Prediction(queue=queue, draft=draft.draft)


def lookup(word: str = "nothing") -> str:
    """Look a word up."""
    return f"{word} is a word"


def agent() -> dspy.ReAct:
    """Return an agent with one tool."""
    return dspy.ReAct("question -> answer", tools=[lookup], max_iters=3)


class Frozen(dspy.Module):
    """A part that was compiled before, with demos of its own, and one that was not."""

    def __init__(self) -> None:
        super().__init__()
        self.before = Listed()
        self.before.steps[0].demos = [dspy.Example(message="my bill", queue="billing").with_inputs("message")]
        self.before._compiled = True
        self.after = dspy.Predict("message, queue -> reply")

    def forward(self, message: str) -> dspy.Prediction:
        queue = self.before(message=message).queue
        return self.after(message=message, queue=queue)

    async def aforward(self, message: str) -> dspy.Prediction:
        queue = (await self.before.acall(message=message)).queue
        return await self.after.acall(message=message, queue=queue)


def made(name: str) -> Any:
    """Return a new program."""
    return {"Listed": Listed, "Pipeline": Pipeline, "Agent": agent, "Frozen": Frozen}[name]()
