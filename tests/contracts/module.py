"""What every program keeps when it is compiled, bound, copied and rendered."""

import asyncio
import contextlib
import copy
import json
import re
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import dspy
import pytest
from pydantic import TypeAdapter
from pydantic_core import to_json

import tunesmith as ts
from tests.each import each
from tests.evaluation.replies import object_names
from tests.scale import FULL
from tunesmith.errors import BudgetExceeded, ParseError
from tunesmith.evaluation import evaluate
from tunesmith.lm import LM, Budget, Capabilities, FunctionLM, Meter, Seen, StopSignal, metered
from tunesmith.modules import (
    Candidate,
    Contract,
    Finished,
    bound_format,
    program_fingerprint,
    program_structure,
    render,
    stream,
    with_default_formats,
)
from tunesmith.modules.flow import BUDGET
from tunesmith.signatures import Demo

_MARKED = {"queue": "billing", "next_tool_name": "finish", "next_tool_args": "{}"}


def reply_to(seen: Seen) -> str:
    """Return a good reply to any request of any format."""
    config = seen.request.config
    grammar = (config.extensions or {}).get("grammar")
    if object_names(seen) is not None and grammar is not None:
        return json.dumps(_object(grammar, seen.text))
    if grammar is not None:
        first = next(iter(re.findall(r'"([^"]+)"', grammar)), "some words")  # a label, else any text
        return '["some words"]' if first == "[" else first
    if config.response_format is not None:
        return json.dumps(_value(config.response_format["schema"], seen.text))
    wanted = re.findall(r"`\[\[ ## (\w+) ## \]\]`", seen.text)
    if wanted:
        return "\n".join(f"[[ ## {name} ## ]]\n{_MARKED.get(name, 'words')}" for name in wanted)
    return "some words"


def _object(grammar: str, text: str, rule_name: str = "root") -> dict[str, Any]:
    """Return an object that a JSON grammar holds: a label if the rule of a field has labels, else words or nothing."""
    rules = dict(re.findall(r"^(\S+) ::= (.*)$", grammar, re.MULTILINE))
    found: dict[str, Any] = {}
    for name, rule in re.findall(r'"\\"(\w+)\\"" ":" root-space (\S+)', rules[rule_name]):
        options = re.findall(r"root-\d+", rules[rule]) if " | root-" in rules[rule] else []
        if options:  # calls of tools, the last of which ends the run
            found[name] = _object(grammar, text, options[-1 if "Observation 1:" in text else 0])
            continue
        if rules[rule].startswith('"{" root-space "\\"'):
            found[name] = _object(grammar, text, rule)
            continue
        labels = re.findall(r'"\\"(\w+)\\""', rules[rule])
        if labels:
            found[name] = "finish" if "finish" in labels and "observation_0" in text else labels[0]
        else:
            empty = {'"{}"': {}, '"true"': True}
            found[name] = next((one for start, one in empty.items() if rules[rule].startswith(start)), "some words")
    return found


def _value(schema: dict[str, Any], text: str) -> Any:
    if "enum" in schema:
        return "finish" if "finish" in schema["enum"] and "observation_0" in text else schema["enum"][0]
    if "anyOf" in schema:  # calls of tools, the last of which ends the run
        return _value(schema["anyOf"][-1 if "Observation 1:" in text else 0], text)
    match schema.get("type"):
        case "object":
            return {name: _value(inside, text) for name, inside in schema.get("properties", {}).items()}
        case "array":
            return [_value(schema["items"], text)] * schema.get("minItems", 0)
        case "integer" | "number":
            return 1
        case "boolean":
            return True
    return "some words"


def answering(**options: Any) -> LM:
    """Return an LM that answers every request."""
    return FunctionLM(reply_to, **options)


def state_of(program: dspy.Module) -> dict[str, Any]:
    """Return everything a program holds: for each object reached through modules, lists and dicts, what it is."""
    found: dict[str, Any] = {}
    for path, item in program.named_sub_modules(object):
        if isinstance(item, dspy.Module):
            found[path] = (id(item), type(item), list(vars(item)))
        elif isinstance(item, (list, tuple, dict)):
            found[path] = (id(item), len(item))
        else:
            found[path] = (id(item), repr(item))
    return found


def run(program: dspy.Module, lm: Any, inputs: Mapping[str, Any], **context: Any) -> dspy.Prediction:
    with dspy.context(lm=lm, **context):
        return program(**inputs)


def run_async(program: dspy.Module, lm: Any, inputs: Mapping[str, Any], **context: Any) -> dspy.Prediction:
    async def call() -> dspy.Prediction:
        with dspy.context(lm=lm, **context):
            return await program.acall(**inputs)

    return asyncio.run(call())


def scored(example: dspy.Example, prediction: dspy.Prediction, trace: Any = None) -> float:
    return 1.0


def demo_for(signature: type[dspy.Signature], word: str) -> Demo:
    """Return a demo of any of the signatures used here."""
    values = {name: _demo_value(info.annotation, word) for name, info in signature.fields.items()}
    return Demo.of(signature, values)


def _demo_value(annotation: Any, word: str) -> Any:
    if annotation is bool:
        return True
    if annotation is int:
        return 1
    if annotation is str:
        return word
    if get_origin(annotation) is list:
        return [word]
    return get_args(annotation)[0] if get_origin(annotation) is Literal else {}


def changed(candidate: Candidate, program: dspy.Module, word: str = "demo") -> Candidate:
    """Return the candidate with another instruction, a demo and the format `json` everywhere."""
    signatures = {path: predictor.signature for path, predictor in program.named_predictors()}
    for path in candidate.parts:
        candidate = candidate.with_part(
            path,
            instruction=f"Another instruction for {path}.\nBe brief.",
            demos=(demo_for(signatures[path], f"{word} of {path}"),),
            format="json",
        )
    return candidate


class ModuleContract:
    """One class per program.

    `inputs` are what it is called with, `calls` how many calls one prediction is, `frozen_first` says whether the first
    of them is made by a part that is not compiled again. `best_after` is the number of calls after which it has
    something to return if a budget ends, `None` if it is all of them.
    """

    inputs: Mapping[str, Any]
    calls = 1
    frozen_first = False
    best_after: int | None = None

    def make(self) -> dspy.Module:
        """Return a new program."""
        raise NotImplementedError

    @pytest.fixture(scope="class")
    @classmethod
    def program(cls) -> Iterator[dspy.Module]:
        """One for all tests of a class, as none may change more of it than the history of its calls."""
        made = cls().make()
        before = state_of(made)
        yield made
        for _, part in made.named_sub_modules(dspy.Module):
            part.history.clear()
        assert state_of(made) == before

    @pytest.fixture(scope="class")
    @classmethod
    def bound(cls, program: dspy.Module) -> dspy.Module:
        """The program with default formats, for tests that only run it."""
        return with_default_formats(program)

    @pytest.fixture(scope="class")
    @classmethod
    def ran(cls, bound: dspy.Module) -> tuple[dspy.Prediction, list[Any]]:
        """What it predicted, and the requests it made."""
        lm = answering()
        return run(bound, lm, cls.inputs), lm.requests

    @pytest.fixture(scope="class")
    @classmethod
    def candidate(cls, program: dspy.Module) -> Candidate:
        """One that is changed everywhere."""
        return changed(Candidate.of(program), program)

    @pytest.fixture(scope="class")
    @classmethod
    def applied(cls, candidate: Candidate, program: dspy.Module) -> dspy.Module:
        """The program with that candidate, for tests that only look at it and run it."""
        return candidate.apply(program)

    @pytest.fixture(autouse=True)
    def _no_warning(self, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
        yield
        said = [record.getMessage() for record in caplog.get_records("call")]
        assert not [line for line in said if "copy" in line or "forward" in line]

    def signatures(self, program: dspy.Module) -> dict[str, type[dspy.Signature]]:
        return {path: predictor.signature for path, predictor in program.named_predictors()}

    # Running ------------------------------------------------------------------------------------------------

    def test_a_prediction_is_the_stated_number_of_calls(self, ran: tuple[dspy.Prediction, list[Any]]) -> None:
        found, requests = ran
        assert isinstance(found, dspy.Prediction)
        assert len(requests) == self.calls

    def test_what_it_returns_has_the_types_that_a_service_states(
        self, program: dspy.Module, ran: tuple[dspy.Prediction, list[Any]]
    ) -> None:
        outputs: TypeAdapter[Any] = TypeAdapter(Contract.of(program, "", longest=1000).outputs)
        outputs.validate_json(to_json(dict(ran[0].items()), fallback=str, by_alias=True), strict=True)

    def test_sync_async_and_a_stream_are_equal(
        self, bound: dspy.Module, ran: tuple[dspy.Prediction, list[Any]]
    ) -> None:
        found, requests = ran
        second, third = answering(), answering()
        awaited = run_async(bound, second, self.inputs)
        *_, last = stream(bound, lm=third, **self.inputs)

        assert isinstance(last, Finished)
        assert awaited.toDict() == last.prediction.toDict() == found.toDict()
        assert second.requests == third.requests == requests

    def test_streamed_texts_are_those_of_the_prediction(self, bound: dspy.Module) -> None:
        *deltas, last = stream(bound, lm=answering(), **self.inputs)
        written: dict[tuple[str, int, str], str] = {}
        for one in deltas:
            key = (one.predictor, one.call, one.field)
            written[key] = one.text if one.restart else written.get(key, "") + one.text

        streamed = {field for *_, field in written}
        assert streamed
        for name, value in last.prediction.items():
            if isinstance(value, str) and name in streamed:
                assert value in written.values()

    def test_threads_share_a_program(self, bound: dspy.Module, ran: tuple[dspy.Prediction, list[Any]]) -> None:
        lms = [answering() for _ in range(4 if FULL else 2)]
        with ThreadPoolExecutor(len(lms)) as pool:
            found = list(pool.map(lambda lm: run(bound, lm, self.inputs), lms))

        assert all(one.toDict() == ran[0].toDict() for one in found)
        assert all(lm.requests == ran[1] for lm in lms)

    def test_the_callers_adapter_wins_over_defaults(self, program: dspy.Module) -> None:
        plain, tuned = answering(), answering()
        with dspy.context(adapter=dspy.ChatAdapter()):
            run(with_default_formats(program), tuned, self.inputs)
            candidate = Candidate.of(program)
            run(candidate.apply(program), tuned, self.inputs)
            run(program, plain, self.inputs)

        assert tuned.requests == plain.requests * 2
        assert "[[ ##" in plain.requests[0].system
        assert {part.format for part in candidate.parts.values()} == {None}

    def test_a_budget_that_ends_leaves_the_best_so_far_and_no_score(self, bound: dspy.Module) -> None:
        for limit in range(self.calls):
            meters = [Meter(Budget(calls=limit)) for _ in range(3)]
            for meter, ask in zip(meters, (run, run_async), strict=False):
                ends = limit < (self.calls if self.best_after is None else self.best_after)
                with metered(meter), pytest.raises(StopSignal) if ends else contextlib.nullcontext():
                    assert ask(bound, answering(), self.inputs).stopped == BUDGET
            with pytest.raises(BudgetExceeded), dspy.context(lm=answering()):
                evaluate(bound, [dspy.Example(**self.inputs).with_inputs(*self.inputs)], scored, meter=meters[2])
            assert [meter.charged.calls for meter in meters] == [limit] * 3

    # Candidates ---------------------------------------------------------------------------------------------

    def test_applying_what_a_program_uses_changes_nothing_it_sends(
        self, program: dspy.Module, ran: tuple[dspy.Prediction, list[Any]]
    ) -> None:
        after = answering()
        again = run(Candidate.of(program).apply(program), after, self.inputs)

        assert again.toDict() == ran[0].toDict()
        assert after.requests == ran[1]

    def test_applying_a_candidate_leaves_the_student_untouched(
        self, program: dspy.Module, candidate: Candidate
    ) -> None:
        before, dumped = state_of(program), json.dumps(program.dump_state(), default=str)

        applied = candidate.apply(program)
        run(applied, answering(), self.inputs)
        for _, predictor in applied.named_predictors():
            predictor.demos.append("x")
            predictor.config["temperature"] = 1.5

        assert state_of(program) == before
        assert json.dumps(program.dump_state(), default=str) == dumped

    def test_applying_a_candidate_keeps_classes_and_paths(self, program: dspy.Module, applied: dspy.Module) -> None:
        assert type(applied) is type(program)
        assert [(path, type(p)) for path, p in applied.named_predictors()] == [
            (path, type(p)) for path, p in program.named_predictors()
        ]
        assert [(path, type(m)) for path, m in applied.named_sub_modules(dspy.Module)] == [
            (path, type(m)) for path, m in program.named_sub_modules(dspy.Module)
        ]
        assert program_fingerprint(applied) == program_fingerprint(program)

    def test_what_was_applied_is_found_again(
        self, program: dspy.Module, candidate: Candidate, applied: dspy.Module
    ) -> None:
        assert Candidate.of(applied) == candidate
        assert Candidate.of(applied).key == candidate.key
        assert Candidate.of(program) != candidate
        assert {bound_format(p) for _, p in applied.named_predictors()} == {"json"}

    def test_what_was_applied_is_sent(self, candidate: Candidate, applied: dspy.Module) -> None:
        lm = answering()
        run(applied, lm, self.inputs)
        systems = "\n".join(str(request.system) for request in lm.requests)
        messages = "\n".join(message.text for request in lm.requests for message in request.messages)

        for path in candidate.parts:
            assert f"Another instruction for {path}.\nBe brief." in systems
            assert f"demo of {path}" in messages

    def test_a_candidate_survives_json(self, program: dspy.Module, candidate: Candidate) -> None:
        for one in (Candidate.of(program), candidate):
            data = json.loads(json.dumps(one.to_json()))
            back = Candidate.from_json(data, self.signatures(program))

            assert back == one
            assert back.key == one.key
            assert hash(back) == hash(one)
            assert back.to_json() == data

    def test_a_diff_names_what_changed(self, program: dspy.Module, candidate: Candidate) -> None:
        old, new = Candidate.of(program), candidate
        found = old.diff(new)

        for path in new.parts:
            assert f"+instruction: Another instruction for {path}." in found
            assert f"demo of {path}" in found
        assert old.diff(old) == ""

    def test_a_copy_of_an_applied_program_has_bindings_of_its_own(self, program: dspy.Module) -> None:
        applied = changed(Candidate.of(program), program, "first").apply(program)
        other, copies = changed(Candidate.of(program), program, "second"), (copy.deepcopy(applied), applied.deepcopy())
        for copied in copies:
            for path, predictor in copied.named_predictors():
                predictor.demos = [demo.as_example() for demo in other.parts[path].demos]

        for one, own, foreign in ((applied, "first", "second"), *((copied, "second", "first") for copied in copies)):
            lm = answering()
            run(one, lm, self.inputs)
            sent = "\n".join(m.text for request in lm.requests for m in request.messages)
            assert f"{own} of" in sent
            assert f"{foreign} of" not in sent
            assert {bound_format(p) for _, p in one.named_predictors()} == {"json"}

    @pytest.mark.whole
    @pytest.mark.filterwarnings("ignore:The artifact cannot be loaded by:UserWarning")
    @each("compiler", [ts.BootstrapFewShot, ts.RandomSearch] if FULL else [ts.RandomSearch])
    def test_a_compiler_improves_it_and_the_artifact_keeps_that(self, compiler: Any, tmp_path: Path) -> None:
        rows = [{name: f"{text} {number}" for name, text in self.inputs.items()} for number in range(4)]
        examples = [dspy.Example(**row).with_inputs(*row) for row in rows]
        options = {"num_candidates": 2} if compiler is ts.RandomSearch else {}
        found = ts.compile(
            self.make(),
            metric=scored,
            trainset=examples[:2],
            valset=examples[2:],
            compiler=compiler(metric=scored, **options),
            lm=answering(),
            run=tmp_path / "run",
            mirror=False,
        )
        ts.save(tmp_path / "artifact", found.program)

        loaded = ts.load(tmp_path / "artifact", program=self.make())
        assert Candidate.of(loaded) == Candidate.of(found.program)

    # Showing ------------------------------------------------------------------------------------------------

    @each("constraints", [(), ("json_schema",), ("json_schema", "grammar")], ids=str)
    def test_rendering_shows_exactly_what_reaches_the_engine(
        self, bound: dspy.Module, applied: dspy.Module, constraints: tuple[str, ...]
    ) -> None:
        """In `make test` the default formats with and without constraints, and the format `json` with a schema."""
        for prepared in (bound, applied) if FULL else (applied,) if constraints == ("json_schema",) else (bound,):
            lm = answering(capabilities=Capabilities(frozenset(constraints), logprobs=20), top_p=0.9)
            before = state_of(prepared)
            shown = render(prepared, lm=lm, **self.inputs)
            assert lm.requests == []
            assert lm.history == []
            assert state_of(prepared) == before

            with contextlib.suppress(ParseError):  # without a constraint the double has nothing to go by
                run(prepared, lm, self.inputs)
            request = lm.requests[0]
            assert shown.request == request
            assert [(m["role"], m["content"]) for m in shown.messages] == [
                ("system", request.system),
                *((m.role, m.text) for m in request.messages),
            ]
            assert shown.options["top_p"] == 0.9
            assert json.loads(json.dumps(shown.to_json()))["messages"] == list(shown.messages)

    def test_rendering_without_a_model_shows_every_constraint(self, applied: dspy.Module) -> None:
        found = render(applied, **self.inputs)

        assert (found.constraint is None) is self.frozen_first
        assert found.messages[-1]["role"] == "user"

    # Identity and state -------------------------------------------------------------------------------------

    def test_the_fingerprint_is_that_of_the_program_not_of_its_prompts(
        self, program: dspy.Module, bound: dspy.Module
    ) -> None:
        first = program_fingerprint(program)

        assert re.fullmatch("[0-9a-f]{64}", first)
        assert program_fingerprint(self.make()) == first
        assert program_fingerprint(bound) == first
        json.dumps(program_structure(program))

    @pytest.mark.filterwarnings("ignore:The format .* is saved:UserWarning")
    def test_the_state_brings_instructions_demos_options_and_formats_back(self, applied: dspy.Module) -> None:
        state = json.loads(json.dumps(applied.dump_state()))

        other = self.make()
        other.load_state(state)

        assert Candidate.of(other).to_json()["parts"] == Candidate.of(applied).to_json()["parts"]
        assert json.loads(json.dumps(with_default_formats(other).dump_state())) == state
