"""`tunesmith show`."""

import json

import dspy
import pytest

import tunesmith as ts
from tests.cli.conftest import Workspace, check_failure, run
from tests.cli.server import Server
from tunesmith.modules import Candidate, Nearest

A = Workspace.artifact


class Own(dspy.Module):
    """A class that an artifact names and nobody allowed."""

    def __init__(self) -> None:
        super().__init__()
        self.step = ts.Predict("text -> label")


def test_it_says_what_the_artifact_holds(workspace: Workspace) -> None:
    text = run("show", A).stdout
    for part in (
        workspace.result["artifact"]["sha256"],
        "verdict     ship",
        "exact_match(team)",
        "openai/tiny (dspy, unverified)",
        "signed      no",
        "testset ",
        "looked at once up to this compile",
        "Prompt of self, as sent: user",
        "Report: {{report}}",
        "Predictor self",
        "input report: str",
        "output team: Literal['streets', 'waste', 'water', 'parks']",
        "demos: ",
        "-> team: ",
    ):
        assert part in text


def test_json_without_more_is_the_manifest(workspace: Workspace) -> None:
    found = json.loads(run("show", A, "--json").stdout)
    manifest = json.loads((workspace.folder / A / "manifest.json").read_text(encoding="utf-8"))
    assert found["manifest"] == manifest
    assert found["sha256"] == workspace.result["artifact"]["sha256"]


def test_the_diff_is_the_one_compile_printed(workspace: Workspace) -> None:
    assert json.loads(run("show", A, "--diff", "--json").stdout)["diff"] == workspace.result["diff"]
    assert "+demo output team: " in run("show", A, "--diff").stdout


def test_messages_are_what_reaches_the_engine(workspace: Workspace, server: Server) -> None:
    text = "Nobody has emptied the skip behind the theatre."
    shown = json.loads(run("show", A, "--messages", f"report={text}", "--json").stdout)["messages"]
    before = len(server.requests)
    assert run("predict", A, f"report={text}").exit_code == 0
    (sent,) = server.requests[before:]
    assert sent["messages"] == shown["messages"]
    assert (sent["temperature"], sent["seed"]) == (shown["options"]["temperature"], shown["options"]["seed"])
    assert sent["max_completion_tokens"] == shown["options"]["max_tokens"]
    assert shown["constraint"] is None
    assert "response_format" not in sent


def test_without_inputs_each_predictor_is_shown_as_sent_with_placeholders(workspace: Workspace) -> None:
    prompts = json.loads(run("show", A, "--messages", "--json").stdout)["prompts"]
    sent = json.loads(run("show", A, "--messages", "report={{report}}", "--json").stdout)["messages"]["messages"]
    assert [message["content"] for message in prompts["self"]] == [message["content"] for message in sent]
    assert "{{report}}" in run("show", A, "--messages").stdout


def test_a_class_of_the_users_own_is_shown_without_its_prompt(workspace: Workspace) -> None:
    ts.save("own", Own())
    found = run("show", "own")
    assert found.exit_code == 0
    assert "Note: The prompt cannot be shown here." in found.stdout
    assert "--allow tests.cli.test_show:Own" in found.stdout


def test_frozen_parts_and_tools_are_shown(workspace: Workspace) -> None:
    def look(city: str) -> str:
        """Look up the weather."""
        return city

    program = Own()
    program.step = ts.ReAct(ts.Signature("question -> answer"), tools=[look])  # type: ignore[call-arg]
    program.part = dspy.ChainOfThought("text -> label")
    program.part._compiled = True
    ts.save("own", program)
    text = run("show", "own").stdout
    assert "Predictor part.predict, frozen" in text
    assert "Tools of step\nlook(city): Look up the weather." in text


def test_without_a_model_one_that_takes_every_constraint_is_assumed(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(workspace.folder.parent)
    found = run("show", f"project/{A}", "--messages", "report=x")
    assert found.exit_code == 0
    assert "accepts every constraint" in found.stderr
    assert "streets" in found.stdout.split("Constraint")[1]
    assert run("show", f"project/{A}", "--messages", "report=x", "--quiet").stderr == ""


def test_the_schema_of_the_outputs_is_shown(workspace: Workspace) -> None:
    found = json.loads(run("show", A, "--schema", "--json").stdout)["schema"]["self"]
    assert found["schema"]["properties"]["team"]["enum"] == ["streets", "waste", "water", "parks"]
    assert found["checked_here"] == []
    assert "Outputs of self" in run("show", A, "--schema").stdout


def test_the_tree_of_the_program_is_shown(workspace: Workspace) -> None:
    assert run("show", A, "--tree").stdout.startswith("self: Predict, report -> team: Literal['streets'")
    found = json.loads(run("show", A, "--tree", "--json").stdout)["tree"]
    assert found["mermaid"].startswith("flowchart TD")
    assert found["signature"] in found["text"]


@pytest.mark.parametrize("name", ["manifest.json", "state.json"])
def test_a_changed_byte_is_refused(workspace: Workspace, name: str) -> None:
    file = workspace.folder / A / name
    raw = bytearray(file.read_bytes())
    raw[len(raw) // 2] ^= 1
    file.write_bytes(raw)
    for arguments in (("show", A), ("predict", A, "report=x"), ("eval", A)):
        check_failure(run(*arguments), 1)


def test_where_demos_are_chosen_for_each_call_it_says_how_to_see_what_is_sent(workspace: Workspace) -> None:
    program = ts.Predict("text -> label")
    demos = [ts.Demo({"text": f"a{n}"}, {"label": "b"}) for n in range(4)]
    ts.save("near", Candidate.of(program).with_demos("self", demos, Nearest(k=1)).apply(program))
    way = "`tunesmith show ARTIFACT --messages FIELD=VALUE` shows what is sent for one input."
    assert way in run("show", "near").stdout
    assert way in check_failure(run("show", "near", "--messages"), 2)
    assert "a3" in run("show", "near", "--messages", "text=a3").stdout
