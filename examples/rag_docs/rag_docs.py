"""Answer questions about this project from its own docs, with citations; compile it, and load it again.

The model is named by TUNESMITH_LM (`embedded`, `ollama/qwen3:4b`, ...); nothing else changes. Run it in a clone: it
reads `docs/`.
"""

import os
from pathlib import Path

import tunesmith as ts


class Question(ts.Signature):
    """Answer the question about tunesmith in one to three words."""

    question: str = ts.InputField()
    answer: str = ts.OutputField(max_length=60)


here = Path(__file__).parent
corpus = ts.Corpus.load(here.parents[1] / "docs", size=60)
search = ts.BM25(corpus)
data = ts.Dataset.load(here / "questions.jsonl", signature=Question)
splits = data.split(train=16, val=12, test=16)
lm = ts.lm(os.environ.get("TUNESMITH_LM", "embedded"))

print(f"{len(corpus)} passages of {len(set(corpus.sources))} pages, {len(data)} questions")
found = ts.Retrieve(search, k=2)
for metric in (ts.metrics.recall_at("source", by="source"), ts.metrics.answer_in_passages()):
    print(ts.metrics.metric_name(metric), ts.evaluate(found, data, metric, lm=lm).interval)

result = ts.compile(
    ts.RAG(search, Question, k=2),
    metric=ts.metrics.contains("answer"),
    trainset=splits.train,
    valset=splits.val,
    testset=splits.test,
    compiler=ts.RandomSearch(),
    lm=lm,
    budget=150,
    run="rag-docs",
)
print(result.baseline, "->", result.compiled)
print(result.verdict, result.artifact.path)

program = ts.load(result.artifact.path, lm=lm)
cites = ts.metrics.citation_correctness("source", by="source")
for title, one in (("as given", ts.RAG(search, Question, k=2)), ("compiled", program)):
    print("citations", title, ts.evaluate(one, splits.test, cites, lm=lm).interval)
answer = program(question="How many seconds is patience by default?")
print(answer.answer, [passage.source for passage in answer.citations])
