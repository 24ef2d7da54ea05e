import json
from typing import Any

import dspy

import tunesmith as ts
from tests.each import each
from tests.serve.front import asked, served

USER = {"role": "user", "content": "2 + 2?"}


def chat(**body: object) -> object:
    service = served(lambda _: "four it is", program=ts.Predict("question -> answer"))
    return asked(service, lambda c: c.post("/v1/chat/completions", json={"messages": [USER], **body}))


def test_the_answer_is_the_programs_output() -> None:
    found = chat(model="default").json()
    assert found["choices"] == [
        {"index": 0, "message": {"role": "assistant", "content": "four it is"}, "finish_reason": "stop"}
    ]
    assert found["object"] == "chat.completion"
    assert found["usage"]["completion_tokens"] == 3


def test_a_stream_joins_to_the_answer_and_ends_with_done() -> None:
    found = chat(stream=True, stream_options={"include_usage": True})
    *pieces, done = [line.removeprefix("data: ") for line in found.text.strip().split("\n\n")]
    read = [json.loads(piece) for piece in pieces]
    assert "".join(p["choices"][0]["delta"].get("content", "") for p in read if p["choices"]) == "four it is"
    assert read[-2]["choices"][0]["finish_reason"] == "stop"
    assert read[-1]["usage"]["completion_tokens"] == 3
    assert done == "[DONE]"


def test_what_is_not_used_is_named() -> None:
    found = chat(messages=[{"role": "system", "content": "Be brief."}, USER], temperature=0.5)
    assert found.json()["ignored"] == ["messages[0]", "temperature"]


@each(
    "body, status",
    [
        ({"model": "gpt"}, 404),
        ({"n": 2}, 422),
        ({"tools": [{"type": "function"}]}, 422),
        ({"messages": []}, 422),
        ({"messages": [{"role": "assistant", "content": "x"}]}, 422),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, 422),
    ],
)
def test_what_a_program_cannot_do_is_refused(body: dict[str, object], status: int) -> None:
    assert chat(**body).status_code == status


def test_a_text_in_parts_is_one_text() -> None:
    parts = [{"type": "text", "text": "2 +"}, {"type": "text", "text": " 2?"}]
    assert chat(messages=[{"role": "user", "content": parts}]).status_code == 200


def test_a_program_with_other_fields_is_no_chat_model() -> None:
    service = served()  # its output is a label
    found = asked(service, lambda c: c.post("/v1/chat/completions", json={"messages": [USER]}))
    assert found.status_code == 404
    assert "one text input and one text output" in found.json()["error"]["message"]


class Talk(dspy.Signature):
    """Answer the guest."""

    history: dspy.History = dspy.InputField()
    question: str = dspy.InputField(max_length=20)
    answer: str = dspy.OutputField()


def test_earlier_questions_and_answers_are_the_history_of_a_program_that_takes_one() -> None:
    seen: list[Any] = []

    def answer(request: Any) -> str:
        seen.append(list(request.messages))
        return "at noon"

    said = [("system", "Be brief."), ("user", "Hm?"), ("user", "Breakfast?"), ("assistant", "Yes."), ("user", "When?")]
    body = {"messages": [{"role": role, "content": text} for role, text in said]}
    found = asked(served(answer, program=ts.Predict(Talk)), lambda c: c.post("/v1/chat/completions", json=body)).json()
    assert found["choices"][0]["message"]["content"] == "at noon"
    assert found["ignored"] == ["messages[0]", "messages[1]"]
    before = ts.render(
        ts.Predict(Talk),
        history=dspy.History(messages=[{"question": "Breakfast?", "answer": "Yes."}]),
        question="When?",
    )
    assert seen == [[(one["role"], one["content"]) for one in before.messages if one["role"] != "system"]]


def test_a_question_keeps_the_bounds_of_its_field() -> None:
    body = {"messages": [{"role": "user", "content": "Is there any breakfast?"}]}
    found = asked(served(program=ts.Predict(Talk)), lambda c: c.post("/v1/chat/completions", json=body))
    assert (found.status_code, found.json()["error"]["field"]) == (422, "question")


def test_each_model_is_told_by_its_name() -> None:
    service = served(program=ts.Predict("question -> answer"))
    found = asked(service, lambda c: c.get("/v1/models/default")).json()
    assert found == asked(service, lambda c: c.get("/v1/models")).json()["data"][0]
    assert asked(service, lambda c: c.get("/v1/models/gpt")).status_code == 404


def test_a_program_that_abstains_says_nothing() -> None:
    service = served(program=ts.RAG(ts.BM25(["Oslo is in Norway."])))
    body = {"messages": [{"role": "user", "content": "Rome?"}]}
    found = asked(service, lambda c: c.post("/v1/chat/completions", json=body)).json()
    assert found["choices"][0]["message"] == {"role": "assistant", "content": None}
    stream = asked(service, lambda c: c.post("/v1/chat/completions", json={**body, "stream": True})).text
    assert "None" not in stream
    assert stream.endswith("data: [DONE]\n\n")
