from pathlib import Path

import tunesmith as ts
from tests.artifacts.export.tuning import agent, files, rows


def test_each_line_has_the_messages_with_the_reply_at_the_end(colours: Path) -> None:
    (row, *_) = rows(colours, "openai")
    assert list(row) == ["messages"]
    assert row["messages"][0]["role"] == "system"
    assert [one["role"] for one in row["messages"][-2:]] == ["user", "assistant"]
    entry = files(colours, "openai")["dataset_info"]["a-run-_openai_train"]
    assert entry["file_name"] == "train.jsonl"
    assert entry["formatting"] == "sharegpt"
    assert set(entry["tags"].values()) >= {"role", "content", "system", "user", "assistant", "tool"}


def test_calls_of_tools_have_openais_form_and_no_entry_that_would_lose_them(called: Path) -> None:
    row = next(row for row in rows(called, "openai", program=agent) if "Peru" in row["messages"][1]["content"])
    call, result = row["messages"][2:4]
    assert call["content"] is None
    assert call["tool_calls"][0]["function"] == {"name": "capital", "arguments": '{"country": "Peru"}'}
    assert result == {"role": "tool", "tool_call_id": call["tool_calls"][0]["id"], "content": "Lima"}
    assert row["messages"][4]["tool_calls"][0]["id"] != call["tool_calls"][0]["id"]
    assert [tool["function"]["name"] for tool in row["tools"]] == ["capital", "letters"]
    assert {tool["type"] for tool in row["tools"]} == {"function"}
    assert set(ts.export(called, to="openai", program=agent).files) <= {"train.jsonl", "eval.jsonl"}
