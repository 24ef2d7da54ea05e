import json
from pathlib import Path

import tunesmith as ts
from tests.artifacts.export.tuning import agent, files, rows


def test_turns_of_people_and_model_alternate_and_the_system_text_is_apart(colours: Path) -> None:
    row = rows(colours, "sharegpt")[0]
    assert list(row) == ["conversations", "system"]
    assert [turn["from"] for turn in row["conversations"]] == ["human", "gpt"] * (len(row["conversations"]) // 2)
    entry = files(colours, "sharegpt")["dataset_info"]["a-run-_sharegpt_train"]
    columns = {"messages": "conversations", "system": "system"}
    assert entry == {"file_name": "train.json", "formatting": "sharegpt", "columns": columns}


def test_a_run_of_react_is_one_conversation_with_its_calls(called: Path) -> None:
    row = next(row for row in rows(called, "sharegpt", program=agent) if "Peru" in row["conversations"][0]["value"])
    assert [(turn["from"], turn["value"]) for turn in row["conversations"]] == [
        ("human", "Country: Peru\nCity:"),
        ("function_call", '{"name": "capital", "arguments": {"country": "Peru"}}'),
        ("observation", "Lima"),
        ("function_call", '{"name": "letters", "arguments": {"text": "Lima"}}'),
        ("observation", "4"),
        ("gpt", "Lima"),
    ]
    assert row["system"] == "Name the capital."
    tools = json.loads(row["tools"])
    assert [tool["name"] for tool in tools] == ["capital", "letters"]
    assert tools[1]["parameters"]["properties"]["most"]["type"] == "integer"


def test_the_entry_names_the_tools_and_no_call_is_masked(called: Path) -> None:
    found = files(called, "sharegpt", program=agent)
    assert found["dataset_info"]["agent_sharegpt_train"]["columns"]["tools"] == "tools"
    assert not any("mask_history" in line for line in found["lora"])


def test_runs_in_which_a_call_failed_are_left_out(called: Path) -> None:
    found = ts.export(called, to="sharegpt", program=agent)
    assert not any("Cuba" in text for text in found.files.values())
    assert "replies of runs in which a call of a tool failed: 1" in found.notes[1]


def test_the_steps_can_be_had_as_they_were_sent_but_not_those_whose_call_failed(called: Path) -> None:
    found = rows(called, "sharegpt", program=agent, tool_calls=False)
    assert found == rows(called, "sharegpt", program=agent, tool_calls=False)
    assert {turn["from"] for row in found for turn in row["conversations"]} == {"human", "gpt"}
    assert not any("tools" in row for row in found)
    steps = [json.loads(row["conversations"][-1]["value"])["action"] for row in found]
    assert {step["tool"] for step in steps} == {"capital", "letters", "finish"}
    assert {"country": "Kuba"} not in [step["arguments"] for step in steps]
