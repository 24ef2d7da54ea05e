"""`Predict` and `ChainOfThought`: DSPy's own, under tunesmith's formats."""

import asyncio
import contextlib
import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import dspy
import pytest
from dspy.utils.exceptions import AdapterParseError

from tests.contracts.module import answering, run, run_async
from tests.each import each
from tests.modules.plain_programs import Route
from tunesmith.errors import UsageError
from tunesmith.lm import FunctionLM
from tunesmith.modules import ChainOfThought, Predict, bind, bound_format, with_default_formats

BILL = {"message": "my bill"}


@pytest.mark.parametrize("call", [run, run_async])
def test_predict_uses_bare_for_one_output_and_json_for_several(call: Any) -> None:
    lm = answering()

    assert call(Predict(Route), lm, BILL).queue == "billing"
    assert call(Predict("message -> queue, reason"), lm, BILL).reason == "some words"
    assert lm.requests[0].messages[-1].text == "Message: my bill\nQueue:"
    assert "grammar" in lm.requests[0].config.extensions
    assert "JSON object" in lm.requests[1].system


@pytest.mark.parametrize("call", [run, run_async])
def test_chain_of_thought_reasons_first_in_one_object(call: Any) -> None:
    lm = answering()
    program = ChainOfThought(Route, max_tokens=33)
    found = call(program, lm, BILL)

    assert list(found.toDict()) == ["reasoning", "queue"]
    assert isinstance(program, dspy.ChainOfThought)
    assert isinstance(program.predict, Predict)
    assert [path for path, _ in program.named_predictors()] == ["predict"]
    request = lm.requests[0]
    names = re.findall(r'"\\"(\w+)\\"" ":"', request.config.extensions["grammar"].partition("\n")[0])
    assert names == ["reasoning", "queue"]
    assert request.config.max_tokens == 33
    assert len(lm.requests) == 1


@each("call", [run, run_async])
@each("adapter", [dspy.ChatAdapter, dspy.JSONAdapter, dspy.XMLAdapter])
def test_a_configured_adapter_is_respected(call: Any, adapter: Any) -> None:
    ours, theirs = answering(), answering()
    found = run if call is run else run_async
    for lm, program in ((ours, Predict(Route)), (theirs, dspy.Predict(Route))):
        with contextlib.suppress(AdapterParseError):
            found(program, lm, BILL, adapter=adapter())

    assert ours.requests == theirs.requests


def test_a_binding_wins_over_a_configured_adapter() -> None:
    program, lm = Predict(Route), answering()
    bind(program, "json")

    run(program, lm, BILL, adapter=dspy.ChatAdapter())

    assert "JSON object" in lm.requests[0].system


@each("call", [run, run_async])
@each("given", ["message -> answer", dspy.Signature("message -> answer, reason")])
def test_a_signature_can_be_given_with_the_call(call: Any, given: Any) -> None:
    found = call(Predict(Route), answering(), {**BILL, "signature": given})

    assert found.answer == "some words"


def test_options_and_demos_can_be_given_with_the_call() -> None:
    lm = answering()
    run(
        Predict(Route, temperature=0.1),
        lm,
        {**BILL, "config": {"max_tokens": 9}, "demos": [dspy.Example(message="a", queue="cards")]},
    )

    assert (lm.requests[0].config.temperature, lm.requests[0].config.max_tokens) == (0.1, 9)
    assert [message.text for message in lm.requests[0].messages[:2]] == ["Message: a\nQueue:", "cards"]


def test_an_lm_of_ones_own_is_asked() -> None:
    own, outer = answering(), answering()
    program = Predict(Route)
    program.lm = own
    run(program, outer, BILL)
    run(Predict(Route), outer, {**BILL, "lm": own})

    assert (len(own.requests), len(outer.requests)) == (2, 0)


def test_without_an_lm_dspy_says_what_to_do() -> None:
    with pytest.raises(ValueError, match="No LM is loaded"):
        run(Predict(Route), None, BILL)


def test_binding_can_be_taken_off_again() -> None:
    program = dspy.Predict(Route)
    before = dict(vars(program))
    bind(program, "bare")
    assert bound_format(program) == "bare"
    bind(program, "json")
    assert bound_format(program) == "json"
    bind(program, None)

    assert bound_format(program) is None
    assert vars(program) == before


def test_a_format_is_bound_to_a_predictor_alone() -> None:
    with pytest.raises(UsageError, match="Bind its predictors: predict"):
        bind(ChainOfThought(Route), "json")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="Give a `Predict`"):
        bind("predict", "json")  # type: ignore[arg-type]


def test_default_formats_are_bound_in_a_copy_and_only_where_nothing_is_bound() -> None:
    class Two(dspy.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two = dspy.Predict(Route), dspy.Predict(Route)

    program = Two()
    bind(program.one, "json")
    copied = with_default_formats(program)

    assert [bound_format(p) for _, p in copied.named_predictors()] == ["json", "bare"]
    assert [bound_format(p) for _, p in program.named_predictors()] == ["json", None]


def test_dspys_batch_and_parallel_keep_bindings() -> None:
    program = dspy.Predict(Route)
    bind(program, "bare")
    lm = answering()
    rows = [dspy.Example(message=f"bill {i}").with_inputs("message") for i in range(8)]
    with dspy.context(lm=lm):
        found = program.batch(rows, num_threads=4, disable_progress_bar=True)

    assert [one.queue for one in found] == ["billing"] * 8
    assert sorted(request.messages[-1].text for request in lm.requests) == [
        f"Message: bill {i}\nQueue:" for i in range(8)
    ]


def test_one_predictor_answers_many_threads_and_tasks() -> None:
    lm = FunctionLM(lambda seen: seen.messages[-1][1].removeprefix("Question: ").removesuffix("\nAnswer:") + "!")
    program = Predict("question -> answer")

    async def together() -> list[str]:
        with dspy.context(lm=lm):
            found = await asyncio.gather(*(program.acall(question=f"task {i}") for i in range(20)))
        return [one.answer for one in found]

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda i: run(program, lm, {"question": f"thread {i}"}).answer, range(40)))

    assert found == [f"thread {i}!" for i in range(40)]
    assert asyncio.run(together()) == [f"task {i}!" for i in range(20)]


def test_best_of_n_of_dspy_draws_again() -> None:
    replies = iter(["cards", "billing", "other"])
    lm = FunctionLM(lambda seen: next(replies))
    best = dspy.BestOfN(module=Predict(Route), N=3, reward_fn=lambda _, found: found.queue == "billing", threshold=1.0)

    assert run(best, lm, BILL).queue == "billing"
    assert [request.config.seed for request in lm.requests] == [0, 1]


@pytest.mark.parametrize("call", [run, run_async])
@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"config": 3}, "`config` of a call must be a mapping of request options"),
        ({"config": "hot"}, "`config` of a call must be a mapping of request options"),
        ({"demos": "x"}, "`demos` of a call must be a list of examples"),
        ({"lm": "embedded"}, r"`lm` of a call must be a model, as in `lm=ts.lm\('embedded'\)`. Given: 'embedded'"),
    ],
)
def test_what_a_call_takes_for_itself_has_its_type(call: Any, given: dict[str, Any], words: str) -> None:
    lm = answering()
    with pytest.raises(UsageError, match=words):
        call(Predict(Route), lm, {**BILL, **given})
    assert lm.requests == []


def test_what_would_become_a_request_option_and_is_none_is_refused() -> None:
    with pytest.raises(UsageError, match="belong to the signature"):
        Predict("text -> label", instructions="Sort the text.")
    with pytest.raises(UsageError, match=r"set by `tunesmith.modules.bind\(predict, 'json'\)`. Given: format='xml'"):
        Predict("text -> label", format="xml")
