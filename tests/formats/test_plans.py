"""A rendered prefix is used again only for what it was rendered from."""

import gc
import itertools
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import dspy
import pytest
from pydantic import BaseModel

from tests.contracts.format import CustomEngine
from tests.scale import scaled
from tunesmith.formats import get_format
from tunesmith.lm import LM, Capabilities, FunctionLM, ReplyCache, Request, message_text
from tunesmith.modules import bind

QA = dspy.Signature("question -> answer", "Answer.")


class Point(BaseModel):
    x: Any = 0


def fresh(request: Request) -> tuple[Any, ...]:
    """Return what a request says, as values to compare."""
    return request.system, tuple((m.role, message_text(m)) for m in request.messages), request.config


def sent_by(lm: LM, program: dspy.Module, **inputs: Any) -> Request:
    with dspy.context(lm=lm):
        program(**inputs)
    return lm.requests[-1]


def rendered(program: dspy.Predict, lm: LM, **inputs: Any) -> tuple[Any, ...]:
    """Return what a format that never saw anything else would send."""
    with dspy.context(adapter=type(get_format("json"))()):
        other = dspy.Predict(program.signature, **program.config)
        other.demos = program.demos
        return fresh(sent_by(lm, other, **inputs))


def json_predictor(signature: Any = QA, **config: Any) -> dspy.Predict:
    found = dspy.Predict(signature, **config)
    bind(found, "json")
    return found


def free_lm(**kwargs: Any) -> LM:
    return FunctionLM(lambda seen: '{"answer": "yes"}', **kwargs)


def assert_fresh(program: dspy.Predict, lm: LM) -> tuple[Any, ...]:
    found = fresh(sent_by(lm, program, question="?"))
    assert found == rendered(program, lm, question="?")
    return found


def test_changed_demos_are_seen() -> None:
    lm, program = free_lm(), json_predictor()
    seen = [assert_fresh(program, lm)]
    demo = dspy.Example(question="one", answer="1")
    program.demos = [demo]
    seen.append(assert_fresh(program, lm))
    demo.answer = "I"
    seen.append(assert_fresh(program, lm))
    program.demos.append({"question": "two", "answer": "2"})
    seen.append(assert_fresh(program, lm))
    program.demos[1]["question"] = "zwei"
    seen.append(assert_fresh(program, lm))
    program.demos.reverse()
    seen.append(assert_fresh(program, lm))
    del program.demos[1]
    seen.append(assert_fresh(program, lm))

    assert len({(system, messages) for system, messages, _ in seen}) == len(seen)


def test_values_changed_inside_of_a_demo_are_seen() -> None:
    class Listed(dspy.Signature):
        """List."""

        question: list[str] = dspy.InputField()
        points: list[Point] = dspy.OutputField()

    lm = FunctionLM(lambda seen: '{"points": []}')
    words, points = ["a"], [Point(x=1)]
    program = json_predictor(Listed)
    program.demos = [dspy.Example(question=words, points=points)]

    def texts() -> list[str]:
        return [message_text(m) for m in sent_by(lm, program, question=[]).messages[:2]]

    first = texts()
    words.append("b")
    assert texts() == ['Question: ["a", "b"]', first[1]]
    points.append(Point(x=2))
    assert texts()[1] == '{"points": [{"x": 1}, {"x": 2}]}'
    points[0].x = [3]
    assert texts()[1] == '{"points": [{"x": [3]}, {"x": 2}]}'
    points[0].x.append(4)
    assert texts()[1] == '{"points": [{"x": [3, 4]}, {"x": 2}]}'


def test_values_that_are_equal_but_written_otherwise_are_told_apart() -> None:
    signature = dspy.Signature({"question": (Any, dspy.InputField()), "answer": (str, dspy.OutputField())})
    lm = free_lm()
    program = json_predictor(signature)
    texts = []
    for value in (1, True, 1.0, "1", [1], [True], [1.0], (1,), {"a": 0}, {"a": False}, 0.0, -0.0, None, "null"):
        program.demos = [dspy.Example(question=value, answer="yes")]
        texts.append(message_text(sent_by(lm, program, question="?").messages[0]))

    assert texts == [
        "Question: 1",
        "Question: true",
        "Question: 1.0",
        'Question: "1"',
        "Question: [1]",
        "Question: [true]",
        "Question: [1.0]",
        "Question: [1]",
        'Question: {"a": 0}',
        'Question: {"a": false}',
        "Question: 0.0",
        "Question: -0.0",
        "Question: null",
        'Question: "null"',
    ]


def test_changed_instructions_are_seen() -> None:
    lm, program = free_lm(), json_predictor()
    assert_fresh(program, lm)
    program.signature = program.signature.with_instructions("Answer in French.")
    assert assert_fresh(program, lm)[0].startswith("Answer in French.")
    program.signature.instructions = "Answer in Latin."
    assert assert_fresh(program, lm)[0].startswith("Answer in Latin.")


def test_changed_options_are_seen() -> None:
    lm, program = free_lm(temperature=0.1), json_predictor(stop=["A"])
    assert assert_fresh(program, lm)[2].stop == ("A",)
    program.config["stop"].append("B")
    assert assert_fresh(program, lm)[2].stop == ("A", "B")
    program.config["max_tokens"] = 7
    assert assert_fresh(program, lm)[2].max_tokens == 7
    lm.kwargs["temperature"] = 0.2
    assert assert_fresh(program, lm)[2].temperature == 0.2
    assert assert_fresh(program, lm.copy(temperature=0.3))[2].temperature == 0.3
    program.config["temperature"] = 0
    assert assert_fresh(program, lm)[2].temperature == 0
    program.config["logprobs"] = True
    assert assert_fresh(program, lm)[2].logprobs == 5
    program.config["logprobs"] = 1
    assert assert_fresh(program, lm)[2].logprobs == 1
    program.config["rollout_id"] = 3
    assert assert_fresh(program, lm)[2].seed == 3


def test_a_model_of_the_same_name_gets_what_it_can_take() -> None:
    program = json_predictor()
    able, unable = free_lm(), free_lm(capabilities=Capabilities())
    engine = CustomEngine('{"answer": "yes"}')
    foreign = dspy.LM("function", engine=engine, cache=False)
    foreign.kwargs = dict(able.kwargs)
    for lm in (able, unable, foreign, able, foreign, unable):
        with dspy.context(lm=lm):
            program(question="?")

    assert all("grammar" in (request.config.extensions or {}) for request in able.requests)
    assert all("grammar" not in (request.config.extensions or {}) for request in unable.requests + engine.requests)
    assert {request.config.max_tokens for request in able.requests + unable.requests} == {512}
    assert {request.config.max_tokens for request in engine.requests} == {None}


def test_many_demo_sets_in_turn_are_never_mixed_up() -> None:
    lm, program = free_lm(), json_predictor()
    sets = [[dspy.Example(question=f"q{i}", answer=f"a{j}") for j in range(i % 4)] for i in range(40)]
    for demos in itertools.chain(sets, reversed(sets), sets[:3] * 5):
        program.demos = demos
        messages = sent_by(lm, program, question="?").messages
        assert [message_text(m) for m in messages[:-1]] == [
            text for demo in demos for text in (f"Question: {demo.question}", f'{{"answer": "{demo.answer}"}}')
        ]


@pytest.mark.parametrize("cached", [False, True])
def test_eight_threads_always_send_the_right_prompt(cached: bool, tmp_path: Any) -> None:
    def answer(seen: Any) -> str:
        """Answer with the demos' answer and the question, so that a wrong prompt gives a wrong answer."""
        return f'{{"answer": "{seen.messages[1][1][12:-2]} {seen.text.removeprefix("Question: ")} {seen.system[:6]}"}}'

    lm = FunctionLM(answer, cache=ReplyCache(tmp_path) if cached else None)
    shared = [json_predictor(QA.with_instructions(f"Rule {i}.")) for i in range(3)]

    def work(number: int) -> bool:
        program = shared[number % 3].deepcopy() if number % 2 else json_predictor(shared[number % 3].signature)
        program.demos = [dspy.Example(question="q", answer=f"demo{number % 5}")]
        with dspy.context(lm=lm):
            found = program(question=f"{number % 7}").answer
        return found == f"demo{number % 5} {number % 7} Rule {number % 3}"

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(scaled(8_000))))


def test_partial_demos_stand_before_whole_ones_and_useless_ones_nowhere() -> None:
    two = dspy.Signature("question -> reasoning, answer", "Answer.")
    lm = FunctionLM(lambda seen: '{"reasoning": "r", "answer": "a"}')
    program = json_predictor(two)
    program.demos = [
        dspy.Example(question="whole", reasoning="r", answer="a", augmented=True),
        dspy.Example(question="no output"),
        dspy.Example(question="partial", answer="a"),
        dspy.Example(answer="no input"),
    ]
    texts = [message_text(m) for m in sent_by(lm, program, question="?").messages]

    assert texts == [
        "Question: partial",
        '{"answer": "a"}',
        "Question: whole",
        '{"reasoning": "r", "answer": "a"}',
        "Question: ?",
    ]


def test_prefixes_of_signatures_that_are_gone_are_dropped() -> None:
    gc.freeze()  # what there was before need not be looked at
    found = type(get_format("json"))()
    lm = free_lm()
    for i in range(20):
        with dspy.context(lm=lm, adapter=found, trace=None):
            dspy.Predict(QA.with_instructions(f"{i}"))(question="?")
    gc.collect()
    gc.unfreeze()
    assert len(found._plans._found) <= 1
