"""Long and bounded numbers in every format: no digit is lost, and a number that was cut is not taken for a value."""

import json
from decimal import Decimal
from typing import Annotated, Any

import dspy
import pytest
from pydantic import BaseModel, Field

import tunesmith as ts
from tests.contracts.format import MODES, distinct_modes
from tests.each import each
from tests.formats.gbnf import allows
from tests.formats.test_streaming import cuts, read
from tests.protocol import FakeModel, ProtocolServer
from tests.scale import FULL
from tunesmith.errors import ParseError
from tunesmith.formats import Format, carries, get_format
from tunesmith.lm import ScriptedLM
from tunesmith.modules import bind

NAMES = ("bare", "json", "lines", "markdown", "xml")
LONG = 998877665544332211


class Order(BaseModel):
    number: int
    parts: list[int] = []


VALUES: list[tuple[Any, Any]] = [
    (int, LONG),
    (int, -LONG),
    (int, 2**63 - 1),
    (int, 2**64 - 1),
    (list[int], [LONG, 1, 2**63 - 1]),
    (dict[str, int], {"id": LONG}),
    (tuple[int, str], (LONG, "a")),
    (set[int], {LONG}),
    (int | None, LONG),
    (Order, Order(number=LONG, parts=[LONG])),
    (Annotated[int, Field(ge=10**17)], 10**17),
    (Annotated[int, Field(ge=10**17)], 10**19 + 7),
    (Annotated[int, Field(le=-(10**17))], -(10**18)),
    (Annotated[int, Field(ge=10**17, le=2 * 10**17)], 123456789012345678),
    (Annotated[int, Field(ge=10**25)], 10**25 + 1),
    (list[Annotated[int, Field(ge=10**16)]], [LONG]),
    (float, 998877665544332288.0),
    (Decimal, Decimal("998877665544332211.25")),
    (Decimal, Decimal("0.123456789012345678")),
]


def signature_of(kind: Any) -> Any:
    return dspy.Signature({"text": (str, dspy.InputField()), "found": (kind, dspy.OutputField())}, "Find it.")


def form(name: str) -> Format:
    found = get_format(name)
    assert isinstance(found, Format)
    return found


@each("name", NAMES)
@each(("kind", "value"), VALUES, ids=str)
def test_a_long_number_comes_whole(kind: Any, value: Any, name: str) -> None:
    signature, found = signature_of(kind), form(name)
    reply = found.demo_reply(signature, {"found": value})
    distinct = distinct_modes(name, signature)
    for mode in list(MODES) if FULL else [distinct[(len(reply) + len(name)) % len(distinct)]]:
        held = found.constraint(signature, found.mode(signature, MODES[mode])).grammar

        in_quotes = name == "json" and kind is Decimal  # JSON has no digits for it that a reader would keep
        assert held is None or in_quotes or allows(held, reply)
        program = dspy.Predict(signature)
        bind(program, name)
        with dspy.context(lm=ScriptedLM(reply, capabilities=MODES[mode])):
            assert program(text="x").found == value
        whole = "".join(read(name, signature, mode, [reply]).values())
        assert "".join(read(name, signature, mode, cuts(reply, [3, 9, 17, 20])).values()) == whole


@each("name", NAMES)
@each(
    ("kind", "wanted"),
    [
        (int, 10**40),
        (int, -(10**40)),
        (Annotated[int, Field(ge=0)], 10**40),
        (list[int], [10**40]),
        (dict[str, int], {"id": 10**40}),
        (Order, Order(number=10**40)),
        (tuple[int, int], (1, 10**40)),
        (int | None, 10**40),
    ],
    ids=str,
)
def test_a_number_that_fills_our_own_bound_was_cut(name: str, kind: Any, wanted: Any) -> None:
    """A model that would write more digits than the grammar has is stopped at its last one."""
    signature, found = signature_of(kind), form(name)
    reply = found.demo_reply(signature, {"found": wanted}).replace("0" * 8, "", 1)  # 33 digits

    with pytest.raises(ParseError) as caught:
        found.read(signature, reply, "grammar", cut=False)
    assert caught.value.reason == "truncated"
    assert "ge" in str(caught.value)


@pytest.mark.parametrize("digits", ["0.123456789012345678", "-998877665544332211.5", "0.00000000000000000012"])
def test_no_digit_of_a_decimal_in_json_is_lost(digits: str) -> None:
    found = form("json").read(signature_of(Decimal), f'{{"found": {digits}}}', "schema", cut=False)
    assert found == {"found": Decimal(digits)}
    as_floats = form("json").read(signature_of(list[float]), f'{{"found": [{digits}]}}', "schema", cut=False)
    assert as_floats == {"found": [float(digits)]}


@each(("version", "wide"), [("0.24.0", False), ("0.32.15", True)])
@each(
    ("kind", "low", "high"),
    [(int, None, None), (Annotated[int, Field(ge=3)], 3, None), (Annotated[int, Field(le=9)], None, 9)],
)
def test_a_server_that_cuts_at_16_digits_is_sent_wider_bounds(
    version: str, wide: bool, kind: Any, low: int | None, high: int | None
) -> None:
    """Before October 2025 llama.cpp reads only 32 bits of a bound."""
    model = FakeModel("m", reply=json.dumps({"found": 5, "other": [1]}))
    signature = signature_of(kind).append("other", dspy.OutputField(), list[int])
    with ProtocolServer([model], version) as server, dspy.context(lm=ts.lm("ollama/m", host=server.url, cache=False)):
        ts.Predict(signature)(text="x")
        schema = next(entry.body["format"] for entry in server.requests if "format" in (entry.body or {}))

    found = schema["properties"]["found"]
    most = 2**63 - 2 if wide else None
    expected = {"minimum": low if low is not None or not wide else -(2**63 - 2), "maximum": high or most}
    assert found == {"type": "integer", **{key: bound for key, bound in expected.items() if bound is not None}}
    assert ("maximum" in schema["properties"]["other"]["items"]) is wide


# A short run asks for one kind of each format.
ASKED = list(zip(NAMES * 2, [int, list[int]] * len(NAMES), strict=True))


@pytest.mark.model
@pytest.mark.parametrize(("name", "kind"), ASKED if FULL else ASKED[: len(NAMES)])
def test_the_embedded_model_writes_18_digits(name: str, kind: Any) -> None:
    signature = signature_of(kind)
    assert carries(name, signature)
    program = dspy.Predict(signature)
    value = 112233445566778899
    program.demos = [
        dspy.Example(text=f"The number is {number}.", found=number if kind is int else [number])
        for number in (value, value + 1)
    ]
    bind(program, name)
    with dspy.context(lm=ts.lm("embedded", cache=False, max_tokens=64)):
        found = program(text=f"The number is {LONG}.").found
    assert all(len(str(number)) > 16 for number in ([found] if kind is int else found))
