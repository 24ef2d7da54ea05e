from pathlib import Path
from typing import Any

from markdown_it import MarkdownIt

import tunesmith as ts
from tests.artifacts.export.prompts import FORMATS, check_texts, program, sent
from tests.each import each


def read(text: str) -> list[Any]:
    return MarkdownIt("commonmark").enable("table").parse(text)


@each("name", FORMATS)
def test_a_reader_of_markdown_finds_exactly_the_messages(name: str) -> None:
    def check(instruction: str, demo: str, text: str, more: str) -> None:
        if "\r" in instruction + demo:
            return  # every line end of Markdown is the same
        made = program(name, instruction, demo)
        page = ts.export(made, to="markdown").text
        fences = [token.content.removesuffix("\n") for token in read(page) if token.type == "fence"]
        assert fences[:-1] == [message["content"] for message in sent(made, text="x", count=1, more="x")[:-1]]
        assert "{text" in fences[-1]

    check_texts(name, check)


def test_the_page_has_fields_model_verdict_and_scores(tmp_path: Path) -> None:
    gain = {"mean": 0.25, "low": 0.1, "high": 0.4, "n": 40}
    artifact = ts.save(tmp_path / "a|b", program(), scores={"gain": gain}, verdict="ship")
    page = ts.export(artifact, to="markdown").text
    cells = [token.content for token in read(page) if token.type == "inline"]
    assert cells[0] == r"a\|b"
    for text in ("ship", "0.250 (0.100 to 0.400, n = 40)", "what else"):
        assert text in cells
    assert "## What this page leaves out" in page


def test_a_fence_in_a_message_does_not_end_it() -> None:
    page = ts.export(program("bare", "Use ``` and ````:\n```\nx\n```"), to="markdown").text
    assert "`````text\nUse ``` and ````:\n```\nx\n```" in page
