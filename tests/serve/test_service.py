import json

from tests.each import each
from tests.serve.front import asked, served
from tunesmith.errors import ModelUnavailable, ParseError
from tunesmith.serve import Limits


def test_a_prediction_has_the_outputs_of_the_signature() -> None:
    found = asked(served(), lambda c: c.post("/predict", json={"text": "Where is my invoice?"}))
    assert (found.status_code, found.json()) == (200, {"label": "billing"})
    assert found.headers["x-content-type-options"] == "nosniff"
    assert found.headers["x-request-id"]


def test_a_stream_has_deltas_and_then_the_outputs() -> None:
    found = asked(served(), lambda c: c.post("/predict/stream", json={"text": "hi"}))
    events = [event.split("\n") for event in found.text.strip().split("\n\n")]
    assert [name for name, _ in events] == ["event: delta", "event: outputs"]
    assert json.loads(events[1][1].removeprefix("data: ")) == {"label": "billing"}


def test_a_batch_has_a_result_per_input_in_order() -> None:
    service = served(lambda seen: "other" if "zebra" in seen.text else "billing")
    found = asked(service, lambda c: c.post("/batch", json={"inputs": [{"text": "a"}, {"text": "zebra"}]}))
    assert found.json() == {"results": [{"label": "billing"}, {"label": "other"}]}


@each(
    "body, status, kind",
    [
        ('{"text": 5}', 422, "InvalidInput"),
        ("{}", 422, "InvalidInput"),
        ('{"text": "a", "more": 1}', 422, "InvalidInput"),
        ('{"text": "a", "text": "b"}', 400, "InvalidJSON"),
        ('{"text": NaN}', 400, "InvalidJSON"),
        ('{"text": 1e999}', 400, "InvalidJSON"),
        ('{"text": "\\ud800"}', 422, "InvalidInput"),
        ("no json", 400, "InvalidJSON"),
        (b"\xff", 400, "InvalidJSON"),
        ("[" * 100_000, 422, "TooDeep"),
        ("[" * 40 + "]" * 40, 422, "TooDeep"),
        (f'{{"text": "{"a" * 2000}"}}', 422, "TextTooLong"),
        (" " * 300_000, 413, "BodyTooLarge"),
    ],
)
def test_bad_input_is_refused_with_a_reason(body: str, status: int, kind: str) -> None:
    service = served(limits=Limits(text=1000, body_bytes=200_000))
    headers = {"content-type": "application/json"}
    found = asked(service, lambda c: c.post("/predict", content=body, headers=headers))
    assert (found.status_code, found.json()["error"]["type"]) == (status, kind)


@each(
    "error, status",
    [
        (ModelUnavailable("secret"), 503),
        (ParseError("secret", reason="syntax", raw="secret"), 502),
        (ValueError("secret"), 502),
        (SystemExit("secret"), 502),
    ],
)
def test_a_failure_of_the_model_tells_nothing_of_the_inside(error: BaseException, status: int) -> None:
    def fails(_: object) -> str:
        raise error

    for path in ("/predict", "/predict/stream"):
        found = asked(served(fails), lambda c, path=path: c.post(path, json={"text": "hi"}))
        assert found.status_code == status
        assert "secret" not in found.text


def test_a_token_is_asked_for_everywhere_but_for_health() -> None:
    service = served(token="a-long-enough-token")
    statuses = {
        path: asked(service, lambda c, path=path: c.get(path)).status_code
        for path in ("/healthz", "/readyz", "/metrics", "/openapi.json")
    }
    assert statuses == {"/healthz": 200, "/readyz": 200, "/metrics": 401, "/openapi.json": 401}
    headers = {"Authorization": "Bearer a-long-enough-token"}
    assert asked(service, lambda c: c.post("/predict", json={"text": "hi"}, headers=headers)).status_code == 200


def test_a_foreign_host_name_is_refused() -> None:
    service = served(hosts=["localhost"])
    assert asked(service, lambda c: c.get("/healthz", headers={"host": "evil.example:8000"})).status_code == 421
    assert asked(service, lambda c: c.get("/healthz", headers={"host": "LOCALHOST:8000"})).status_code == 200
