"""`tunesmith label`."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest

from tests.cli.conftest import Workspace, check_failure, rows, run
from tunesmith.data import DataFile, Labeling

TOPIC = "text -> topic: Literal['food', 'room']"


@pytest.fixture
def few() -> Path:
    path = Path("few.jsonl")
    path.write_text('{"text": "Cold soup.", "topic": "room"}\n{"text": "Loud street.", "topic": "room"}\n')
    return path


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


def end_when_it_answers(port: int) -> None:
    for _ in range(2000):
        try:
            assert httpx.get(f"http://127.0.0.1:{port}/", trust_env=False).status_code == 200
        except httpx.TransportError:
            time.sleep(0.01)
        else:
            break
    os.kill(os.getpid(), signal.SIGTERM)


def test_a_kill_loses_no_decision_and_a_signal_ends_it_with_the_result(few: Path) -> None:
    command = [sys.executable, "-m", "tunesmith", "label", str(few), "--signature", TOPIC]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as child:
        assert child.stderr is not None
        address = next(line for line in child.stderr if line.startswith("Open ")).split()[1]
        url, _, token = address.partition("/#")
        body = {"place": 0, "verdict": "accept", "values": {"topic": "food"}}
        headers = {"Authorization": f"Bearer {token}"}
        assert httpx.post(f"{url}/-/decide", json=body, headers=headers, trust_env=False).status_code == 200
        child.send_signal(signal.SIGKILL)
    assert not Path("few.labeled.jsonl").exists()
    port = free_port()
    threading.Thread(target=end_when_it_answers, args=[port], daemon=True).start()
    found = run("label", str(few), "--signature", TOPIC, "--port", str(port))
    assert found.exit_code == 0, found.stderr
    assert "1 of 2 rows are decided." in found.stderr
    assert found.stdout == ("0 rows accepted, 1 fixed, 0 rejected, 1 left\nwrote few.labeled.jsonl: 1 row\n")
    assert rows(Path("few.labeled.jsonl")) == [{"text": "Cold soup.", "topic": "food"}]


def test_json_says_how_far_it_is(few: Path) -> None:
    found = json.loads(run("label", str(few), "--write", "--json").stdout)
    assert found == {
        "file": "few.jsonl",
        "decisions": "few.decisions.jsonl",
        "written": None,
        "rows": 2,
        "accept": 0,
        "fix": 0,
        "reject": 0,
        "left": 2,
    }
    assert not Path("few.decisions.jsonl").exists(), "nothing was decided"


def test_fields_are_taken_from_columns_of_other_names(few: Path) -> None:
    few.write_text('{"Mail": {"body": "Cold soup."}, "topic": "food"}\n')
    columns = ("--columns", "text=Mail.body")
    with Labeling(DataFile.read(few, columns={"text": "Mail.body"})) as labeling:
        labeling.decide(0, "accept")
    found = run("label", str(few), "--signature", TOPIC, *columns, "--write")
    assert found.exit_code == 0, found.stderr
    assert rows(Path("few.labeled.jsonl"))[0]["text"] == "Cold soup."


def test_hard_examples_of_another_file_are_told(workspace: Workspace, few: Path) -> None:
    assert "No row is a hard example" in check_failure(run("label", str(few), "--hard", "first"), 1)


def test_a_port_that_is_taken_and_a_file_that_is_not_there_are_told(few: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        found = run("label", str(few), "--port", str(taken.getsockname()[1]))
    assert "address already in use" in check_failure(found, 2)
    assert "does not exist" in check_failure(run("label", "missing.jsonl"), 2)
    assert "no field of the signature" in check_failure(run("label", str(few), "--signature", "a -> b"), 1)
