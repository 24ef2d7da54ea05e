"""What every engine promises. Subclass `EngineContract` and give it an `engine` fixture."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from tunesmith.errors import ContextOverflow, ModelError
from tunesmith.lm import (
    Config,
    Engine,
    Message,
    Request,
    StreamDeltaEvent,
    StreamEndEvent,
    StreamStartEvent,
)

LABELS = 'root ::= "positive" | "negative"'
SCHEMA = {
    "type": "json_schema",
    "name": "reply",
    "schema": {"type": "string", "enum": ["positive", "negative"]},
}


def ask(engine: Engine, text: str, **config: object) -> Request:
    settings = {"temperature": 0.0, "seed": 0, "max_tokens": 12} | config
    return Request(
        model=engine.identity.model,
        system="Say whether the text is positive or negative.",
        messages=(
            Message.user("Text: what a joy\nSentiment:"),
            Message.assistant("positive"),
            Message.user("Text: what a mess\nSentiment:"),
            Message.assistant("negative"),
            Message.user(f"Text: {text}\nSentiment:"),
        ),
        config=Config(**settings),
    )


class EngineContract:
    """One class per engine; `overflow` is a text longer than its context, `None` where it has none."""

    overflow: str | None = None

    @pytest.fixture
    def engine(self) -> Engine:
        raise NotImplementedError

    def test_identity_is_stable_and_has_a_key(self, engine: Engine) -> None:
        assert engine.identity.key == engine.identity.key
        assert len(engine.identity.key) == 64

    def test_a_reply_has_text_tokens_and_a_reason(self, engine: Engine) -> None:
        response = engine.complete(ask(engine, "I like it"))
        assert response.text
        assert response.finish_reason in ("stop", "length")
        assert response.usage.input_tokens is not None
        assert response.usage.output_tokens is not None

    def test_the_same_request_gives_the_same_reply(self, engine: Engine) -> None:
        first = engine.complete(ask(engine, "I like it"))
        assert engine.complete(ask(engine, "I like it")).text == first.text

    def test_a_grammar_holds_the_reply(self, engine: Engine) -> None:
        if "grammar" not in engine.capabilities.constraints:
            pytest.skip("the engine takes no grammar")
        response = engine.complete(ask(engine, "I like it", extensions={"grammar": LABELS}))
        assert response.text in ("positive", "negative")

    def test_a_schema_holds_the_reply(self, engine: Engine) -> None:
        if "json_schema" not in engine.capabilities.constraints:
            pytest.skip("the engine takes no schema")
        response = engine.complete(ask(engine, "I like it", response_format=SCHEMA, stop=("\n",)))
        assert response.text is not None
        assert response.text.strip() in ('"positive"', '"negative"')

    def test_a_streamed_reply_is_the_whole_reply(self, engine: Engine) -> None:
        whole = engine.complete(ask(engine, "I like it"))
        events = list(engine.stream(ask(engine, "I like it")))
        assert isinstance(events[0], StreamStartEvent)
        assert isinstance(events[-1], StreamEndEvent)
        deltas = [event.delta.text for event in events if isinstance(event, StreamDeltaEvent)]
        assert "".join(deltas) == whole.text

    def test_a_stream_can_be_left(self, engine: Engine) -> None:
        events = engine.stream(ask(engine, "I like it", max_tokens=200))
        next(events)
        events.close()
        assert engine.complete(ask(engine, "I like it")).text

    def test_eight_threads_get_eight_right_replies(self, engine: Engine) -> None:
        texts = [f"thing number {i} is fine" for i in range(8)]
        alone = [engine.complete(ask(engine, text)).text for text in texts]
        with ThreadPoolExecutor(8) as pool:
            together = [r.text for r in pool.map(lambda text: engine.complete(ask(engine, text)), texts)]
        assert together == alone

    def test_a_prompt_that_does_not_fit_is_a_typed_error(self, engine: Engine) -> None:
        if self.overflow is None:
            pytest.skip("the engine has no context limit")
        with pytest.raises(ContextOverflow) as caught:
            engine.complete(ask(engine, self.overflow))
        assert caught.value.context_tokens is None or caught.value.context_tokens > 0
        assert engine.complete(ask(engine, "I like it")).text, "the engine works on after the error"

    def test_a_bad_grammar_is_a_typed_error(self, engine: Engine) -> None:
        if "grammar" not in engine.capabilities.constraints:
            pytest.skip("the engine takes no grammar")
        with pytest.raises(ModelError):
            engine.complete(ask(engine, "I like it", extensions={"grammar": "root ::= nowhere"}))
        assert engine.complete(ask(engine, "I like it")).text

    def test_embeddings_are_one_vector_per_text(self, engine: Engine) -> None:
        if not engine.capabilities.embeddings:
            pytest.skip("the engine has no embeddings")
        vectors = engine.embed(["a river", "a bank", "a river"])
        assert len({len(vector) for vector in vectors}) == 1
        assert vectors[0] == pytest.approx(vectors[2], abs=1e-4)
        assert vectors[0] != pytest.approx(vectors[1], abs=1e-4)
