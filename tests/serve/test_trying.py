"""The web page: its form, its answer with the prompt, and the page itself in a browser."""

import contextlib
import json
import threading
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any, Literal

import dspy
import pytest
import uvicorn
from pydantic import BaseModel

import tunesmith as ts
from tests.browser import opened
from tests.serve.front import asked, served
from tunesmith.serve import FeedbackFolder, Service


class Guest(BaseModel):
    """Who wrote it."""

    name: str


class Wide(dspy.Signature):
    """Sort it."""

    text: str = dspy.InputField(desc="a comment")
    stars: int = dspy.InputField()
    loud: bool = dspy.InputField()
    kind: Literal["web", "paper"] = dspy.InputField()
    guest: Guest = dspy.InputField()
    tags: list[str] = dspy.InputField()
    topic: str = dspy.OutputField()


def test_the_form_has_a_control_for_every_input() -> None:
    found = asked(served(program=ts.Predict(Wide)), lambda c: c.get("/-/form")).json()["programs"]
    assert [(one["name"], one["instruction"], one["feedback"]) for one in found] == [("", "Sort it.", False)]
    kinds = {field["name"]: field["kind"] for field in found[0]["inputs"]}
    wanted = {"text": "text", "stars": "number", "loud": "boolean", "kind": "choice", "guest": "json", "tags": "json"}
    assert kinds == wanted
    assert found[0]["inputs"][0]["description"] == "a comment"
    assert found[0]["inputs"][3]["choices"] == ["web", "paper"]
    assert [field["name"] for field in found[0]["outputs"]] == ["topic"]


class Loose(dspy.Signature):
    """Sort it."""

    text: str = dspy.InputField()
    note: str | None = dspy.InputField()
    paid: bool | None = dspy.InputField()
    kind: Literal["web", "paper"] | None = dspy.InputField()
    sent: date | None = dspy.InputField()
    topic: str = dspy.OutputField()
    reason: str = dspy.OutputField()
    urgent: bool = dspy.OutputField()
    number: int = dspy.OutputField()


def test_a_value_that_may_be_null_has_the_control_of_one_that_is_there() -> None:
    form = asked(served(program=ts.Predict(Loose)), lambda c: c.get("/-/form")).json()["programs"][0]
    found = {one["name"]: (one["kind"], one["nullable"]) for one in form["inputs"]}
    wanted = {"note": ("text", True), "paid": ("boolean", True), "kind": ("choice", True), "text": ("text", False)}
    wanted["sent"] = ("date", True)
    assert found == wanted


def test_a_try_has_the_prompt_that_is_sent_and_what_it_took() -> None:
    seen: list[Any] = []

    def answer(request: Any) -> str:
        seen.append(request)
        return "billing"

    found = asked(served(answer), lambda c: c.post("/try", json={"text": "Where is my invoice?"})).json()
    assert found["outputs"] == {"label": "billing"}
    sent = [("system", seen[0].system), *seen[0].messages] if seen[0].system else list(seen[0].messages)
    assert [(one["role"], one["content"]) for one in found["messages"]] == sent
    assert found["cost"]["calls"] == len(seen) == 1
    assert found["cost"]["ms"] >= 0


def test_a_program_that_asks_no_model_is_tried_all_the_same() -> None:
    class Echo(dspy.Module):
        def forward(self, text: str) -> dspy.Prediction:
            return dspy.Prediction(label=text)

    found = asked(served(program=Echo()), lambda c: c.post("/try", json={"text": "hi"})).json()
    assert (found["outputs"], found["messages"], found["cost"]["calls"]) == ({"label": "hi"}, None, 0)


def test_the_page_runs_its_own_script_alone_and_is_there_before_the_token() -> None:
    service = served(token="a-long-enough-token")
    page = asked(service, lambda c: c.get("/"))
    assert page.status_code == 200
    policy = page.headers["content-security-policy"]
    assert "unsafe" not in policy
    assert policy.count("'sha256-") == 2
    assert "Triage" not in page.text
    assert "Name the topic" not in page.text, "what it is about comes after the token"
    assert asked(service, lambda c: c.get("/-/form")).status_code == 401


def test_without_the_page_there_is_nothing_of_it() -> None:
    service = served(page=False)
    for path in ("/", "/-/form"):
        assert asked(service, lambda c, path=path: c.get(path)).status_code == 404
    assert asked(service, lambda c: c.post("/try", json={"text": "hi"})).status_code == 404


@contextlib.contextmanager
def listening(service: Any) -> Iterator[str]:
    """Yield the URL of a service that a browser reaches."""
    server = uvicorn.Server(uvicorn.Config(service, port=0, log_level="error", lifespan="off", ws="none"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/"
    finally:
        server.should_exit = True
        thread.join(10)


@pytest.mark.whole
def test_in_a_browser_a_guest_asks_sees_answer_and_prompt_and_says_what_is_right(tmp_path: Path) -> None:
    service = served(lambda _: "other", token="a-long-enough-token", feedback=FeedbackFolder(tmp_path))
    with listening(service) as address, opened(address, width=420) as page:
        page.get_by_label("Token of the service").fill("a-long-enough-token")
        page.get_by_role("button", name="Continue").click()
        page.get_by_label("text").fill("<b>Where</b> is my invoice?")
        page.get_by_role("button", name="Ask").click()
        page.locator("#answer").wait_for(state="visible")
        assert page.locator("#outputs").inner_text().split() == ["label", "other"]
        assert "<b>Where</b> is my invoice?" in page.locator("#prompt").inner_text()
        assert page.locator("#outputs b, #prompt b").count() == 0, "texts are not markup"
        page.get_by_text("This is wrong").click()
        page.get_by_label("label").select_option("billing")
        page.get_by_label("Remark").fill("invoices are billing")
        page.get_by_role("button", name="Keep the right answer").click()
        page.get_by_text("It is kept.").wait_for()
        assert page.evaluate("document.documentElement.scrollWidth") <= 420
    row = (tmp_path / "program.jsonl").read_text(encoding="utf-8")
    assert '"answered":"other"' in row
    assert '"label":"billing"' in row


@pytest.mark.whole
def test_in_a_browser_a_refusal_is_said() -> None:
    with listening(served()) as address, opened(address, expected="400|422|503") as page:
        page.get_by_label("text").fill("a" * 100_001)
        page.get_by_role("button", name="Ask").click()
        page.locator("#problem:not(:empty)").wait_for()
        assert "100000 characters" in page.get_by_role("alert").inner_text().replace(",", "")


@pytest.mark.whole
def test_in_a_browser_a_blank_input_is_left_out_and_a_right_answer_begins_as_what_was_answered(tmp_path: Path) -> None:
    reply = (
        '{"reasoning": "It is cold.", "topic": "food", "reason": "soup", "urgent": true, "number": 9007199254740993}'
    )
    program = ts.ChainOfThought(Loose)
    service = served(lambda _: reply, program=program, feedback=FeedbackFolder(tmp_path))
    with listening(service) as address, opened(address) as page:
        page.get_by_label("text").fill("The soup was cold.")
        page.get_by_label("sent may be left empty").fill("2026-01-31")
        page.get_by_role("button", name="Ask").click()
        page.locator("#answer").wait_for(state="visible")
        assert "9007199254740993" in page.locator("#outputs").inner_text(), "JavaScript would say ...992"
        page.get_by_text("This is wrong").click()
        page.get_by_label("topic").fill("kitchen")
        page.get_by_role("button", name="Keep the right answer").click()
        page.get_by_text("It is kept.").wait_for()
    row = json.loads((tmp_path / "program.jsonl").read_text(encoding="utf-8"))
    inputs = {"text": "The soup was cold.", "sent": "2026-01-31"}
    kept = {"topic": "kitchen", "reason": "soup", "urgent": True, "number": 2**53 + 1}
    assert row == {"answered": json.loads(reply), **inputs, **kept}


class Own(dspy.Module):
    """Its outputs are known from its answers alone."""

    def forward(self, text: str) -> dspy.Prediction:
        return dspy.Prediction(topic="food", length=len(text), parts={"first": text}, note=None)


def below(service: Service, prefix: str) -> Any:
    """Return an app as a proxy that has the service at `prefix`."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["path"].startswith(prefix), scope["path"]
        await service({**scope, "path": scope["path"].removeprefix(prefix)}, receive, send)

    return app


@pytest.mark.whole
def test_in_a_browser_the_page_is_below_a_path_and_takes_right_answers_of_a_class_of_ones_own(tmp_path: Path) -> None:
    service = served(program=Own(), feedback=FeedbackFolder(tmp_path))
    with listening(below(service, "/topics")) as address, opened(f"{address}topics/") as page:
        page.get_by_label("text").fill("Cold soup.")
        page.get_by_role("button", name="Ask").click()
        page.locator("#answer").wait_for(state="visible")
        page.get_by_text("This is wrong").click()
        page.get_by_label("topic").fill("kitchen")
        page.get_by_role("button", name="Keep the right answer").click()
        page.get_by_text("It is kept.").wait_for()
    row = json.loads((tmp_path / "program.jsonl").read_text(encoding="utf-8"))
    right = {"topic": "kitchen", "length": 10, "parts": {"first": "Cold soup."}, "note": None}
    assert row == {"text": "Cold soup.", "answered": {**right, "topic": "food"}, **right}
