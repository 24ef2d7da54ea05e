"""`/feedback`: what was wrong is kept, whole or not at all, in the shape of `--bad-cases`."""

import fcntl
import json
import threading
from pathlib import Path

import pytest

import tunesmith as ts
from tests.each import each
from tests.serve.front import Triage, asked, served
from tunesmith.compilers import LabeledFewShot
from tunesmith.errors import UsageError
from tunesmith.serve import FeedbackFolder, Service

GOOD = {"inputs": {"text": "Where is my invoice?"}, "outputs": {"label": "billing"}}


def kept(folder: Path, name: str = "program") -> list[dict[str, object]]:
    file = folder / f"{name}.jsonl"
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()] if file.exists() else []


def test_a_row_has_the_inputs_the_right_outputs_and_what_is_known_besides(tmp_path: Path) -> None:
    service = served(feedback=FeedbackFolder(tmp_path))
    body = {**GOOD, "answered": "other", "remark": "Invoices are billing."}
    assert asked(service, lambda c: c.post("/feedback", json=body)).json() == {"kept": True}
    assert asked(service, lambda c: c.post("/feedback", json=GOOD)).status_code == 200
    plain = {"text": "Where is my invoice?", "label": "billing"}
    assert kept(tmp_path) == [{"answered": "other", "remark": "Invoices are billing.", **plain}, plain]


def test_a_compile_takes_what_was_kept(tmp_path: Path) -> None:
    service = served(feedback=FeedbackFolder(tmp_path))
    asked(service, lambda c: c.post("/feedback", json={**GOOD, "answered": "other"}))
    bad = ts.Dataset.load(tmp_path / "program.jsonl", signature=Triage)
    rows = [{"text": f"{word} {n}", "label": word} for n in range(12) for word in ("billing", "other")]
    data = ts.Dataset.load(rows, signature=Triage)
    result = ts.compile(
        ts.Predict(Triage),
        metric=ts.metrics.exact_match("label"),
        trainset=data,
        bad_cases=bad,
        compiler=LabeledFewShot(2),
        lm=ts.FunctionLM(lambda seen: "billing"),
    )
    assert result.bad_cases is not None
    assert result.bad_cases.to_json()["right"] == 1


@each(
    "body",
    [
        {"inputs": {"text": "a"}},
        {"inputs": {"text": "a"}, "outputs": {}},
        {"inputs": {}, "outputs": {"label": "billing"}},
        {"inputs": {"text": "a"}, "outputs": {"label": "weather"}},
        {"inputs": {"text": "a"}, "outputs": {"label": "billing"}, "more": 1},
        {"inputs": {"text": "a"}, "outputs": {"label": "billing"}, "remark": 5},
    ],
)
def test_what_does_not_fit_is_refused_and_nothing_is_kept(
    body: object, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("feedback")
    found = asked(served(feedback=FeedbackFolder(folder)), lambda c: c.post("/feedback", json=body))
    assert found.status_code == 422
    assert not kept(folder)


def test_without_a_folder_there_is_no_such_path() -> None:
    assert asked(served(), lambda c: c.post("/feedback", json=GOOD)).status_code == 404


def test_each_program_has_a_file_of_its_own(tmp_path: Path) -> None:
    lm = ts.FunctionLM(lambda seen: "billing")
    programs = {name: (ts.Predict(Triage), lm) for name in ("one", "two")}
    service = Service(lambda: programs, feedback=FeedbackFolder(tmp_path))
    asked(service, lambda c: c.post("/two/feedback", json=GOOD))
    assert (len(kept(tmp_path, "one")), len(kept(tmp_path, "two"))) == (0, 1)


def test_a_folder_that_cannot_be_had_is_said_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="for feedback"):
        FeedbackFolder(tmp_path / "file")


def test_a_disk_that_refuses_costs_the_row_alone(tmp_path: Path) -> None:
    folder = FeedbackFolder(tmp_path)
    service = served(feedback=folder)
    asked(service, lambda c: c.post("/feedback", json=GOOD))
    before = (tmp_path / "program.jsonl").read_bytes()
    (tmp_path / "program.jsonl").rename(tmp_path / "kept")
    (tmp_path / "program.jsonl").mkdir()  # nothing can be written there
    found = asked(service, lambda c: c.post("/feedback", json=GOOD))
    assert (found.status_code, found.json()["error"]["type"]) == (503, "NotKept")
    assert (tmp_path / "kept").read_bytes() == before


def test_a_row_that_a_kill_cut_off_does_not_take_the_next_with_it(tmp_path: Path) -> None:
    (tmp_path / "program.jsonl").write_bytes(b'{"text":"a","label":"other"}\n{"text":"cut o')
    FeedbackFolder(tmp_path).add("", {"text": "b", "label": "billing"})
    lines = (tmp_path / "program.jsonl").read_text().splitlines()
    assert lines == ['{"text":"a","label":"other"}', '{"text":"cut o', '{"text":"b","label":"billing"}']


def test_a_service_waits_for_another_that_writes_to_the_same_file(tmp_path: Path) -> None:
    folder, taken = FeedbackFolder(tmp_path), threading.Event()
    with (tmp_path / "program.jsonl").open("ab") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        writing = threading.Thread(target=lambda: (folder.add("", {"label": "billing"}), taken.set()))
        writing.start()
        assert not taken.wait(0.05)
        assert (tmp_path / "program.jsonl").read_bytes() == b""
    writing.join(10)
    assert kept(tmp_path) == [{"label": "billing"}]


@each("names", [("", "program"), ("a-b", "a_b"), ("triage", "Triage")])
def test_two_programs_have_neither_a_file_nor_types_in_common(names: tuple[str, str]) -> None:
    with pytest.raises(UsageError, match="too alike"):
        Service(lambda: {name: (ts.Predict(Triage), ts.ScriptedLM("billing")) for name in names})


@each(
    "outputs, status",
    [
        ({"label": "billing", "urgent": True}, 200),
        ({"label": "billing", "urgent": True, "reasoning": "It says so."}, 200),
        ({"label": "billing"}, 422),
        ({"reasoning": "It says so."}, 422),
    ],
)
def test_a_row_needs_what_a_compile_needs_which_is_all_but_the_reasoning(
    tmp_path: Path, outputs: dict[str, object], status: int
) -> None:
    signature = ts.Signature("text -> label, urgent: bool")
    chain = ts.ChainOfThought(signature)
    for place, program in (("one", chain), ("vote", ts.BestOf(chain, lambda *_: 1.0, samples=2))):
        service = served(program=program, feedback=FeedbackFolder(tmp_path / place))
        body = {"inputs": {"text": "Where is my invoice?"}, "outputs": outputs}
        assert asked(service, lambda c, body=body: c.post("/feedback", json=body)).status_code == status
        if status == 200:
            assert len(ts.Dataset.load(tmp_path / place / "program.jsonl", signature=signature)) == 1
