"""What every prompt format promises. Subclass `FormatContract`, or `OwnFormatContract` for tunesmith's own formats."""

import asyncio
import copy
import itertools
import json
from collections.abc import Callable, Sequence
from typing import Any

import dspy
import pytest
from dspy.lm15 import response_to_events
from dspy.utils.callback import BaseCallback
from dspy.utils.exceptions import AdapterParseError
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.each import each
from tests.scale import FULL, scaled
from tests.strategies import CASES, MARKERS, Case, by_name, junk_replies, plain_text
from tunesmith.errors import FormatError, ParseError
from tunesmith.formats import BareFormat, Format, carries, format_names, get_format
from tunesmith.lm import LM, Capabilities, FunctionLM, Request, ScriptedLM, message_text, text_response
from tunesmith.modules import bind
from tunesmith.signatures import is_plain, render_json

MODES = {
    "none": Capabilities(),
    "schema": Capabilities(frozenset({"json_schema"})),
    "grammar": Capabilities(frozenset({"json_schema", "grammar"})),
}
TEXTUAL = tuple(name for name in format_names() if carries(name, by_name("Poem").signature))
"""The formats that carry a text; `scored` carries labels only."""
CUTS = 4
"""At least at so many places a reply is cut."""
MEGABYTE = 1_000_000 if FULL else 100_000
HUGE = {
    "empty": "",
    "white space": " \n\t\r",
    "letters": "x" * MEGABYTE,
    "digits": "~" + "9" * MEGABYTE,
    "deep lists": "[" * MEGABYTE,
    "deep objects": '{"a":' * (MEGABYTE // 5),
    "closed lists": "[" * 100_000 + "]" * 100_000,
    "open text": '"' + "x" * MEGABYTE,
    "zeros": "\x00" * 1000,
    "binary": bytes(range(256)).decode("latin-1") * 1000,
    "surrogates": "\ud800\udfff" * 1000,
    "not a number": "NaN",
    "long exponent": "1e" + "9" * 1000,
}


def distinct_modes(name: str, signature: type[dspy.Signature], modes: Sequence[str] = tuple(MODES)) -> list[str]:
    """Return the modes in which a format asks for a reply in different ways: the first of each way."""
    found = get_format(name)
    if not isinstance(found, Format):
        return list(modes)
    ways = {found.mode(signature, MODES[mode]): mode for mode in reversed(modes)}
    return [mode for mode in modes if mode in ways.values()]


by_case = each("case", CASES, ids=lambda case: case.name)


def predictor(case: Case, format_name: str, *demos: dict[str, Any]) -> dspy.Predict:
    """Return a predictor bound to the format, with those demos."""
    found = dspy.Predict(case.signature)
    found.demos = [dspy.Example(**demo).with_inputs("text") for demo in demos]
    bind(found, format_name)
    return found


def echo(mode: str = "grammar") -> LM:
    """Return an LM that answers exactly what its last demo answers."""
    return FunctionLM(lambda seen: seen.messages[-2][1], capabilities=MODES[mode])


def reply_of(case: Case, format_name: str, mode: str, values: dict[str, Any]) -> str:
    """Return the reply that holds `values`, as the format shows it in a demo, or as JSON if a schema holds it."""
    found, lm = get_format(format_name), echo(mode)
    ((name, value), *rest) = values.items()
    by_schema = isinstance(found, BareFormat) and found.mode(case.signature, MODES[mode]) == "schema"
    if by_schema and not rest and is_plain(case.signature, name):
        return json.dumps(render_json(case.signature, name, value), ensure_ascii=False)
    with dspy.context(lm=lm):
        predictor(case, format_name, {"text": "a", **values})(text="b")
    return lm.requests[0].messages[-2].text


def ask(lm: Any, program: dspy.Module, **inputs: Any) -> dspy.Prediction:
    with dspy.context(lm=lm):
        return program(**inputs)


def refuses(lm: Any, program: dspy.Module) -> bool:
    """Return whether a call ends in `FormatError`."""
    try:
        ask(lm, program, text="b")
    except FormatError:
        return True
    return False


def ask_async(lm: Any, program: dspy.Module, **inputs: Any) -> dspy.Prediction:
    async def run() -> dspy.Prediction:
        with dspy.context(lm=lm):
            return await program.acall(**inputs)

    return asyncio.run(run())


def same(found: Any, given: Any) -> bool:
    """Return whether two outputs are equal up to the outer white space of texts."""
    if isinstance(found, str) and isinstance(given, str):
        return found.strip() == given.strip()
    return type(found) is type(given) and found == given


def assert_outputs(prediction: dspy.Prediction, values: dict[str, Any]) -> None:
    for name, value in values.items():
        assert same(prediction[name], value), f"{name}: {prediction[name]!r} for {value!r}"


def _known(usage: dict[str, Any]) -> dict[str, Any]:
    return {name: count for name, count in usage.items() if count is not None}


class Listener(BaseCallback):
    """Keeps the names of events, and what was formatted."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.messages: list[Any] = []

    def on_module_start(self, call_id: str, instance: Any, inputs: Any) -> None:
        self.events.append("module")

    def on_adapter_format_start(self, call_id: str, instance: Any, inputs: Any) -> None:
        self.events.append("format")

    def on_adapter_format_end(self, call_id: str, outputs: Any, exception: Any = None) -> None:
        self.messages.append(outputs)

    def on_lm_start(self, call_id: str, instance: Any, inputs: Any) -> None:
        self.events.append("lm")

    def on_adapter_parse_start(self, call_id: str, instance: Any, inputs: Any) -> None:
        self.events.append("parse")


class CustomEngine:
    """An engine as a user of DSPy writes one."""

    def __init__(self, reply: str) -> None:
        self.reply, self.requests = reply, []

    def complete(self, request: Request) -> Any:
        self.requests.append(request)
        return text_response(self.reply, model=request.model)

    def stream(self, request: Request) -> Any:
        return response_to_events(self.complete(request))

    def close(self) -> None:
        pass


class CustomAsyncEngine:
    def __init__(self, engine: CustomEngine) -> None:
        self.engine = engine

    async def complete(self, request: Request) -> Any:
        return self.engine.complete(request)

    async def aclose(self) -> None:
        pass


class OldLM(dspy.BaseLM):
    """An LM as users of earlier versions of DSPy wrote one."""

    def __init__(self, reply: str) -> None:
        super().__init__("old")
        self.reply, self.seen = reply, []

    def forward(self, prompt: Any = None, messages: Any = None, **kwargs: Any) -> Any:
        self.seen.append(messages)
        message = dspy.dsp.utils.dotdict(content=self.reply, role="assistant")
        choice = dspy.dsp.utils.dotdict(message=message, finish_reason="stop")
        return dspy.dsp.utils.dotdict(choices=[choice], usage={}, model="old")

    async def aforward(self, prompt: Any = None, messages: Any = None, **kwargs: Any) -> Any:
        return self.forward(prompt, messages, **kwargs)


class Verbatim(dspy.ChatAdapter):
    """Lets dspy's `DummyLM` say a text as it stands."""

    def format_field_with_value(self, fields_with_values: Any) -> str:
        return next(iter(fields_with_values.values()))


class FormatContract:
    """One class per format.

    `carried` are the cases it can carry, `free` those of which any text is a good reply, `lossy` those of which
    values change on the way, `hostile` says whether it carries texts of any content.
    """

    name: str
    carried: Sequence[str] = tuple(case.name for case in CASES)
    free: Sequence[str] = ()
    lossy: Sequence[str] = ()
    hostile = True
    modes: Sequence[str] = tuple(MODES)

    def carried_cases(self) -> list[Case]:
        """Return the cases that the format carries."""
        return [case for case in CASES if case.name in self.carried]

    def distinct_modes(self, case: Case) -> list[str]:
        """Return the modes in which a reply to the case is asked for in different ways: the first of each way."""
        return distinct_modes(self.name, case.signature, self.modes)

    def sample(self) -> Case:
        """Return a case of which not every text is a good reply."""
        return by_name("Sentiment")

    def reply(self, mode: str = "grammar", **values: Any) -> str:
        """Return a good reply to the sample."""
        return reply_of(self.sample(), self.name, mode, values or self.sample().good)

    def answering(self) -> LM:
        """Return an LM that gives a good reply to the sample."""
        reply = self.reply()
        return FunctionLM(lambda seen: reply)

    def test_it_is_one_instance_and_copies_are_it(self) -> None:
        found = get_format(self.name)

        assert copy.deepcopy(found) is found
        assert self.name in repr(found)
        assert type(found)().name == self.name

    def test_it_says_what_it_carries(self) -> None:
        assert [case.name for case in CASES if carries(self.name, case.signature)] == list(self.carried)

    @by_case
    def test_what_is_rendered_is_read_back(self, case: Case) -> None:
        if case.name in self.lossy:
            return
        if case.name not in self.carried:
            lm = echo()
            with pytest.raises(FormatError):
                ask(lm, predictor(case, self.name, {"text": "a", **case.good}), text="b")
            assert lm.requests == []
            return

        modes = self.distinct_modes(case)

        @settings(max_examples=scaled(40))
        @given(case.outputs if self.hostile else st.just(case.good))
        @example(case.good)
        def check(values: dict[str, Any]) -> None:
            program = predictor(case, self.name, {"text": "a", **values})
            for mode in modes:
                lm = echo(mode)
                found = ask(lm, program, text="b")
                assert_outputs(found, values)
                assert len(lm.requests) == 1

        check()

    @each("junk", HUGE.values(), ids=HUGE)
    def test_junk_of_any_size_is_a_parse_error(self, junk: str) -> None:
        modes = self.distinct_modes(self.sample())
        for mode in modes if FULL else [modes[[*HUGE.values()].index(junk) % len(modes)]]:
            lm = ScriptedLM(junk, capabilities=MODES[mode])
            with pytest.raises(ParseError) as caught:
                ask(lm, predictor(self.sample(), self.name), text="a")
            assert isinstance(caught.value, AdapterParseError)
            assert caught.value.reason in {"empty", "truncated", "syntax", "missing", "invalid"}
            assert len(str(caught.value)) < 1_000
            assert len(lm.requests) == 1

    def test_generated_junk_is_a_parse_error(self) -> None:
        cases = [case for case in self.carried_cases() if case.name not in self.free]
        programs = [predictor(case, self.name) for case in cases]
        assert programs

        @settings(max_examples=scaled(60))
        @given(junk_replies())
        def check(junk: str) -> None:
            for program in programs:
                lm = ScriptedLM(junk)
                with pytest.raises(ParseError) as caught:
                    ask(lm, program, text="a")
                assert isinstance(caught.value, AdapterParseError)
                assert len(lm.requests) == 1

        check()

    @each("call", [ask, ask_async])
    def test_a_prediction_is_one_call_also_when_the_reply_is_bad(self, call: Callable[..., Any]) -> None:
        lm = ScriptedLM("~~~", self.reply())
        program = predictor(self.sample(), self.name)

        with pytest.raises(ParseError):
            call(lm, program, text="a")
        assert len(lm.requests) == 1
        assert_outputs(call(lm, program, text="a"), self.sample().good)
        assert len(lm.requests) == 2

    def test_sync_and_async_send_and_return_the_same(self) -> None:
        lm = self.answering()
        program = predictor(self.sample(), self.name, {"text": "a", **self.sample().good})

        first, second = ask(lm, program, text="b"), ask_async(lm, program, text="b")

        assert first.toDict() == second.toDict()
        assert lm.requests[0] == lm.requests[1]

    def test_two_draws_are_two_calls(self) -> None:
        case = by_name("Sentiment")
        replies = [reply_of(case, self.name, "grammar", {"mood": mood}) for mood in ("positive", "negative")]
        program = predictor(case, self.name)
        for call in (ask, ask_async):
            lm = ScriptedLM(*replies)
            found = call(lm, program, text="a", config={"n": 2})

            assert found.completions.mood == ["positive", "negative"]
            assert len(lm.requests) == 2

    @each("call", [ask, ask_async])
    def test_callbacks_hear_each_step_once_and_change_nothing(self, call: Callable[..., Any]) -> None:
        lm, listener = self.answering(), Listener()
        program = predictor(self.sample(), self.name, {"text": "a", **self.sample().good})
        silent = call(lm, program, text="b")

        with dspy.context(callbacks=[listener]):
            heard = call(lm, program, text="b")

        assert listener.events == ["module", "format", "lm", "parse"]
        assert heard.toDict() == silent.toDict()
        assert lm.requests[0] == lm.requests[1]

    def test_callbacks_hear_of_a_reply_that_cannot_be_read(self) -> None:
        listener = Listener()
        with dspy.context(callbacks=[listener]), pytest.raises(ParseError):
            ask(ScriptedLM("~~~"), predictor(self.sample(), self.name), text="b")

        assert listener.events == ["module", "format", "lm", "parse"]

    def test_history_and_trace_are_kept_with_and_without_callbacks(self) -> None:
        lm = self.answering()
        program = predictor(self.sample(), self.name, {"text": "a", **self.sample().good})
        with dspy.context(trace=[]):
            ask(lm, program, text="b")
            with dspy.context(callbacks=[Listener()]):
                ask(lm, program, text="b")
            trace = list(dspy.settings.trace)

        assert [(step, inputs) for step, inputs, _ in trace] == [(program, {"text": "b"})] * 2
        assert trace[0][2].toDict() == trace[1][2].toDict()
        assert len(lm.history) == len(program.history) == 2
        quiet, loud = ({k: v for k, v in entry.items() if k not in {"uuid", "timestamp"}} for entry in lm.history)
        assert _known(quiet.pop("usage")) == _known(loud.pop("usage"))
        loud.setdefault("cost_details", None)
        # DSPy's own path shows log-probabilities beside the text; in ours they stand in the response alone.
        loud["outputs"] = [out if isinstance(out, str) else out["text"] for out in loud["outputs"]]
        assert {"cost_details": loud["cost_details"], **quiet} == loud
        assert quiet["outputs"] == [self.reply()]
        assert quiet["messages"][0]["role"] == "system"
        assert quiet["messages"][-1] == {"role": "user", "content": message_text(lm.requests[0].messages[-1])}

    def test_no_history_is_kept_where_the_caller_wants_none(self) -> None:
        lm = self.answering()
        with dspy.context(disable_history=True):
            ask(lm, predictor(self.sample(), self.name), text="b")

        assert lm.history == []

    def test_dspys_dummy_lm_works(self) -> None:
        lm = dspy.utils.DummyLM([{"any": self.reply("none")}], adapter=Verbatim())

        assert_outputs(ask(lm, predictor(self.sample(), self.name), text="b"), self.sample().good)

    @each("call", [ask, ask_async])
    def test_an_lm_with_an_engine_of_the_users_works(self, call: Callable[..., Any]) -> None:
        engine = CustomEngine(self.reply("none"))
        lm = dspy.LM("mine", engine=engine, async_engine=CustomAsyncEngine(engine), cache=False, temperature=0.3)

        assert_outputs(call(lm, predictor(self.sample(), self.name), text="b"), self.sample().good)
        assert [request.config.temperature for request in engine.requests] == [0.3]
        assert len(lm.history) == 1

    @pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
    @each("call", [ask, ask_async])
    def test_an_lm_of_the_old_kind_works(self, call: Callable[..., Any]) -> None:
        lm = OldLM(self.reply("none"))

        assert_outputs(call(lm, predictor(self.sample(), self.name), text="b"), self.sample().good)
        assert [message["role"] for message in lm.seen[0]] == ["system", "user"]

    def test_streamify_without_listeners_works(self) -> None:
        lm = self.answering()
        program = predictor(self.sample(), self.name)

        async def run() -> list[Any]:
            with dspy.context(lm=lm):
                return [chunk async for chunk in dspy.streamify(program)(text="b")]

        chunks = asyncio.run(run())

        assert isinstance(chunks[-1], dspy.Prediction)
        assert_outputs(chunks[-1], self.sample().good)
        assert len(lm.requests) == 1


class OwnFormatContract(FormatContract):
    """What only tunesmith's own formats promise."""

    def test_a_demo_turn_looks_like_the_final_turn(self) -> None:
        for case, mode in itertools.product(self.carried_cases(), self.modes):
            lm = echo(mode)
            ask(lm, predictor(case, self.name, {"text": "a\nb", **case.good}), text="a\nb")
            first, _, last = lm.requests[0].messages
            assert first == last, f"{case.name}, {mode}"

    def test_a_value_that_cannot_be_carried_never_reaches_the_engine(self) -> None:
        for case, mode in itertools.product(self.carried_cases(), self.modes):
            assert case.bad
            for values in case.bad:
                program, lm = predictor(case, self.name, {"text": "a", **case.good, **values}), echo(mode)
                assert refuses(lm, program), f"{case.name}, {mode}: {values}"
                assert lm.requests == []

    @each(
        "value",
        [object(), {1: object()}, float("nan"), [float("inf")], dspy.Image(url="data:image/png;base64,AAAA")],
        ids=["object", "nested object", "nan", "infinity", "image"],
    )
    def test_an_input_that_cannot_be_carried_never_reaches_the_engine(self, value: Any) -> None:
        lm = self.answering()
        for program, text in (
            (predictor(self.sample(), self.name), value),
            (predictor(self.sample(), self.name, {"text": value, **self.sample().good}), "b"),
        ):
            with pytest.raises(FormatError):
                ask(lm, program, text=text)
        assert lm.requests == []

    def test_an_input_that_holds_itself_never_reaches_the_engine(self) -> None:
        loop: list[Any] = []
        loop.append(loop)
        lm = self.answering()
        with pytest.raises(FormatError):
            ask(lm, predictor(self.sample(), self.name), text=loop)
        assert lm.requests == []

    @by_case
    def test_a_reply_that_was_cut_before_its_end_is_truncated(self, case: Case) -> None:
        if case.name not in self.carried:
            return
        program = predictor(case, self.name)
        modes = self.distinct_modes(case)
        for number, mode in enumerate(modes):
            whole = reply_of(case, self.name, mode, case.good)
            step = max(1, len(whole) // max(CUTS, scaled(50)))
            first = number * step // len(modes)  # so that the modes are cut at places of their own
            for end in {0, *range(first, len(whole), step), len(whole) - 1}:
                lm = ScriptedLM(text_response(whole[:end], model="m", finish_reason="length"), capabilities=MODES[mode])
                with pytest.raises(ParseError) as caught:
                    ask(lm, program, text="a")
                assert caught.value.reason == "truncated", whole[:end]

    def test_what_callbacks_are_shown_is_what_is_sent(self) -> None:
        program = predictor(self.sample(), self.name, {"text": "a", **self.sample().good})
        for mode in self.modes:
            listener, lm = Listener(), echo(mode)
            with dspy.context(callbacks=[listener]):
                ask(lm, program, text="b")
            request = lm.requests[0]
            sent = [{"role": "system", "content": request.system}]
            sent += [{"role": m.role, "content": message_text(m)} for m in request.messages]
            assert listener.messages == [sent]

    def test_no_demo_reply_in_json_holds_a_turn_marker(self) -> None:
        @settings(max_examples=scaled(200))
        @given(plain_text())
        def check(text: str) -> None:
            reply = reply_of(by_name("Tags"), self.name, "schema", {"tags": [text]})
            assert not [marker for marker in MARKERS if marker.casefold() in reply.casefold()]

        check()

    def test_two_draws_have_seeds_of_their_own(self) -> None:
        program = predictor(self.sample(), self.name)
        for call in (ask, ask_async):
            lm = self.answering()
            call(lm, program, text="a", config={"n": 2})
            with dspy.context(callbacks=[Listener()]):
                call(lm, program, text="a", config={"n": 2})

            assert [request.config.seed for request in lm.requests] == [0, 1, 0, 1]
