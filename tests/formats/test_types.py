"""Types of outputs, formats and engines: each pair is right, refused before a call, or listed in docs/formats.md."""

import importlib
import random
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import dspy
import pytest

import tunesmith as ts
from tests.contracts.format import MODES, distinct_modes
from tests.each import each
from tests.formats.gbnf import written
from tests.formats.held import DRAWS, ENGINES, FORMATS, bad_replies, form
from tests.formats.types import PAGE, TYPES, OutputType, row_of, signature_of
from tests.protocol import FakeModel, ProtocolServer
from tests.scale import FULL, scaled
from tunesmith.errors import FormatError, ParseError, SignatureError
from tunesmith.formats import default_format
from tunesmith.lm import ScriptedLM
from tunesmith.modules import bind

ROOT = Path(__file__).parents[2]
CARRIED = [one for one in TYPES if one.name != "type"]
by_type = each("one", CARRIED, ids=str)


@pytest.fixture(scope="module")
def script() -> ModuleType:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "benchmarks"))
        return importlib.import_module("types_table")


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def shown(one: OutputType, name: str, value: Any) -> str | None:
    """Return a value as the format writes it, `None` where it says before a call that it cannot."""
    try:
        return form(name).demo_reply(signature_of(one.kind), {"found": value})
    except FormatError:
        return None


def same(left: Any, right: Any) -> bool:
    return bool(left == right) and type(left) is type(right)


def test_there_are_at_least_sixty_types_and_no_name_twice() -> None:
    assert len({one.name for one in TYPES}) == len(TYPES) >= 60


@by_type
def test_a_right_value_comes_back_whatever_holds_the_reply(one: OutputType) -> None:
    signature = signature_of(one.kind)
    for number, name in enumerate(FORMATS):
        modes = list(MODES) if FULL else distinct_modes(name, signature)
        for at, value in enumerate(one.values):
            if at % len(FORMATS) not in (0, number) and not FULL:  # beyond the first, each value in one format in turn
                continue
            reply = shown(one, name, value)
            if reply is None:  # text that begins or ends with white space, the empty one among it
                assert name == "json" or value == ""
                continue
            for mode in modes if FULL else [modes[(number + at) % len(modes)]]:
                program = dspy.Predict(signature)
                bind(program, name)
                with dspy.context(lm=ScriptedLM(reply, capabilities=MODES[mode])):
                    assert same(program(text="x").found, value), (name, mode, reply)


def test_a_type_that_json_cannot_hold_is_refused_by_name() -> None:
    for name in FORMATS:
        with pytest.raises((FormatError, SignatureError), match="`found`"):
            form(name).check(signature_of(type))


@pytest.mark.parametrize("engine", ENGINES)
@by_type
def test_what_the_docs_list_as_held_is_held(one: OutputType, engine: str) -> None:
    """A reply that the constraint allows is a value, or the page says that the type is not held."""
    listed = row_of(one)[2 if engine == "grammar" else 3]

    assert listed.startswith(("held", "not held"))
    turn = CARRIED.index(one) % len(FORMATS)  # in `make test` each type in two of the formats
    some = FORMATS if FULL else (FORMATS[turn], FORMATS[turn - 2])
    for name in some if engine == "grammar" else FORMATS[:2]:
        if listed.startswith("held") and f"`{name}`" not in listed:
            assert bad_replies(signature_of(one.kind), name, engine, draws=DRAWS if FULL else 2) == []


@pytest.mark.slow
def test_the_table_is_what_was_found(script: ModuleType) -> None:
    assert script.rendered(PAGE) == PAGE, "run `python benchmarks/types_table.py --render`"


@pytest.mark.parametrize("version", ["0.24.0", "0.32.15"])
def test_through_a_server_each_type_is_right_or_a_parse_error(version: str) -> None:
    """The server holds what it holds of a schema, and lets the rest through."""
    said: list[str] = []
    model = FakeModel("m", reply=lambda messages, options: said[-1])
    with ProtocolServer([model], version) as server:
        lm = ts.lm("ollama/m", host=server.url, cache=False)
        for at, one in enumerate(one for one in CARRIED if one.values):
            if not FULL and (at // 2) % 2 == (version == "0.24.0"):  # in `make test` each type on one version
                continue
            signature, value = signature_of(one.kind), one.values[0]
            program = ts.Predict(signature)
            name = default_format(signature)
            mode = form(name).mode(signature, lm.capabilities)
            held = form(name).constraint(signature, mode)
            text = form(name).demo_reply(signature, {"found": value})
            said.append(_as_json(signature, value) if held.schema is not None and name == "bare" else text)
            with dspy.context(lm=lm):
                assert same(program(text="x").found, value), one.name
                if held.schema is not None and at % 7 == 0:
                    said.append(written('root ::= "\\"" [a-z]{1,20} "\\""', random.Random(at)))
                    try:
                        program(text=str(at))
                    except ParseError:
                        continue


def _as_json(signature: Any, value: Any) -> str:
    return form("json").demo_reply(signature, {"found": value}).removeprefix('{"found": ').removesuffix("}")


@pytest.mark.model
@pytest.mark.timeout(900)
def test_on_the_embedded_model_hardly_a_reply_is_unreadable(script: ModuleType) -> None:
    names = ("int, ge=1, le=5", "float, ge=0, le=1", "date", "Literal with None")
    chosen = [one for one in TYPES if one.name in names]
    found = [script.measured(one, script.TEXTS[: max(1, scaled(4))]) for one in chosen]

    assert [row for row in found if row["errors"]] == []
