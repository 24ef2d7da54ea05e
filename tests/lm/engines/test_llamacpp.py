"""The in-process engine on the real embedded model."""

import os
import random
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from tests.contracts.engine import LABELS, EngineContract, ask
from tests.each import each
from tests.scale import FULL, scaled
from tunesmith.errors import ModelMissing, RequestRefused, UsageError
from tunesmith.lm import Config, Engine, Message, Request, lm
from tunesmith.lm.engines.llamacpp.cores import slots_for
from tunesmith.lm.engines.llamacpp.engine import LlamaCppEngine, load_engine
from tunesmith.lm.engines.llamacpp.gguf import read_gguf
from tunesmith.lm.weights.models import embedded_path

pytestmark = pytest.mark.model


def embedded() -> LlamaCppEngine:
    try:
        path = embedded_path()
    except ModelMissing:
        pytest.skip("the embedded weights are not there: run `tunesmith models pull embedded`")
    return load_engine("embedded", path, num_ctx=None, threads=None, slots=2)


class TestEmbeddedEngine(EngineContract):
    overflow = "word " * 9000

    @pytest.fixture
    def engine(self) -> Engine:
        return embedded()

    def test_an_overflow_says_both_numbers(self, engine: Engine) -> None:
        from tunesmith.errors import ContextOverflow

        with pytest.raises(ContextOverflow) as caught:
            engine.complete(ask(engine, self.overflow))
        assert caught.value.prompt_tokens > caught.value.context_tokens == 8192

    def test_it_counts_a_prompt_as_it_charges_it(self, engine: Engine) -> None:
        request = ask(engine, "Nenne die Farbe des Himmels. " * 5, max_tokens=1)
        assert embedded().count_tokens(request) == engine.complete(request).usage.input_tokens

    def test_a_given_reply_is_scored_with_the_tokens_that_the_model_would_write(self, engine: Engine) -> None:
        text = "Name a colour of the sky."
        free = engine.complete(ask(engine, text, logprobs=1, max_tokens=8))
        forced = engine.complete(ask(engine, text, extensions={"forced": free.text, "grammar": LABELS}))

        assert forced.text == free.text
        assert [(one.token, round(one.logprob, 3)) for one in forced.logprobs or ()] == [
            (one.token, round(one.logprob, 3)) for one in free.logprobs or ()
        ][: len(forced.logprobs or ())]
        assert forced.logprobs
        other = engine.complete(ask(engine, text, extensions={"forced": 'Mörkö 🙂 "{}\n".'}))
        assert other.text == 'Mörkö 🙂 "{}\n".'
        assert sum(one.logprob for one in other.logprobs or ()) < sum(one.logprob for one in forced.logprobs or ())

    @each("given", ["", 3])
    def test_a_reply_that_cannot_be_forced_is_refused(self, engine: Engine, given: object) -> None:
        with pytest.raises(RequestRefused, match="`forced` must be a text that is not empty"):
            engine.complete(ask(engine, "hi", extensions={"forced": given}))

    def test_replies_and_logprobs_do_not_depend_on_the_order_of_calls(self, engine: Engine) -> None:
        texts = [f"{word} number {i} was {how}" for i, (word, how) in enumerate(_pairs())]
        requests = [ask(engine, text, extensions={"grammar": LABELS}, logprobs=5) for text in texts[: scaled(60)]]
        # A second prefix in between, as when candidates alternate.
        requests += [
            Request(
                model="embedded",
                system="One word.",
                messages=(Message.user(text),),
                config=requests[0].config,
            )
            for text in texts[: scaled(20)]
        ]
        first = [engine.complete(request) for request in requests]
        order = list(range(len(requests)))
        random.Random(1).shuffle(order)
        again = {index: engine.complete(requests[index]) for index in order}
        for index, response in enumerate(first):
            assert again[index].text == response.text
            assert again[index].logprobs == response.logprobs

    @pytest.mark.slow
    def test_replies_and_logprobs_do_not_depend_on_how_many_calls_are_answered_at_once(self) -> None:
        one, two = (load_engine("embedded", embedded_path(), num_ctx=None, threads=2, slots=n) for n in (1, 2))
        texts = [f"{word} number {i} was {how}" for i, (word, how) in enumerate(_pairs())]
        held = [ask(one, text, extensions={"grammar": LABELS}, logprobs=5) for text in texts[: scaled(40)]]
        free = [ask(one, text, logprobs=2, max_tokens=6) for text in texts[-scaled(20) :]]
        # Other instructions and no demos: prefixes that are read while another call is under way.
        short = [replace(request, system=f"One word, please ({i % 4}).", messages=request.messages[-1:])
                 for i, request in enumerate(held[: scaled(30)])]  # fmt: skip
        requests = [*held, *free, *short]
        alone = [one.complete(request) for request in requests]
        order = list(range(len(requests)))
        random.Random(2).shuffle(order)
        with ThreadPoolExecutor(3) as pool:  # one more than there are slots
            met = dict(zip(order, pool.map(lambda index: two.complete(requests[index]), order), strict=True))
        assert [met[index] for index in range(len(requests))] == alone

    def test_one_model_is_loaded_once(self, engine: Engine) -> None:
        assert embedded() is engine

    def test_tools_and_pictures_are_refused(self, engine: Engine) -> None:
        from dspy.lm15 import FunctionTool

        request = Request(model="embedded", messages=(Message.user("hi"),), tools=(FunctionTool(name="search"),))
        with pytest.raises(RequestRefused, match="no native tool calls"):
            engine.complete(request)

    def test_a_lone_surrogate_is_refused(self, engine: Engine) -> None:
        with pytest.raises(RequestRefused, match="surrogate"):
            engine.complete(ask(engine, "broken \ud800 text"))

    def test_prefix_states_lie_in_a_private_folder(self, engine: LlamaCppEngine) -> None:
        engine.complete(ask(engine, "I like it"))
        folder = engine._states.path
        assert folder.stat().st_mode & 0o777 == 0o700
        assert list(folder.glob("*.bin"))

    def test_the_loopback_server_wants_its_key(self, engine: LlamaCppEngine) -> None:
        import http.client

        engine.complete(ask(engine, "I like it"))
        with engine._slots.take() as context:
            connection = http.client.HTTPConnection(context.address, timeout=10)
        connection.request("POST", "/tokenize", '{"content": "x"}', {"Content-Type": "application/json"})
        assert connection.getresponse().status == 401
        connection.close()


def _pairs() -> list[tuple[str, str]]:
    words = ("Film", "Soup", "Train", "Hotel", "Song", "Phone", "Walk", "Game", "Bread", "Lamp")
    how = ("good", "awful", "fine", "broken", "a joy", "too late", "so so", "the best ever")
    return [(word, state) for state in how for word in words] * 3


def test_it_says_nothing_on_stderr_even_about_a_bad_grammar(tmp_path: Path) -> None:
    embedded()
    code = (
        "import tunesmith as ts\n"
        "lm = ts.lm('embedded', cache=False)\n"
        "lm('hi', max_tokens=2)\n"
        "from dspy.lm15 import Request, Message, Config\n"
        "try:\n"
        "    lm(Request(model='embedded', messages=(Message.user('x'),),\n"
        "       config=Config(max_tokens=2, extensions={'grammar': 'root ::= nowhere'})))\n"
        "except ts.errors.RequestRefused: pass\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr.replace("LM response was truncated", "").count("\n") <= 1, done.stderr
    assert "parse" not in done.stderr


@pytest.mark.cores
@pytest.mark.slow
def test_replies_and_logprobs_do_not_depend_on_the_number_of_threads() -> None:
    demos = tuple(
        message
        for number in range(40 if FULL else 21)
        for message in (Message.user(f"Guest {number}: the room was fine."), Message.assistant(f'{{"room": {number}}}'))
    )
    greedy = Config(temperature=0, seed=0, max_tokens=3, logprobs=1)
    asked = [
        Request(model="embedded", messages=(*demos, Message.user(f"Guest: {text}")), config=greedy)
        for text in ("the lift was broken", "too far from the station")[: 2 if FULL else 1]
    ]

    def replies(threads: int) -> list[tuple[str | None, object]]:
        engine = load_engine("embedded", embedded_path(), num_ctx=4096, threads=threads, slots=1)
        try:
            found = [engine.complete(request) for request in asked]
        finally:
            engine.close()
        assert all((reply.usage.input_tokens or 0) > 600 for reply in found)
        return [(reply.text, reply.logprobs) for reply in found]

    assert replies(1) == replies(2)


def test_states_left_by_a_killed_process_are_removed_at_the_next_start(tmp_path: Path) -> None:
    embedded()
    code = (
        "import os, tunesmith as ts\n"
        "lm = ts.lm('embedded', cache=False)\n"
        "lm('hi', max_tokens=2)\n"
        "print(lm._stack.engine._states.path, flush=True)\n"
        "if os.environ.get('DIE'): os.kill(os.getpid(), 9)\n"
    )
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    killed = subprocess.run(
        [sys.executable, "-c", code],
        env={**environment, "DIE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    left = Path(killed.stdout.strip())
    assert left.is_dir()
    subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, check=True)
    assert not left.exists()
    assert not list(tmp_path.glob("tunesmith-states-*")), "the second process cleaned up after itself"


@pytest.mark.timeout(120)
def test_a_forked_process_loads_the_model_anew_and_ends() -> None:
    """Neither waits for threads of the parent's model, which it has not; `multiprocessing` forks as well."""
    embedded()
    code = """
import gc, os, sys, threading
from tunesmith.lm import Config, Message, Request
from tunesmith.lm.engines.llamacpp.engine import load_engine
from tunesmith.lm.weights.models import embedded_path

def reply():
    request = Request(model="embedded", messages=(Message.user("hi"),), config=Config(max_tokens=2, temperature=0))
    return engine.complete(request).text

engine = load_engine("embedded", embedded_path(), num_ctx=256, threads=1)
before, states = reply(), engine._states.path
for way in ("ask", "close"):
    child = os.fork()
    if child == 0:
        threading.Thread(target=threading.Event().wait, daemon=True).start()  # takes the stack of one that is gone
        gc.collect()
        if way == "close":
            engine.close()
        else:
            assert reply() == before
        sys.exit(3)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 3, way
    assert states.is_dir(), "they are the parent's"
    assert reply() == before
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr


def test_facts_come_from_the_header() -> None:
    facts = read_gguf(embedded_path())
    assert facts.architecture == "llama"
    assert facts.trained_context == 8192


@pytest.mark.parametrize(
    "content", [b"", b"GGUF", b"not gguf at all, but long enough", b"GGUF\x03\0\0\0" + b"\xff" * 64]
)
def test_a_file_that_is_not_gguf_is_a_usage_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.gguf"
    path.write_bytes(content)
    with pytest.raises(UsageError, match="not a GGUF"):
        lm(f"gguf:{path}")


def test_a_missing_file_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        lm(f"gguf:{tmp_path / 'nothing.gguf'}")


def test_slots_and_the_variable_decide_before_the_cores_do(monkeypatch: pytest.MonkeyPatch) -> None:
    embedded()
    assert lm("embedded").slots == slots_for(embedded_path())
    monkeypatch.setenv("TUNESMITH_SLOTS", "3")
    assert lm("embedded").slots == 3
    assert lm("embedded", slots=1).slots == 1
    assert lm("embedded", threads=2, slots=8).capabilities.slots == 2, "more contexts than threads would take turns"


def test_a_saved_program_leaves_the_slots_to_the_machine_that_loads_it() -> None:
    embedded()
    assert lm("embedded").dump_state()["slots"] is None
    assert lm("embedded", slots=3).dump_state()["slots"] == 3
