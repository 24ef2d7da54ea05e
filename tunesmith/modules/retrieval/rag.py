"""`RAG`: retrieve, then answer from what was found."""

from collections.abc import Mapping
from typing import Any

from tunesmith.errors import UsageError, shown
from tunesmith.modules.flow import Flow, Steps
from tunesmith.modules.registry import register_module
from tunesmith.modules.retrieval.generate import Generate, without_field
from tunesmith.modules.retrieval.retrieve import Retrieve

__all__ = ["RAG"]


@register_module
class RAG(Flow):
    """Search for passages, and answer from them with citations.

    Lewis et al. 2020, "Retrieval-Augmented Generation for Knowledge-Intensive NLP Tasks" (arXiv 2005.11401), with
    the passages in one prompt. The two parts are a `ts.Retrieve` and a `ts.Generate`: their settings, such as `k` of
    `retrieve`, are what a compiler tries. If no passage is found, or none has `min_score`, it abstains. One run is one
    call, beyond those of the retriever, and none if it abstains.

    Returns the outputs, `None` if it abstained; `citations`, the passages that the answer cites; `passages`, those that
    the model saw, the best first; `wrong_citations`, numbers of no passage; and `abstained`.

    Args:
        retrieve: a retriever, such as `ts.BM25(corpus)`, any function that `as_retriever` takes, or a `ts.Retrieve`.
        generate: what is asked and answered: a signature, a `ts.Predict`, a `ts.ChainOfThought`, or a `ts.Generate`.
        field: name of the input that is searched for; `None`: the first one.
        k: most passages.
        min_score: least score of a passage; 0: any score is enough.
        cite: whether the model is asked for citations.

    Raises:
        UsageError: a part cannot be used, or an option is given beside a part that has it.

    Example:
        >>> import dspy
        >>> import tunesmith as ts
        >>> program = ts.RAG(ts.BM25({"a.md": "Oslo is in Norway.", "b.md": "Rome is in Italy."}))
        >>> with dspy.context(lm=ts.ScriptedLM('{"answer": "Italy", "citations": [1]}')):
        ...     found = program(question="Where is Rome?")
        >>> found.answer, found.citations[0].source
        ('Italy', 'b.md')
    """

    def __init__(
        self,
        retrieve: Any,
        generate: Any = "question -> answer",
        field: str | None = None,
        k: int | None = None,
        min_score: float | None = None,
        *,
        cite: bool | None = None,
    ) -> None:
        super().__init__()
        given = {"field": field, "k": k, "min_score": min_score}
        own: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
        _check(retrieve, Retrieve, own)
        _check(generate, Generate, {} if cite is None else {"cite": cite})
        self.generate = generate if isinstance(generate, Generate) else Generate(generate, cite=cite is not False)
        self.signature = asked = without_field(self.generate.signature, "passages")
        if not isinstance(retrieve, Retrieve):
            names = list(asked.input_fields)
            if not names:
                raise UsageError(f"`generate` needs an input, which is searched for. Given: {shown(generate)}.")
            retrieve = Retrieve(retrieve, **{"field": names[0], **own})
        if retrieve.field not in asked.input_fields:
            raise UsageError(
                f"`field` must be an input: {', '.join(asked.input_fields)}. Given: {shown(retrieve.field)}."
            )
        self.retrieve = retrieve

    def spec(self) -> Mapping[str, Any]:
        """Return the constructor's arguments except the settings."""
        return {"retrieve": self.retrieve, "generate": self.generate}

    def calls(self) -> Mapping[str, int]:
        """Return how often one run runs each inner module at most."""
        return {"retrieve": 1, "generate": 1}

    def steps(self, **inputs: Any) -> Steps:
        """Search and answer."""
        field = self.retrieve.field
        found = yield from self.retrieve.part({field: inputs.get(field)})
        return (yield from self.generate.part({**inputs, "passages": found.passages}))


def _check(part: Any, kind: type, options: Mapping[str, Any]) -> None:
    if isinstance(part, kind) and options:
        raise UsageError(f"Give {', '.join(f'`{name}`' for name in options)} to the `ts.{kind.__name__}`.")
