"""Retrieve, answer, cite; abstain if nothing is found."""

import dataclasses
from pathlib import Path
from typing import Any

import dspy
import pytest

import tunesmith as ts
from tests.each import each
from tests.modules.retrieval.test_generate import ask, reply
from tunesmith.errors import UsageError
from tunesmith.lm import FunctionLM, Seen
from tunesmith.modules import Candidate, calls_of, settings_of

TEXTS = {"oslo.md": "Oslo is the capital of Norway.", "rome.md": "Rome is the capital of Italy.", "sea.md": "Salt."}


def rag(*given: Any, **options: Any) -> ts.RAG:
    return ts.RAG(ts.BM25(TEXTS), *given, **options)


def test_an_answer_has_citations_and_passages() -> None:
    found = ask(rag(), reply("Norway", [1, 5]), question="Whose capital is Oslo?")

    assert found.answer == "Norway"
    assert [one.source for one in found.passages] == ["oslo.md", "rome.md"]
    assert ([one.source for one in found.citations], found.wrong_citations) == (["oslo.md"], [5])
    assert found.passages[0].score > found.passages[1].score > 0


def test_nothing_found_and_nothing_good_enough_abstain_with_no_call() -> None:
    best = ts.BM25(TEXTS)("capital of Norway")[0].score
    for program, question in ((rag(), "xyzzy"), (rag(min_score=best + 1), "capital of Norway")):
        found = ask(program, question=question)
        assert (found.answer, found.abstained, found.passages) == (None, True, [])
    found = ask(rag(min_score=best), reply("Norway", [1]), question="capital of Norway")
    assert [one.source for one in found.passages] == ["oslo.md"]


def test_k_and_the_least_score_are_settings() -> None:
    program = rag(k=1)
    assert settings_of(program)["retrieve"] == {"k": 1, "min_score": 0.0}
    candidate = dataclasses.replace(Candidate.of(program), settings={"retrieve": {"k": 2}})
    assert len(ask(candidate.apply(program), reply("x", []), question="capital").passages) == 2
    assert calls_of(program) == (1, True)


def test_the_field_that_is_searched_is_the_first_or_the_given_one() -> None:
    program = rag("style, topic -> answer", field="topic")
    assert ask(program, reply("x", []), style="salt", topic="Rome").passages[0].source == "rome.md"
    with pytest.raises(UsageError, match="`style` must be a text"):
        ask(rag("style, topic -> answer"), topic="Rome")


def test_parts_of_ones_own_are_taken_as_they_are() -> None:
    program = ts.RAG(ts.Retrieve(ts.BM25(TEXTS), k=1), ts.Generate("question -> answer", cite=False))
    assert (program.retrieve.k, ask(program, "Norway", question="Oslo").answer) == (1, "Norway")


@each(
    "make",
    [
        lambda: ts.RAG(3),
        lambda: rag("question -> answer", field="topic"),
        lambda: ts.RAG(ts.Retrieve(ts.BM25(TEXTS)), k=3),
        lambda: ts.RAG(ts.BM25(TEXTS), ts.Generate("question -> answer"), cite=False),
        lambda: ts.RAG(ts.Retrieve(ts.BM25(TEXTS), field="topic")),
        lambda: ts.Retrieve(ts.BM25(TEXTS), field="not a name"),
        lambda: rag(k=0),
    ],
)
def test_parts_that_do_not_fit_are_refused(make: Any) -> None:
    with pytest.raises(UsageError):
        make()


@each(
    "program",
    [rag(k=2), rag(ts.ChainOfThought("question -> answer: int")), ts.RAG(ts.Hybrid(ts.BM25(TEXTS), ts.BM25(TEXTS)))],
)
def test_an_artifact_is_loaded_without_code(program: ts.RAG, tmp_path: Path) -> None:
    ts.save(tmp_path / "a", program)
    loaded = ts.load(tmp_path / "a")
    shown = [ts.render(one, question="Whose capital is Rome?").messages for one in (program, loaded)]
    assert shown[0] == shown[1]
    assert settings_of(loaded) == settings_of(program)


def test_a_function_of_ones_own_is_a_retriever_but_is_passed_with_the_program(tmp_path: Path) -> None:
    program = ts.RAG(lambda query: [query.upper()])
    assert ask(program, reply("x", [1]), question="oslo").citations[0].text == "OSLO"
    with pytest.warns(UserWarning, match="program="):
        ts.save(tmp_path / "a", program)
    assert isinstance(ts.load(tmp_path / "a", program=program), ts.RAG)


ROWS = [
    dspy.Example(question=f"what is the {name} of thing {n}", answer=f"{name} {n}").with_inputs("question")
    for n in range(4)
    for name in ("color", "size")
]
FACTS = [f"the color of thing {n} is color {n}" for n in range(4)] + [
    f"thing {n} is what it is, a thing of size {n}" for n in range(4)
]


def reading(seen: Seen) -> str:
    """Return an answer that is right if the passage is among those shown: the one with the question's last words."""
    lines = seen.text.splitlines()
    *_, kind, _, _, number = lines[-1].split()
    for line in lines:
        if line.endswith(f"{kind} {number}"):
            return reply(f"{kind} {number}", [int(line.split("]")[0].rpartition("[")[2])])
    return reply("unknown", [])


def compiled(program: ts.RAG, compiler: Any, replies: Any, folder: Path) -> ts.RAG:
    """Return what a compiler makes of a program, saved and loaded again."""
    sets = {"trainset": ROWS[:4], "valset": ROWS[4:]}
    metric = ts.metrics.exact_match("answer")
    found = ts.compile(program, metric=metric, compiler=compiler, lm=FunctionLM(replies), **sets)
    ts.save(folder / "a", found.program)
    loaded = ts.load(folder / "a")
    assert Candidate.of(loaded) == Candidate.of(found.program)
    return loaded


def test_random_search_finds_how_many_passages_are_needed(tmp_path: Path) -> None:
    program = ts.RAG(ts.BM25([*FACTS, *(f"{row.question} {row.question}?" for row in ROWS)]), k=1)
    assert compiled(program, ts.RandomSearch(), reading, tmp_path).retrieve.k > 1


def test_bootstrap_shows_passages_and_answers_of_good_runs(tmp_path: Path) -> None:
    def written(seen: Seen) -> str:
        return reading(seen) if len(seen.messages) > 1 or "thing 0" in seen.text else reply("unknown", [])

    made = compiled(ts.RAG(ts.BM25(FACTS), k=1), ts.BootstrapFewShot(), written, tmp_path)
    demos = Candidate.of(made).parts["generate.step"].demos
    assert {"passages", "question"} <= dict(demos[0].inputs).keys()


def test_an_evaluation_reads_labels_beside_the_outputs() -> None:
    data = [dspy.Example(question="Oslo", answer="Norway", sources=["oslo.md"]).with_inputs("question")]
    lm = ts.ScriptedLM(reply("Norway", [1]))
    report = ts.evaluate(rag(), data, lambda row, found, trace=None: found.citations[0].source in row.sources, lm=lm)
    assert report.mean == 1
    assert report.rows[0].outputs["abstained"] is False


def test_fields_arrive_while_the_model_writes() -> None:
    *deltas, last = ts.stream(rag(), lm=ts.ScriptedLM(reply("Norway", [1])), question="Oslo")
    assert "".join(one.text for one in deltas if one.field == "answer") == "Norway"
    assert last.prediction.citations[0].source == "oslo.md"


class _Listener(dspy.utils.callback.BaseCallback):
    """Keeps the names of the modules that DSPy tells of."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def on_module_start(self, call_id: str, instance: Any, inputs: Any) -> None:
        self.seen.append(type(instance).__name__)


def test_callbacks_hear_of_both_parts() -> None:
    listener = _Listener()
    with dspy.context(callbacks=[listener]):
        ask(rag(), reply("Norway", [1]), question="Whose capital is Oslo?")
    assert listener.seen == ["RAG", "Retrieve", "BM25", "Generate", "Predict"]


def test_a_part_that_does_more_than_its_steps_is_called() -> None:
    class Counted(ts.Retrieve):
        asked = 0

        def forward(self, **inputs: Any) -> Any:
            Counted.asked += 1
            return super().forward(**inputs)

    ask(ts.RAG(Counted(ts.BM25(TEXTS))), reply("Norway", [1]), question="Whose capital is Oslo?")
    assert Counted.asked == 1
