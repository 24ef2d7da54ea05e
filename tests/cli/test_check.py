"""`tunesmith check`: gates, exit codes, JUnit XML."""

import json
import os
import re
import shutil
import stat
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import tunesmith as ts
from tests.cli.conftest import Workspace, check_failure, rows, run
from tests.cli.server import Server
from tunesmith.cli.junit import junit_xml
from tunesmith.data import Dataset
from tunesmith.errors import ModelMissing
from tunesmith.experiments import Gate

A = Workspace.artifact

# Ant's schema (windyroad's XSD) and Jenkins' junit-10.xsd together: what both ask for, and nothing that one forbids.
ATTRIBUTES: dict[str, dict[str, str]] = {
    "testsuites": {},
    "testsuite": {
        "id": r"\d+",
        "package": r".+",
        "name": r".+",
        "timestamp": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d",
        "hostname": r".+",
        "tests": r"\d+",
        "failures": r"\d+",
        "errors": r"\d+",
        "time": r"\d+\.\d+",
    },
    "properties": {},
    "property": {"name": r".+", "value": r".*"},
    "testcase": {"name": r".+", "classname": r".+", "time": r"\d+\.\d+"},
    "failure": {"type": r".+", "message": r".+"},
    "error": {"type": r".+", "message": r".+"},
    "system-out": {},
    "system-err": {},
}
CHILDREN = {  # as a pattern over the names of the children, in order
    "testsuites": "(testsuite )*",
    "testsuite": "properties (testcase )*system-out system-err ",
    "properties": "(property )*",
    "testcase": "(failure |error )?",
}


def check_junit(text: str) -> ET.Element:
    """Check a JUnit file against the schema above, and its counts; return its one suite."""
    root = ET.fromstring(text)
    assert root.tag == "testsuites"
    for element in root.iter():
        wanted = ATTRIBUTES[element.tag]
        assert set(element.attrib) == set(wanted), element.tag
        for name, pattern in wanted.items():
            assert re.fullmatch(pattern, element.attrib[name], re.DOTALL), (element.tag, name, element.attrib[name])
        names = "".join(f"{child.tag} " for child in element)
        assert re.fullmatch(CHILDREN.get(element.tag, ""), names), (element.tag, names)
        if element.tag in CHILDREN:
            assert not (element.text or "").strip(), f"{element.tag} holds text"
    (suite,) = root
    cases = suite.findall("testcase")
    assert int(suite.attrib["tests"]) == len(cases)
    for kind in ("failure", "error"):
        assert int(suite.attrib[f"{kind}s"]) == sum(case.find(kind) is not None for case in cases)
    names = [one.attrib["name"] for one in suite.iter("property")]
    assert len(names) == len(set(names))
    assert len({case.attrib["name"] for case in cases}) == len(cases)
    return suite


def properties(suite: ET.Element) -> dict[str, str]:
    return {one.attrib["name"]: one.attrib["value"] for one in suite.iter("property")}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state of its own: openings are counted there."""
    monkeypatch.setenv("TUNESMITH_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def test_where_every_gate_holds_it_exits_with_zero(workspace: Workspace) -> None:
    given = ("--min-gain", "0", "--min-score", "0.9", "--max-latency", "60", "--max-errors", "0")
    found = run("check", A, *given, "--junit", "check.xml", "--quiet")
    assert found.exit_code == 0, found.stderr
    assert found.stderr == ""
    assert "min-gain     a lower end above 0  +0.750 (95 % interval " in found.stdout
    assert (
        "Passed: on 12 examples the gain over the program as given is +0.750 (95 % interval +0.500 to +1.000); "
        "the mean score is 1.000; the model needs " in found.stdout
    )
    assert "Verdict `ship`. Ship it: the artifact scores 0.750 more than the program as given on 12" in found.stdout
    assert "This test split was looked at once so far." in found.stdout

    suite = check_junit(Path("check.xml").read_text(encoding="utf-8"))
    assert [case.attrib["name"] for case in suite.iter("testcase")] == [
        "min-gain",
        "min-score",
        "max-latency",
        "max-errors",
    ]
    figures = properties(suite)
    assert (figures["score.mean"], figures["gain.mean"], figures["verdict"]) == ("1.0", "0.75", "ship")
    assert (figures["gate.min-score.limit"], figures["gate.max-errors.value"]) == ("0.9", "0")


def test_where_a_gate_fails_it_exits_with_four_and_says_the_numbers(workspace: Workspace) -> None:
    found = run("check", A, "--min-gain", "0.9", "--max-errors", "0", "--junit", "check.xml", "--json", "--quiet")
    assert found.exit_code == 4
    assert found.stderr == "error: 1 of 2 gates failed: min-gain.\n"
    result = json.loads(found.stdout)
    assert (result["passed"], [gate["passed"] for gate in result["gates"]]) == (False, [False, True])
    sentence = (
        "the gain over the program as given is +0.750 (95 % interval +0.500 to +1.000), wanted a lower end above 0.9"
    )
    assert result["sentence"] == f"Failed: on 12 examples {sentence}."
    suite = check_junit(Path("check.xml").read_text(encoding="utf-8"))
    failure = suite.find("testcase/failure")
    assert failure is not None
    assert (failure.attrib["message"], failure.text, failure.attrib["type"]) == (sentence, sentence, "min-gain")


def test_the_numbers_are_those_of_the_compile(workspace: Workspace) -> None:
    result = json.loads(run("check", A, "--min-gain", "0", "--json", "--quiet").stdout)
    wanted = workspace.result
    assert (result["compiled"], result["baseline"], result["gain"]) == (
        wanted["compiled"],
        wanted["baseline"],
        wanted["gain"],
    )
    assert result["finding"]["verdict"] == wanted["verdict"] == "ship"
    assert result["artifact"]["sha256"] == wanted["artifact"]["sha256"]
    assert result["charged"]["calls"] == 24


def test_a_broken_artifact_exits_with_one_and_is_an_error_of_the_file(workspace: Workspace) -> None:
    shutil.copytree(A, "broken")
    state = Path("broken/state.json")
    state.write_bytes(state.read_bytes().replace(b"report", b"rapport", 1))
    message = check_failure(run("check", "broken", "--min-gain", "0", "--junit", "check.xml"), 1)
    suite = check_junit(Path("check.xml").read_text(encoding="utf-8"))
    error = suite.find("testcase/error")
    assert error is not None
    assert (error.attrib["type"], error.attrib["message"]) == ("ArtifactError", message)
    check_failure(run("check", "nowhere", "--min-gain", "0"), 1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "without a gate"),
        (("--min-gain", "nan"), "finite"),
        (("--max-latency", "-1"), "below 0"),
        (("--max-errors", "-1"), "below 0"),
        (("--max-errors", "few"), "valid integer"),
        (("--min-gain", "0", "--data", "missing.jsonl"), "missing.jsonl"),
        (("--min-gain", "0", "--metric", "exactmatch:team"), "exact"),
        (("--against", A), "without a gate"),
        (("--min-gain", "0", "--junit", "no/such/folder/check.xml"), "folder"),
        (("--min-gain", "0", "--junit", "."), "Name a file"),
    ],
)
def test_wrong_usage_exits_with_two_before_any_call(
    workspace: Workspace, server: Server, options: tuple[str, ...], message: str
) -> None:
    before = len(server.requests)
    assert message in check_failure(run("check", A, *options), 2)
    assert len(server.requests) == before


def test_a_bad_row_exits_with_one(workspace: Workspace) -> None:
    Path("bad.jsonl").write_text('{"report": 7}\n', encoding="utf-8")
    check_failure(run("check", A, "--min-gain", "0", "--data", "bad.jsonl"), 1)


def test_examples_that_selected_the_artifact_are_no_gate(workspace: Workspace) -> None:
    text = json.loads(run("eval", "--split", "val", "--json", "--quiet").stdout)
    keys = {row["key"] for row in text["rows"]}
    data = Dataset.load("data/reports.jsonl", inputs=["report"])
    chosen = [row for row, key in zip(rows(Path("data/reports.jsonl")), data.keys, strict=True) if key in keys]
    Path("val.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in chosen), encoding="utf-8")
    assert "is the valset" in check_failure(run("check", A, "--min-gain", "0", "--data", "val.jsonl"), 2)


def test_one_example_that_selected_the_artifact_is_enough_to_refuse(workspace: Workspace, server: Server) -> None:
    text = json.loads(run("eval", "--split", "val", "--json", "--quiet").stdout)
    data = Dataset.load("data/reports.jsonl", inputs=["report"])
    known = [row for row, key in zip(rows(Path("data/reports.jsonl")), data.keys, strict=True)
             if key == text["rows"][0]["key"]]  # fmt: skip
    mixed = [{**known[0], "team": "parks"}, *({"report": f"Nobody knows {i}.", "team": "streets"} for i in range(4))]
    Path("mixed.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in mixed), encoding="utf-8")
    given = ("check", A, "--min-gain", "0", "--data", "mixed.jsonl", "--quiet")
    before = len(server.requests)
    message = check_failure(run(*given), 2)
    assert "Of the 5 examples of `mixed` the artifact was compiled on 1 in its valset" in message
    assert "Leave them out" in message
    assert len(server.requests) == before
    Path("mixed.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in mixed[1:]), encoding="utf-8")
    assert run(*given, "--json").exit_code == 4


@pytest.mark.parametrize("verb", ["check", "compile", "eval"])
def test_a_metric_that_ends_the_process_passes_no_gate(workspace: Workspace, verb: str) -> None:
    Path("leaves.py").write_text(
        "import sys\n\ndef metric(example, prediction, trace=None):\n    sys.exit(0)\n", encoding="utf-8"
    )
    given = {"check": (A, "--min-gain", "0.99", "--junit", "check.xml"), "compile": ("--run", "x"), "eval": ()}[verb]
    message = check_failure(run(verb, *given, "--metric", "leaves:metric", "--json", "--quiet"), 1, as_json=True)
    assert "The metric failed on 1 examples" in message
    assert "SystemExit: 0" in message
    if verb == "check":
        error = check_junit(Path("check.xml").read_text(encoding="utf-8")).find("testcase/error")
        assert error is not None
        assert error.attrib["type"] == "MetricError"


def test_a_junit_file_that_is_a_link_or_a_pipe_stays_one(workspace: Workspace, tmp_path: Path) -> None:
    Path("target.xml").write_text("old", encoding="utf-8")
    Path("link.xml").symlink_to("target.xml")
    Path("dangling.xml").symlink_to("new.xml")
    for name, target in (("link.xml", "target.xml"), ("dangling.xml", "new.xml")):
        assert run("check", A, "--max-errors", "0", "--quiet", "--junit", name).exit_code == 0
        assert Path(name).is_symlink()
        check_junit(Path(target).read_text(encoding="utf-8"))

    os.mkfifo("pipe.xml")
    reader = os.open("pipe.xml", os.O_RDONLY | os.O_NONBLOCK)
    try:
        assert run("check", A, "--max-errors", "0", "--quiet", "--junit", "pipe.xml").exit_code == 0
        check_junit(os.read(reader, 2**20).decode())
    finally:
        os.close(reader)
    assert stat.S_ISFIFO(Path("pipe.xml").stat().st_mode)


def test_a_junit_file_may_be_where_the_output_goes(workspace: Workspace) -> None:
    with Path("all.txt").open("wb") as out:
        done = subprocess.run(
            [sys.executable, "-m", "tunesmith", "check", A, "--max-errors", "0", "--quiet", "--junit", "/dev/stdout"],
            stdout=out,
            check=False,
            timeout=280,
        )
    assert done.returncode == 0
    xml, end, report = Path("all.txt").read_text(encoding="utf-8").partition("</testsuites>\n")
    check_junit(xml + end)
    assert "Passed: on 12 examples" in report


def test_without_a_gate_on_the_gain_the_program_as_given_costs_nothing(workspace: Workspace) -> None:
    result = json.loads(run("check", A, "--min-score", "0.5", "--json", "--quiet").stdout)
    assert (result["charged"]["calls"], result["baseline"], result["gain"], result["finding"]) == (12, None, None, None)


def test_an_older_artifact_takes_the_place_of_the_program_as_given(workspace: Workspace) -> None:
    program = ts.load(A)
    before = ts.Candidate.from_json(program.artifact.baseline_json, {"self": program.signature})
    ts.save("older", before.apply(program))
    given = ("check", A, "--against", "older", "--quiet")
    found = run(*given, "--min-gain", "0", "--junit", "check.xml")

    assert found.exit_code == 0, found.stderr
    assert "the gain over the older artifact is +0.750 (95 % interval +0.500 to +1.000)" in found.stdout
    assert "the artifact scores 0.750 more than the older artifact on 12 test examples" in found.stdout
    assert "9 of 12 examples are right now, and 0 are wrong now." in found.stdout
    assert "Right now:\nreport: " in found.stdout
    assert len(properties(check_junit(Path("check.xml").read_text(encoding="utf-8")))["against.sha256"]) == 64

    lost = run("check", "older", "--against", A, "--quiet", "--json", "--min-gain", "-0.02")
    result = json.loads(lost.stdout)
    assert (lost.exit_code, result["finding"]["verdict"], len(result["flips"]["wrong_now"])) == (4, "regression", 9)


def test_an_artifact_is_as_good_as_itself(workspace: Workspace) -> None:
    result = json.loads(run("check", A, "--against", A, "--min-gain", "-0.02", "--json", "--quiet").stdout)
    assert (result["passed"], result["gain"]["mean"], result["charged"]["calls"]) == (True, 0.0, 12)
    assert "it has the prompts and settings of the older artifact" in result["finding"]["sentence"]


def test_errors_of_the_program_are_counted(workspace: Workspace) -> None:
    data = [{"report": f"Nobody knows {i}.", "team": "streets"} for i in range(4)]
    Path("more.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in data), encoding="utf-8")
    given = ("check", A, "--data", "more.jsonl", "--json", "--quiet")
    result = json.loads(run(*given, "--max-errors", "0", "--min-gain", "0").stdout)
    assert result["passed"] is False
    assert result["finding"]["verdict"] == "no evidence"
    assert [gate["name"] for gate in result["gates"] if gate["passed"]] == ["max-errors"]


def test_latency_is_that_of_the_engine_also_where_the_reply_was_kept(workspace: Workspace) -> None:
    first = json.loads(run("check", A, "--max-latency", "60", "--json", "--quiet").stdout)
    again = json.loads(run("check", A, "--max-latency", "60", "--json", "--quiet").stdout)
    assert again["latency"] == first["latency"]
    assert 0 < first["latency"]["median"] <= first["latency"]["p95"] <= first["latency"]["max"]
    assert (first["notes"], again["paid"]["calls"]) == ([], 0)
    assert again["notes"] == ["12 of 12 replies came from the cache, with the latency they had then."]
    assert run("check", A, "--max-latency", "0", "--quiet").exit_code == 4


def test_a_check_and_an_eval_of_the_same_artifact_open_the_test_split_once(workspace: Workspace) -> None:
    def opened(*arguments: str) -> Any:
        return json.loads(run(*arguments, "--json", "--quiet").stdout)["test_opened"]

    assert opened("check", A, "--min-gain", "0") == 1
    assert opened("check", A, "--min-score", "0") == 1, "the same numbers again"
    assert opened("eval", A, "--split", "test") == 1
    assert opened("eval", "--split", "test") == 2, "the program as given is another one"
    assert opened("eval", "--split", "val") is None
    assert opened("compile") == 3


def test_eval_knows_a_test_split_by_its_content_and_says_how_often_it_was_looked_at(workspace: Workspace) -> None:
    tested = json.loads(run("eval", A, "--split", "test", "--json", "--quiet").stdout)
    keys = {row["key"] for row in tested["rows"]}
    data = Dataset.load("data/reports.jsonl", inputs=["report"])
    chosen = [row for row, key in zip(rows(Path("data/reports.jsonl")), data.keys, strict=True) if key in keys]
    Path("copy.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in chosen), encoding="utf-8")
    found = run("eval", "--data", "copy.jsonl", "--quiet")
    assert "This test split was looked at 2 times so far." in found.stdout
    assert "looked at" not in run("eval", "--data", "data/reports.jsonl", "--quiet").stdout


def test_eval_knows_the_file_of_the_test_split(workspace: Workspace) -> None:
    text = Path("tunesmith.toml").read_text(encoding="utf-8")
    kept = [line for line in text.splitlines() if not line.startswith(("file =", "split ="))]
    test = "test = 'data/reports.jsonl'"
    Path("tunesmith.toml").write_text("\n".join(kept).replace("[data]", f"[data]\n{test}"), encoding="utf-8")
    found = json.loads(run("eval", "--data", "data/reports.jsonl", "--json", "--quiet").stdout)
    assert found["test_opened"] == 1


def test_related_examples_count_as_groups(workspace: Workspace) -> None:
    split = json.loads(run("eval", A, "--split", "test", "--json", "--quiet").stdout)
    keys = {row["key"] for row in split["rows"]}
    data = Dataset.load("data/reports.jsonl", inputs=["report"])
    chosen = [row for row, key in zip(rows(Path("data/reports.jsonl")), data.keys, strict=True) if key in keys]
    lines = [json.dumps({**row, "street": row["team"]}) for row in chosen]
    Path("grouped.jsonl").write_text("\n".join(lines), encoding="utf-8")
    given = ("check", A, "--data", "grouped.jsonl", "--min-gain", "0", "--json", "--quiet")
    alone = json.loads(run(*given).stdout)
    file = Path("tunesmith.toml")
    file.write_text(file.read_text(encoding="utf-8").replace("[data]", "[data]\ngroup = 'street'"), encoding="utf-8")
    grouped = json.loads(run(*given).stdout)
    assert (alone["gain"]["low"] > 0, grouped["gain"]["low"]) == (True, 0.0), "four groups prove nothing"
    assert (alone["finding"]["observations"], grouped["finding"]["observations"]) == (12, 4)
    assert grouped["finding"]["verdict"] == "no evidence"


# The file itself -------------------------------------------------------------------------------------------


@pytest.fixture
def when() -> Iterator[datetime]:
    return datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC)


def test_a_file_survives_whatever_a_message_holds(when: datetime) -> None:
    wild = "a\x00b\x1b[31m <&>\"' \ud800 \uffff ]]> é 🎉\n\ttab"
    gate = Gate("min-gain", wild, wild, 0.0, None, passed=False)
    text = junit_xml(wild, [gate], properties={"x": wild, "none": None}, when=when, seconds=0.25, text=wild)
    text.encode("utf-8")
    suite = check_junit(text)
    failure = suite.find("testcase/failure")
    assert failure is not None
    assert "a\ufffdb" in (failure.text or "")
    assert "é 🎉" in (failure.text or "")
    assert suite.attrib["timestamp"] == "2026-01-02T03:04:05"
    assert list(properties(suite)) == ["x"]


def test_what_kept_a_check_from_being_made_is_an_error(when: datetime) -> None:
    error = ModelMissing("There is no model.")
    suite = check_junit(junit_xml("artifact", [], properties={}, when=when, seconds=1.0, error=error))
    assert (suite.attrib["tests"], suite.attrib["errors"], suite.attrib["failures"]) == ("1", "1", "0")


@pytest.mark.parametrize(
    "broken",
    [
        lambda text: text.replace("<testsuites>", '<testsuites name="x">'),
        lambda text: text.replace('tests="1"', 'tests="2"'),
        lambda text: text.replace('time="1.000"', 'time="soon"'),
        lambda text: text.replace("<system-err />", ""),
        lambda text: text.replace('classname="tunesmith.check" ', ""),
    ],
)
def test_the_validation_here_finds_what_is_wrong(when: datetime, broken: Any) -> None:
    text = junit_xml("a", [Gate("min-score", "", "", 0, 1, passed=True)], properties={}, when=when, seconds=1.0)
    check_junit(text)
    assert broken(text) != text
    with pytest.raises(AssertionError):
        check_junit(broken(text))
