"""A second artifact: a canary answers a share, a shadow is compared, and neither can harm the first."""

import asyncio
import io
import json
import threading
import time
import warnings
from pathlib import Path
from typing import Any

import pytest

import tunesmith as ts
from tests.serve.front import Triage, asked, client_of
from tunesmith.errors import UsageError
from tunesmith.serve import JsonLog, Second, Service


def service(second: Second, log: io.StringIO | None = None) -> Service:
    first = ts.Predict(Triage), ts.FunctionLM(lambda _: "billing")
    return Service(lambda: {"": first}, seconds=lambda: {"": second}, log=JsonLog(log or io.StringIO()))


def second(answer: Any = lambda _: "other", *, share: float = 0.0) -> Second:
    return Second(ts.Predict(Triage), ts.FunctionLM(answer), share)


def events(log: io.StringIO, name: str) -> list[dict[str, Any]]:
    return [found for line in log.getvalue().splitlines() if (found := json.loads(line))["event"] == name]


def test_a_canary_answers_its_share_and_the_log_says_which_requests() -> None:
    log = io.StringIO()
    app = service(second(share=0.3), log)

    async def talk(client: Any) -> list[str]:
        return [(await client.post("/predict", json={"text": f"{n}"})).json()["label"] for n in range(200)]

    labels = asked(app, talk)
    assert 30 <= labels.count("other") <= 90
    arms = [event.get("arm") for event in events(log, "request")]
    assert [arm == "canary" for arm in arms] == [label == "other" for label in labels]


def test_the_same_request_id_gets_the_same_arm() -> None:
    app = service(second(share=0.5))

    async def talk(client: Any) -> list[set[str]]:
        found = []
        for number in range(12):
            headers = {"X-Request-Id": f"guest-{number}"}
            again = [await client.post("/predict", json={"text": f"{n}"}, headers=headers) for n in range(3)]
            found.append({one.json()["label"] for one in again})
        return found

    answers = asked(app, talk)
    assert all(len(one) == 1 for one in answers)
    assert len({label for one in answers for label in one}) == 2


def test_a_share_of_all_is_every_request_of_every_kind() -> None:
    app = service(second(share=1))
    assert asked(app, lambda c: c.post("/predict", json={"text": "a"})).json() == {"label": "other"}
    assert "other" in asked(app, lambda c: c.post("/predict/stream", json={"text": "a"})).text
    batch = asked(app, lambda c: c.post("/batch", json={"inputs": [{"text": "a"}, {"text": "b"}]}))
    assert batch.json() == {"results": [{"label": "other"}] * 2}


def test_a_canary_does_not_wait_for_the_threads_of_the_first_model() -> None:
    free = threading.Event()
    first = ts.Predict(Triage), ts.FunctionLM(lambda _: "billing" if free.wait(10) else "late", slots=1)
    app = Service(lambda: {"": first}, seconds=lambda: {"": second(share=0.5)}, log=JsonLog(io.StringIO()))
    arms = {app.endpoints[""].chosen(f"guest-{n}")[2]: f"guest-{n}" for n in range(20)}

    async def talk(client: Any) -> tuple[str, str]:
        def post(arm: str) -> Any:
            return client.post("/predict", json={"text": arm}, headers={"X-Request-Id": arms[arm]})

        waiting = asyncio.create_task(post(""))
        found = (await post("canary")).json()["label"]
        free.set()
        return found, (await waiting).json()["label"]

    assert asked(app, talk) == ("other", "billing")


def test_the_page_shows_the_prompt_of_the_program_that_answered() -> None:
    other = ts.Predict(Triage.with_instructions("Sort it."))
    app = service(Second(other, ts.FunctionLM(lambda _: "other"), 1.0))
    found = asked(app, lambda c: c.post("/try", json={"text": "a"})).json()
    assert found["outputs"] == {"label": "other"}
    assert "Sort it." in str(found["messages"])


def waited_for(log: io.StringIO, name: str) -> list[dict[str, Any]]:
    until = time.monotonic() + 20
    while not events(log, name) and time.monotonic() < until:
        time.sleep(0.005)
    return events(log, name)


@pytest.mark.parametrize(("says", "same"), [("billing", True), ("other", False)])
def test_a_shadow_is_compared_and_never_answers(says: str, same: bool) -> None:
    log = io.StringIO()
    app = service(second(lambda _: says), log)
    found = asked(app, lambda c: c.post("/predict", json={"text": "a"}, headers={"X-Request-Id": "one"}))
    assert found.json() == {"label": "billing"}
    (event,) = waited_for(log, "shadow")
    assert (event["id"], event["same"], event["lm_calls"]) == ("one", same, 1)
    assert "billing" not in log.getvalue()


def test_a_shadow_that_fails_or_hangs_costs_the_client_nothing() -> None:
    log = io.StringIO()

    def fails(_: Any) -> str:
        raise ValueError("secret")

    assert asked(service(second(fails), log), lambda c: c.post("/predict", json={"text": "a"})).status_code == 200
    assert "same" not in waited_for(log, "shadow")[0]
    assert "secret" not in log.getvalue()
    hanging = service(second(lambda _: time.sleep(0.3) or "other"))

    async def talk(client: Any) -> float:
        began = time.monotonic()
        for number in range(20):
            assert (await client.post("/predict", json={"text": f"{number}"})).status_code == 200
        return time.monotonic() - began

    assert asked(hanging, talk) < 20 * 0.3, "what comes while a shadow is busy is not compared"


def test_the_counts_tell_the_arms_apart_and_how_often_a_shadow_agrees() -> None:
    log = io.StringIO()
    first = ts.Predict(Triage), ts.FunctionLM(lambda _: "billing")
    seconds = {"one": second(share=1), "two": second()}
    app = Service(lambda: {"one": first, "two": first}, seconds=lambda: seconds, log=JsonLog(log))

    async def talk(client: Any) -> str:
        for name in seconds:
            assert (await client.post(f"/{name}/predict", json={"text": "a"})).status_code == 200
        await asyncio.to_thread(waited_for, log, "shadow")
        return str((await client.get("/metrics")).text)

    text = asked(app, talk)
    assert 'tunesmith_requests_total{arm="canary",program="one",route="predict",status="200"} 1.0' in text
    assert 'tunesmith_requests_total{arm="",program="two",route="predict",status="200"} 1.0' in text
    assert 'tunesmith_shadow_runs_total{outcome="other",program="two"} 1.0' in text


def test_a_canary_without_its_model_is_not_ready_and_a_shadow_does_not_matter(tmp_path: Path) -> None:
    wanted = ts.FunctionLM(lambda _: "billing", version="1").identity.to_json()
    saved = ts.save(tmp_path / "a", ts.Predict(Triage), lm_identity=wanted)
    other = ts.FunctionLM(lambda _: "billing", version="2")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = ts.load(saved.path, lm=other)
    for share, status in ((0.1, 503), (0.0, 200)):
        app = service(Second(program, other, share))
        found = asked(app, lambda c: c.get("/readyz"))
        assert found.status_code == status
        assert [one["ready"] for one in found.json()["programs"].values()] == ([True, False] if share else [True])
        assert app.about()["canary" if share else "shadow"] == {"/": saved.sha256}


def test_a_second_artifact_with_other_fields_or_another_name_is_refused() -> None:
    other = Second(ts.Predict("text -> topic"), ts.ScriptedLM("a"))
    with pytest.raises(UsageError, match="has other outputs: topic, not label"):
        service(other)
    first = ts.Predict(Triage), ts.ScriptedLM("billing")
    with pytest.raises(UsageError, match="no program 'two'"):
        Service(lambda: {"one": first}, seconds=lambda: {"two": second()})
    with pytest.raises(UsageError, match=r"program without a name .* are: one\. Give it their name: NAME=ARTIFACT"):
        Service(lambda: {"one": first}, seconds=lambda: {"": second()})
    with pytest.raises(UsageError, match="from 0 to 1"):
        second(share=1.5)


def test_a_reload_takes_the_new_second_artifact() -> None:
    says = ["other"]
    first = ts.Predict(Triage), ts.FunctionLM(lambda _: "billing")
    app = Service(lambda: {"": first}, seconds=lambda: {"": second(share=1)} if says else {})

    async def talk(client: Any) -> tuple[str, str]:
        before = (await client.post("/predict", json={"text": "a"})).json()["label"]
        says.clear()
        await app.reload()
        return before, (await client.post("/predict", json={"text": "a"})).json()["label"]

    assert asked(app, talk) == ("other", "billing")
    assert client_of(app)
