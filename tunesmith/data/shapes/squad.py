"""SQuAD: questions about passages."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tunesmith.data.shapes.registry import register_shape
from tunesmith.data.shapes.shape import Given, Shape

__all__ = ["Squad"]


@register_shape
class Squad(Shape):
    """Rajpurkar et al., 2016 and 2018: articles with `paragraphs`, or flat rows as Hugging Face has them.

    `answers` keeps every answer that the annotators gave, `answer` is the first. An unanswerable question of SQuAD 2.0
    has the answer "" and no answers.
    """

    name = "squad"
    about = "SQuAD 1.1 and 2.0: articles with paragraphs and qas, or rows with context, question and answers"
    signature = "context, question -> answer"

    def fits(self, row: Mapping[str, Any], path: Path) -> bool:
        """Return whether there are paragraphs, or answers with a list of texts."""
        return "paragraphs" in row or _is_flat(row)

    def convert(self, row: Given, path: Path) -> Iterator[dict[str, Any]]:
        """Yield a row for each question."""
        if "paragraphs" not in row.value:
            yield _row(row, row.text("context"), _flat_answers(row), row.text("title", ""))
            return
        title = row.text("title", "")
        for paragraph in row.parts("paragraphs"):
            context = paragraph.text("context")
            for asked in paragraph.parts("qas"):
                yield _row(asked, context, _answers(asked), title)


def _is_flat(row: Mapping[str, Any]) -> bool:
    answers = row.get("answers")
    texts = answers.get("text") if isinstance(answers, Mapping) else None
    return "question" in row and "context" in row and isinstance(texts, (list, tuple))


def _row(asked: Given, context: str, answers: list[str], title: str) -> dict[str, Any]:
    given = {"id": asked.get("id"), "title": title or None}
    found = {name: value for name, value in given.items() if value is not None}
    answer = answers[0] if answers else ""
    return {**found, "context": context, "question": asked.text("question"), "answer": answer, "answers": answers}


def _flat_answers(row: Given) -> list[str]:
    answers = row.part("answers")
    answers.get("answer_start")
    return _distinct(answers, "text", answers.items("text"))


def _answers(asked: Given) -> list[str]:
    impossible, found = asked.get("is_impossible", False), []
    for answer in asked.parts("answers"):
        answer.get("answer_start")
        found.append(answer.text("text"))
    if impossible:
        found = []  # SQuAD 2.0 has `plausible_answers` for it, which are wrong
    elif not found:
        raise asked.wrong("answers", "There is no answer, and `is_impossible` is not true.", asked.get("answers"))
    return list(dict.fromkeys(found))


def _distinct(answers: Given, name: str, texts: list[Any]) -> list[str]:
    for place, text in enumerate(texts):
        if not isinstance(text, str):
            raise answers.wrong(f"{name}[{place}]", "An answer must be text.", text)
    return list(dict.fromkeys(texts))
