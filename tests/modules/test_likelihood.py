"""Likelihood: what is asked and what is returned."""

from typing import Any, Literal

import dspy
import pytest

import tunesmith as ts
from tests.each import each
from tunesmith.errors import UsageError
from tunesmith.lm import Capabilities, FunctionLM, Response, Seen, TokenLogprob, text_response
from tunesmith.modules import Candidate, Likelihood


class Sentiment(dspy.Signature):
    """Label the text."""

    text: str = dspy.InputField()
    label: Literal["good", "bad"] = dspy.OutputField()
    count: int = dspy.OutputField()


def scored(program: Any, **fields: Any) -> tuple[float, Any]:
    """Return the likelihood, and the only request."""

    def reply(seen: Seen) -> Response:
        text = (seen.request.config.extensions or {})["forced"]
        tokens = tuple(TokenLogprob(word, -float(len(word))) for word in text.split())
        return text_response(text, model="m", logprobs=tokens)

    model = FunctionLM(reply, capabilities=Capabilities(frozenset({"grammar"}), logprobs=5, forced=True))
    with dspy.context(lm=model):
        found = Likelihood(Candidate.of(program).apply(program))(**fields).likelihood
    (request,) = model.requests
    return found, request


@each(
    ("program", "reply"),
    [(ts.Predict("text -> label"), "quite bad"), (ts.Predict(Sentiment), '{"label": "bad", "count": 3}')],
    ids=["bare", "json"],
)
def test_the_outputs_are_forced_as_a_demo_shows_them(program: Any, reply: str) -> None:
    label = "quite bad" if reply == "quite bad" else "bad"
    found, request = scored(program, text="a dull film", label=label, count=3)
    assert request.config.extensions == {"forced": reply}
    assert request.config.response_format is None
    assert "a dull film" in request.messages[-1].text
    assert reply not in str(request.messages)
    assert found == pytest.approx(-sum(map(len, reply.split())) / len(reply.split()))


def test_a_model_without_log_probabilities_is_an_error() -> None:
    program = ts.Predict("text -> label")
    with dspy.context(lm=FunctionLM(lambda seen: "bad")), pytest.raises(UsageError, match="no log-probabilities"):
        Likelihood(program)(text="a dull film", label="bad")
