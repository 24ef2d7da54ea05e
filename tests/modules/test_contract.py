"""Every kind of program keeps the contract."""

from types import MappingProxyType
from typing import Any

import dspy
import pytest

from tests.contracts.module import ModuleContract, answering, run
from tests.modules.plain_programs import Frozen, Listed, Pipeline, Route, agent, lookup
from tunesmith.errors import UsageError
from tunesmith.modules import (
    BM25,
    RAG,
    Agent,
    BestOf,
    Candidate,
    Chain,
    ChainOfThought,
    Classify,
    Compress,
    Contract,
    CoTThenReAct,
    Dedupe,
    Expand,
    Fuse,
    Generate,
    GraphOfThoughts,
    Hybrid,
    HyDE,
    Iterate,
    LeastToMost,
    Map,
    Memory,
    MultiChainComparison,
    Parallel,
    Predict,
    ProgramOfThought,
    ReAct,
    ReActThenCoT,
    Recall,
    Refine,
    Rerank,
    Retrieve,
    RewriteQuery,
    Rewriter,
    Router,
    SelfConsistency,
    StateMachine,
    StepBack,
    Team,
    Tool,
    TreeOfThoughts,
    Vectors,
    ZeroShotCoT,
    operations,
)
from tunesmith.modules import Route as SearchRoute

BILL = MappingProxyType({"message": "where is my bill"})


def half(example: dspy.Example, prediction: dspy.Prediction) -> float:
    return 0.5


class TestPredict(ModuleContract):
    inputs = BILL

    def make(self) -> dspy.Module:
        return Predict(Route)


class TestChainOfThought(ModuleContract):
    inputs = BILL

    def make(self) -> dspy.Module:
        return ChainOfThought(Route, max_tokens=50)


class TestSelfConsistency(ModuleContract):
    inputs = BILL
    calls = 3
    best_after = 1

    def make(self) -> dspy.Module:
        return SelfConsistency(ChainOfThought(Route), samples=3)


class TestRewriter(ModuleContract):
    inputs = BILL
    calls = 2

    def make(self) -> dspy.Module:
        return Rewriter(ChainOfThought(Route), "message", protect=["IBAN"])


class TestProgramOfThought(ModuleContract):
    inputs = BILL
    calls = 3  # "some words" is no program, and is written again in vain

    def make(self) -> dspy.Module:
        return ProgramOfThought(Route)


class TestReAct(ModuleContract):
    inputs = BILL
    calls = 2

    def make(self) -> dspy.Module:
        return ReAct(Route, tools=[lookup], max_steps=1)


class TestReActWithAModule(ModuleContract):
    inputs = BILL
    calls = 3

    def make(self) -> dspy.Module:
        asked = Tool(Predict("question -> note"), "ask", "Ask a colleague.")
        return ReAct(Route, tools=[asked], max_steps=1)


class TestReActThenCoT(ModuleContract):
    inputs = BILL
    calls = 2

    def make(self) -> dspy.Module:
        return ReActThenCoT(ReAct(Route, tools=[lookup], max_steps=1), ChainOfThought(Route))

    def test_what_was_applied_is_sent(self, program: dspy.Module) -> None:
        """Not here: `extract` of `react` is never asked."""
        assert "react.extract" in Candidate.of(program).parts


class TestCoTThenReAct(ModuleContract):
    inputs = BILL
    calls = 3
    best_after = 1

    def make(self) -> dspy.Module:
        return CoTThenReAct(SelfConsistency(ChainOfThought(Route), samples=3), ReAct(Route, tools=[lookup]))

    def test_what_was_applied_is_sent(self, program: dspy.Module) -> None:
        """Not here: chains that agree need no `react`."""
        assert set(Candidate.of(program).parts) == {"cot.step.predict", "react.step", "react.extract"}


class TestRouter(ModuleContract):
    inputs = BILL
    calls = 2

    def make(self) -> dspy.Module:
        return Router("message", {"left": "the left one"}, left=ChainOfThought(Route), right=Predict(Route))

    def test_what_was_applied_is_sent(self, program: dspy.Module) -> None:
        """Not here: a run asks one route."""
        assert set(Candidate.of(program).parts) == {"choose", "left.predict", "right"}


class TestBestOf(ModuleContract):
    inputs = BILL
    calls = 3
    best_after = 1

    def make(self) -> dspy.Module:
        return BestOf(ChainOfThought(Route), half, samples=3)


class TestRefine(ModuleContract):
    inputs = BILL
    calls = 3
    best_after = 1

    def make(self) -> dspy.Module:
        return Refine(ChainOfThought(Route), half, rounds=1)


class TestRAG(ModuleContract):
    inputs = BILL

    def make(self) -> dspy.Module:
        return RAG(BM25(["The bill is in the mail.", "Rooms are upstairs."]), ChainOfThought(Route))


class TestChain(ModuleContract):
    inputs = BILL
    calls = 2

    def make(self) -> dspy.Module:
        return Chain(route=ChainOfThought(Route), answer=Predict("queue, message -> reply"))


class TestParallel(ModuleContract):
    inputs = BILL
    calls = 2

    def make(self) -> dspy.Module:
        return Parallel(route=ChainOfThought(Route), mood=Predict("message -> mood"))


class TestMap(ModuleContract):
    inputs = MappingProxyType({"messages": ["where is my bill", "my card is lost"]})
    calls = 2

    def make(self) -> dspy.Module:
        return Map(ChainOfThought(Route), over="messages", each="message")


class TestTeam(ModuleContract):
    inputs = BILL
    calls = 3
    best_after = 1

    def make(self) -> dspy.Module:
        return Team(Route, {"one": "You ask.", "two": "You answer."}, turns=2)


class TestAgent(ModuleContract):
    inputs = BILL
    calls = 3

    def make(self) -> dspy.Module:
        return Agent(Route, tools=[lookup], max_steps=1)


class TestMemory(ModuleContract):
    inputs = MappingProxyType({"message": "where is my bill", "past": [{"message": "Hi", "queue": "other"}]})

    def make(self) -> dspy.Module:
        return Memory(ChainOfThought("memory, message -> queue"))


class TestMultiChainComparison(ModuleContract):
    inputs = BILL
    calls = 3
    best_after = 1

    def make(self) -> dspy.Module:
        return MultiChainComparison(ChainOfThought(Route), samples=2)


class TestLeastToMost(ModuleContract):
    inputs = BILL
    calls = 3

    def make(self) -> dspy.Module:
        return LeastToMost(ChainOfThought(Route))

    def test_what_was_applied_is_sent(self, program: dspy.Module) -> None:
        """Not here: the double names a part, so `step` is never asked."""
        assert set(Candidate.of(program).parts) == {"decompose", "solve", "step.predict"}


class TestZeroShotCoT(ModuleContract):
    inputs = BILL
    calls = 2

    def make(self) -> dspy.Module:
        return ZeroShotCoT(Route)


FOUND = ("The bill is in the mail.", "The bill is paid.")


class TestRerankByList(ModuleContract):
    inputs = BILL
    calls = 2

    def make(self) -> dspy.Module:
        return RAG(Rerank(BM25(FOUND)), ChainOfThought(Route))


class TestRerankByPoint(ModuleContract):
    inputs = BILL
    calls = 3

    def make(self) -> dspy.Module:
        return RAG(Rerank(BM25(FOUND), by="pointwise"), ChainOfThought(Route))


class TestStateMachine(ModuleContract):
    inputs = BILL
    calls = 3
    best_after = 1

    def make(self) -> dspy.Module:
        answer, ask = Predict("queue, message -> reply"), Predict("message -> asked")
        moves = {"route": ["answer", "ask"]}
        return StateMachine("queue", moves, start="route", answer=answer, ask=ask, route=ChainOfThought(Route))

    def test_what_was_applied_is_sent(self, program: dspy.Module) -> None:
        """Not here: a run does not walk through every state."""
        assert set(Candidate.of(program).parts) == {"choose", "route.predict", "answer", "ask"}


class TestTreeOfThoughts(ModuleContract):
    inputs = BILL
    calls = 4  # two samples, which are one state; its judgement; the answer
    best_after = 1

    def make(self) -> dspy.Module:
        return TreeOfThoughts(Route, "sample", depth=1, generated=2, evaluations=1)


class TestExpand(ModuleContract):
    inputs = BILL
    calls = 2

    def make(self) -> dspy.Module:
        return RAG(Expand(BM25(FOUND)), ChainOfThought(Route))


class TestRewriteQuery(ModuleContract):
    inputs = MappingProxyType({"message": "some words about my bill"})
    calls = 2

    def make(self) -> dspy.Module:
        return RAG(RewriteQuery(BM25(["some words"])), ChainOfThought(Route))


class TestStepBack(ModuleContract):
    inputs = BILL
    calls = 2

    def make(self) -> dspy.Module:
        return RAG(StepBack(BM25(FOUND)), ChainOfThought(Route))


class TestHyDE(ModuleContract):
    inputs = BILL
    calls = 2

    def make(self) -> dspy.Module:
        return RAG(HyDE(BM25(FOUND)), ChainOfThought(Route))


class TestCompress(ModuleContract):
    inputs = BILL
    calls = 2

    def make(self) -> dspy.Module:
        long = "The bill is in the mail. It comes on Monday."
        return RAG(
            Compress(Dedupe(Fuse(one=BM25([long]), two=BM25(["The bill is paid."]))), "model"), ChainOfThought(Route)
        )


class TestIterate(ModuleContract):
    inputs = BILL
    calls = 2

    def make(self) -> dspy.Module:
        return RAG(Iterate(BM25(FOUND)), ChainOfThought(Route))


def lengths(texts: list[str]) -> list[list[int]]:
    return [[len(text), text.count("i")] for text in texts]


class TestHybrid(ModuleContract):
    inputs = BILL

    def make(self) -> dspy.Module:
        return RAG(Hybrid(BM25(FOUND), Vectors(FOUND, lengths)), ChainOfThought(Route))


class TestSearchRoute(ModuleContract):
    inputs = BILL
    calls = 2

    def make(self) -> dspy.Module:
        paid, sent = (Retrieve(BM25([text]), field="query") for text in FOUND)
        router = Router("query", {"paid": "what was paid", "sent": "what was sent"}, paid=paid, sent=sent)
        return RAG(SearchRoute(router), ChainOfThought(Route))


class TestRecall(ModuleContract):
    inputs = MappingProxyType(
        {"message": "where is my bill", "past": [{"message": "My bill is red.", "queue": "cards"}]}
    )

    def make(self) -> dspy.Module:
        return Chain(
            search=Retrieve(BM25(FOUND), field="message"),
            recall=Recall("message"),
            answer=Generate(ChainOfThought(Route)),
        )

    def test_what_it_returns_has_the_types_that_a_service_states(self, *_: Any) -> None:
        """Not here: its inputs are not known, so it is not served."""
        with pytest.raises(UsageError, match="unknown"):
            Contract.of(self.make(), "", longest=1000)


class TestGraphOfThoughts(ModuleContract):
    inputs = BILL
    calls = 3
    best_after = 1

    def make(self) -> dspy.Module:
        graph = [
            operations.Generate("drafts", "draft", times=2),
            operations.KeepBest("one"),
            operations.Score("scored", "judge"),
        ]
        return GraphOfThoughts(graph, draft=ChainOfThought(Route), judge=Predict("queue -> points: int"))


class TestClassify(ModuleContract):
    inputs = BILL

    def make(self) -> dspy.Module:
        return Classify(Predict(Route, max_tokens=50), fallback="other", threshold=0.2)

    def test_streamed_texts_are_those_of_the_prediction(self, program: dspy.Module) -> None:
        """Not here: without log-probabilities it abstains, and `fallback` is no text of the model."""
        assert run(program, answering(), BILL).queue == "other"

    def test_the_callers_adapter_wins_over_defaults(self, program: dspy.Module) -> None:
        """Not here: no other format reads log-probabilities."""
        with dspy.context(adapter=dspy.ChatAdapter()):
            assert {part.format for part in Candidate.of(program).parts.values()} == {"scored"}


class TestPredictorInAListWithCodeAroundIt(ModuleContract):
    inputs = MappingProxyType({"message": "where  is\nmy bill"})

    def make(self) -> dspy.Module:
        return Listed()


class TestPipelineWithANestedModule(ModuleContract):
    inputs = BILL
    calls = 2

    def make(self) -> dspy.Module:
        return Pipeline()


class TestAgentWithOneTool(ModuleContract):
    inputs = MappingProxyType({"question": "what is a word?"})
    calls = 3

    def make(self) -> dspy.Module:
        return agent()


class TestProgramWithAFrozenPart(ModuleContract):
    inputs = BILL
    calls = 2
    frozen_first = True

    def make(self) -> dspy.Module:
        return Frozen()
