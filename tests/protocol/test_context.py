"""Context, loading, slots and disconnects."""

import http.client
import json
import threading
import time
from typing import Any

import ollama
import pytest

from tests.each import each
from tests.protocol import FakeModel, ProtocolServer
from tests.protocol.prompts import NO_SHIFT, TOO_LONG, render
from tests.protocol.replay import many, send
from tests.protocol.tokens import default_tokenizer

HELLO = [{"role": "user", "content": "hello"}]
LONG = [{"role": "user", "content": "word " * 2000}]


def ask(at: ProtocolServer, body: dict[str, Any]) -> tuple[int, Any]:
    found = send(at.port, "POST", "/api/chat", {"model": "m", "stream": False, "messages": HELLO, **body})
    return found.status, found.lines[-1]


def serve(version: str = "0.24.0", **more: Any) -> ProtocolServer:
    return ProtocolServer([FakeModel("m", "one two three four"), FakeModel("native", native=True)], version, **more)


@pytest.mark.parametrize(("version", "limit"), [("0.24.0", 512), ("0.32.15", 512 - (512 - 4) // 2)])
def test_one_long_message_is_cut_to_the_window_or_to_half_of_it(version: str, limit: int) -> None:
    with serve(version) as at:
        assert ask(at, {"messages": LONG, "options": {"num_ctx": 512}})[1]["prompt_eval_count"] == limit


@each(
    ("version", "body", "text"),
    [
        ("0.24.0", {"truncate": False}, TOO_LONG),
        ("0.24.0", {"truncate": False, "shift": False}, TOO_LONG),
        ("0.32.15", {"shift": False}, NO_SHIFT),
        ("0.32.15", {"truncate": False}, "exceed_context_size_error"),
        ("0.32.15", {"model": "native"}, "exceed_context_size_error"),
    ],
)
def test_a_prompt_that_must_not_be_cut_is_refused(version: str, body: dict[str, Any], text: str) -> None:
    with serve(version) as at:
        status, reply = ask(at, {"messages": LONG, "options": {"num_ctx": 512}, **body})

    assert (status, text in reply["error"]) == (400, True)
    if text == "exceed_context_size_error":
        error = json.loads(reply["error"])["error"]
        prompt = render(LONG, style="native" if body.get("model") == "native" else "go")
        assert (error["n_ctx"], error["n_prompt_tokens"]) == (512, len(default_tokenizer().ids(prompt)))


@pytest.mark.parametrize("version", ["0.24.0", "0.32.15"])
def test_the_oldest_messages_go_first_but_never_the_system_s(version: str) -> None:
    seen: list[list[dict[str, Any]]] = []

    def answer(messages: list[dict[str, Any]], _options: dict[str, Any]) -> str:
        seen.append(messages)
        return "ok"

    given = many("Label the text.", "Text: sample number 0 is a rather long one", "neutral", 60)
    with ProtocolServer([FakeModel("m", answer)], version) as at:
        _, reply = ask(at, {"messages": given, "options": {"num_ctx": 512}})

    assert reply["prompt_eval_count"] <= 512
    assert seen[0][0] == given[0]
    assert seen[0][1:] == given[-len(seen[0]) + 1 :]


def test_the_rendered_prompt_can_be_seen_without_an_answer() -> None:
    with serve() as at:
        _, reply = ask(at, {"_debug_render_only": True})

    assert reply["_debug_info"]["rendered_template"].endswith("hello<|im_end|>\n<|im_start|>assistant\n")


def test_a_change_of_load_options_loads_again_and_others_do_not() -> None:
    with serve() as at:
        for options in ({}, {"temperature": 0}, {"num_ctx": 512}, {"num_ctx": 512.9}, {"num_ctx": 4096}, {}):
            ask(at, {"options": options})

        assert at.loads == {"m:latest": 3}


def test_only_the_new_server_reloads_for_shift() -> None:
    for version, loads in (("0.24.0", 1), ("0.32.15", 2)):
        with serve(version) as at:
            ask(at, {})
            ask(at, {"shift": False})
            assert at.loads == {"m:latest": loads}


def test_the_context_is_at_most_the_trained_one_and_at_least_four() -> None:
    with serve() as at:
        client = ollama.Client(at.url, verify=False)
        for given, real in ((100_000, 8192), (1, 4), (None, 4096)):
            client.chat("m", HELLO, options={} if given is None else {"num_ctx": given})
            assert client.ps().models[0].context_length == real


@each(("given", "there"), [(0, False), ("0s", False), (-1, True), ("5m", True), (0.05, False), (60, True)])
def test_keep_alive_says_how_long_a_model_stays(given: Any, there: bool) -> None:
    with serve() as at:
        ask(at, {"keep_alive": given})
        time.sleep(0.1)
        loaded = send(at.port, "GET", "/api/ps", None).lines[0]["models"]

    assert bool(loaded) == there
    if given == -1:
        assert loaded[0]["expires_at"] > "2300"


def test_a_model_is_loaded_and_unloaded_by_empty_requests() -> None:
    with serve() as at:
        assert ask(at, {"messages": []})[1]["done_reason"] == "load"
        assert ask(at, {"messages": [], "keep_alive": 0})[1]["done_reason"] == "unload"
        assert send(at.port, "GET", "/api/ps", None).text == '{"models":[]}'
        assert at.loads == {"m:latest": 1}


def test_length_ends_at_num_predict_and_at_the_context_without_shift() -> None:
    with serve() as at:
        _, short = ask(at, {"options": {"num_predict": 2}})
        _, stopped = ask(at, {"options": {"stop": [" three"]}})
        _, full = ask(at, {"options": {"num_ctx": 12}, "shift": False})

    assert (short["message"]["content"], short["done_reason"], short["eval_count"]) == ("one two", "length", 2)
    assert (stopped["message"]["content"], stopped["done_reason"], stopped["eval_count"]) == ("one two", "stop", 3)
    assert (full["done_reason"], full["prompt_eval_count"] + full["eval_count"]) == ("length", 12)


@pytest.mark.parametrize("stream", [False, True])
def test_a_model_that_repeats_itself_is_given_up_without_an_end(stream: bool) -> None:
    with ProtocolServer([FakeModel("m", " so" * 50)]) as at:
        found = send(at.port, "POST", "/api/chat", {"model": "m", "stream": stream, "messages": HELLO})

    assert [line["done"] for line in found.lines] == [False] * len(found.lines)
    assert "done_reason" not in found.lines[-1]


def together(at: ProtocolServer, bodies: list[dict[str, Any]]) -> list[tuple[int, Any]]:
    """Send each as soon as the one before it has arrived; return what came back, in the order in which it came."""
    found: list[tuple[int, Any]] = []
    threads = [threading.Thread(target=lambda b=body: found.append(ask(at, b))) for body in bodies]
    for arrived, thread in enumerate(threads, len(at.requests) + 1):
        thread.start()
        while len(at.requests) < arrived and thread.is_alive():
            time.sleep(0.001)
        time.sleep(0.03)
    for thread in threads:
        thread.join()
    return found


def test_one_slot_answers_in_the_order_of_arrival() -> None:
    active: list[int] = []

    def answer(messages: list[dict[str, Any]], _options: dict[str, Any]) -> str:
        active.append(1)
        time.sleep(0.1)
        assert len(active) == 1
        active.pop()
        return str(messages[-1]["content"])

    with ProtocolServer([FakeModel("m", answer)]) as at:
        found = together(at, [{"messages": [{"role": "user", "content": str(n)}]} for n in range(4)])

    assert [reply["message"]["content"] for _, reply in found] == ["0", "1", "2", "3"]


def test_four_slots_answer_four_at_once() -> None:
    all_here = threading.Barrier(4, timeout=20)
    with ProtocolServer([FakeModel("m", lambda _messages, _options: str(all_here.wait()))], slots=4) as at:
        found = together(at, [{}] * 4)

    assert sorted(reply["message"]["content"] for _, reply in found) == ["0", "1", "2", "3"]


def test_the_queue_is_only_bounded_while_a_model_loads() -> None:
    with ProtocolServer([FakeModel("m", "ok", delay=0.02, load_delay=0.4)], max_queue=2) as at:
        cold = sorted(status for status, _ in together(at, [{}] * 4))
        warm = sorted(status for status, _ in together(at, [{}] * 4))

    assert (cold, warm) == ([200, 200, 503, 503], [200] * 4)


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_goes_frees_its_slot(stream: bool) -> None:
    with ProtocolServer([FakeModel("m", "word " * 500, token_delay=0.02)]) as at:
        connection = http.client.HTTPConnection("127.0.0.1", at.port)
        body = {"model": "m", "stream": stream, "messages": HELLO}
        connection.request("POST", "/api/chat", json.dumps(body))
        if stream:
            connection.getresponse().readline()
        time.sleep(0.1)
        connection.close()
        started = time.monotonic()
        ask(at, {"options": {"num_predict": 1}})

        assert time.monotonic() - started < 2
        assert [entry.disconnected for entry in at.requests] == [True, False]


def test_the_backlog_takes_many_connections_at_once() -> None:
    found: list[int] = []
    with serve(slots=8) as at:
        threads = [threading.Thread(target=lambda: found.append(ask(at, {})[0])) for _ in range(120)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert found == [200] * 120
