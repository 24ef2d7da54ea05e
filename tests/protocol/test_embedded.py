"""The embedded model behind the server."""

import gc
import os
import signal
import threading
import time
from collections.abc import Iterator

import ollama
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.protocol import FakeModel, ProtocolServer, embedded_backend
from tests.protocol.replay import many
from tests.protocol.tokens import default_tokenizer
from tunesmith.lm.engines.llamacpp.engine import LlamaCppEngine, load_engine
from tunesmith.lm.weights.models import embedded_path

pytestmark = pytest.mark.model
HELLO = [{"role": "user", "content": "Is 'great fun' positive or negative?"}]
SHORT = {"temperature": 0, "num_predict": 4}


@pytest.fixture(scope="module")
def server() -> Iterator[ProtocolServer]:
    with ProtocolServer([FakeModel("m", embedded_backend(), weights="embedded")]) as found:
        yield found


@pytest.fixture(scope="module")
def engine() -> LlamaCppEngine:
    return load_engine("embedded", embedded_path(), num_ctx=64, threads=1, slots=1)


def count_tokens(engine: LlamaCppEngine, text: str) -> int:
    with engine._slots.take() as context:
        return len(context.post("/tokenize", {"content": text})["tokens"])


@settings(max_examples=25)
@given(text=st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\x00"), max_size=60))
def test_our_tokens_are_llama_cpp_s(engine: LlamaCppEngine, text: str) -> None:
    tokenizer = default_tokenizer()
    assert len(tokenizer.ids(text)) == count_tokens(engine, text)
    assert b"".join(tokenizer.pieces(text)) == text.encode()


@pytest.mark.slow
def test_prompt_tokens_really_read_follow_the_order_of_prefixes(server: ProtocolServer) -> None:
    client = ollama.Client(server.url, verify=False)
    prefixes = [many(system, "Text: number 0 is here", "fine", 3) for system in ("Label it.", "Now name the mood.")]

    def cost(order: list[int]) -> int:
        server.world.scheduler.clear()  # each order starts with nothing in the cache
        before = server.processed_tokens
        for number, which in enumerate(order):
            last = {"role": "user", "content": f"Text: the last one is {number}"}
            client.chat("m", [*prefixes[which], last], options={"temperature": 0, "num_predict": 1})
        return server.processed_tokens - before

    grouped = cost([0] * 3 + [1] * 3)
    alternating = cost([0, 1] * 3)

    assert alternating > 2 * grouped


def test_a_new_num_ctx_loses_the_prompt_cache(server: ProtocolServer) -> None:
    client = ollama.Client(server.url, verify=False)
    for num_ctx in (4096, 4096, 2048):
        client.chat("m", HELLO, options={**SHORT, "num_ctx": num_ctx})

    assert [entry.processed_tokens for entry in server.requests[-2:]] == [1, 18]


def test_a_root_value_with_a_newline_stop_takes_fewer_tokens(server: ProtocolServer) -> None:
    client = ollama.Client(server.url, verify=False)
    label = {"enum": ["positive", "negative"]}
    wrapped = {"type": "object", "properties": {"sentiment": label}, "required": ["sentiment"]}
    options = {"temperature": 0, "num_predict": 24}
    plain = client.chat("m", HELLO, format=label, options={**options, "stop": ["\n"]})
    whole = client.chat("m", HELLO, format=wrapped, options=options)

    assert plain.message.content == '"positive"'
    assert (plain.eval_count or 99) <= 0.5 * (whole.eval_count or 0)


def test_a_client_that_goes_frees_the_slot(server: ProtocolServer) -> None:
    client = ollama.Client(server.url, verify=False)
    stream = client.chat("m", HELLO, stream=True, options={"num_predict": 2000, "temperature": 0})
    next(iter(stream))
    stream.close()
    started = time.monotonic()
    client.chat("m", HELLO, options=SHORT)

    assert time.monotonic() - started < 10
    assert server.requests[-2].disconnected


def test_the_same_request_gets_the_same_reply(server: ProtocolServer) -> None:
    client = ollama.Client(server.url, verify=False)
    texts = [client.chat("m", HELLO, options={"seed": 7, "num_predict": 6}).message.content for _ in range(3)]

    assert texts[1] == texts[2]


def test_a_forked_process_does_not_free_a_model_that_nothing_refers_to_any_more() -> None:
    """Its destructor waits for threads that are not there: tests that fork ended by SIGABRT, now and then."""
    gc.disable()
    try:
        cycle: list[object] = [embedded_backend()._loaded()]
        cycle[0].handle_completions({"prompt": "hi", "n_predict": 1})  # type: ignore[attr-defined]
        cycle.append(cycle)
        del cycle
        child = os.fork()
        if child == 0:
            signal.alarm(30)
            threading.Thread(target=threading.Event().wait, daemon=True).start()  # takes the stack of one that is gone
            gc.collect()
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    finally:
        gc.enable()
