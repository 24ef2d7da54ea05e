"""Types of outputs, each with values that are right: what every format and engine must hold, refuse or be listed for."""

import dataclasses
import enum
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from ipaddress import IPv4Address, IPv4Network, IPv6Address
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple
from uuid import UUID

import dspy
from annotated_types import Gt, Interval, Len, MultipleOf
from pydantic import (
    UUID4,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    FileUrl,
    HttpUrl,
    IPvAnyAddress,
    NaiveDatetime,
    NonNegativeInt,
    PastDate,
    PositiveFloat,
    RootModel,
    SecretStr,
    StringConstraints,
    condecimal,
    conint,
)
from typing_extensions import TypedDict

__all__ = ["PAGE", "TYPES", "OutputType", "row_of", "signature_of"]

PAGE = (Path(__file__).parents[2] / "docs" / "formats.md").read_text(encoding="utf-8")

A = Annotated


@dataclass(frozen=True, slots=True)
class OutputType:
    """A type under the name it has in the docs.

    Attributes:
        name: as a user would write it.
        kind: the type.
        values: some of its values; none of a secret, which is never written.
    """

    name: str
    kind: Any
    values: tuple[Any, ...]

    def __str__(self) -> str:
        return self.name


class Color(enum.Enum):
    RED = "red"
    DEEP_BLUE = "deep blue"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Mode(enum.StrEnum):
    FAST = "fast"
    SLOW = "slow"


class Mixed(enum.Enum):
    NAME = "name"
    NUMBER = 3
    YES = True


class Share(enum.Enum):
    HALF = 0.5
    QUARTER = 0.25


class Place(BaseModel):
    street: str = Field(max_length=40)
    flat: int | None = None


class Person(BaseModel):
    name: str = Field(max_length=40)
    born: date
    home: Place


class Bill(BaseModel):
    number: str = Field(pattern=r"^INV-\d+$")
    total: Decimal = Field(ge=0, max_digits=8, decimal_places=2)
    share: float = Field(ge=0, le=1)


class Renamed(BaseModel):
    model_config = ConfigDict(populate_by_name=True)
    kind: Literal["a", "b"] = Field(alias="theKind")


class Node(BaseModel):
    value: int
    next: "Node | None" = None


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: int = Field(ge=1, le=9)


class Dog(BaseModel):
    kind: Literal["dog"]
    breed: str = Field(max_length=20)


class Row(TypedDict):
    sku: str
    count: int


@dataclasses.dataclass
class Spot:
    x: float
    y: float


class Pair(NamedTuple):
    first: int
    second: str


class Scores(RootModel[list[A[int, Field(ge=0, le=10)]]]):
    pass


Pet = A[Cat | Dog, Field(discriminator="kind")]
_CODE = dspy.Code["python"]
_UUID = UUID("12345678-1234-4234-9234-567812345678")
_NOON = datetime(2024, 5, 1, 12, 30, 15)  # noqa: DTZ001


TYPES: tuple[OutputType, ...] = tuple(
    OutputType(name, kind, tuple(values))
    for name, kind, *values in (
        ("str", str, "two words", "a\nb"),
        ("str, max_length=40", A[str, Field(max_length=40)], "short"),
        ("str, min_length=5, max_length=20", A[str, Field(min_length=5, max_length=20)], "long enough"),
        ("str, min_length=5", A[str, Field(min_length=5)], "long enough"),
        ("str, pattern ^[A-Z]{3}$", A[str, Field(pattern="^[A-Z]{3}$")], "EUR"),
        (r"str, pattern ^INV-\d+$", A[str, Field(pattern=r"^INV-\d+$")], "INV-7"),
        (r"str, pattern ^\w+@\w+\.com$", A[str, Field(pattern=r"^\w+@\w+\.com$")], "ada@example.com"),
        (r"str, pattern [0-9]+ (not anchored)", A[str, Field(pattern="[0-9]+")], "about 12 items"),
        ("str, pattern (?i)^[a-f]{3}$", A[str, Field(pattern="(?i)^[a-f]{3}$")], "aBc"),
        ("str, pattern with max_length", A[str, StringConstraints(pattern="^[a-z]+$", max_length=8)], "abc"),
        ("str, pattern with a look-ahead", A[str, Field(pattern=r"\b[a-z]+\b")], "abc"),
        ("str, Len(2, 30)", A[str, Len(2, 30)], "ab"),
        ("int", int, 5, -7, 998877665544332211),
        ("int, ge=1, le=5", A[int, Field(ge=1, le=5)], 3),
        ("int, ge=0, le=100000", A[int, Field(ge=0, le=100000)], 54321),
        ("int, ge=10**17", A[int, Field(ge=10**17)], 998877665544332211),
        ("NonNegativeInt", NonNegativeInt, 0, 12),
        ("int, multiple_of=5", conint(multiple_of=5), 35),
        ("int, multiple_of=997", A[int, MultipleOf(997)], 1994),
        ("float", float, 0.5, -3.25),
        ("float, ge=0, le=1", A[float, Field(ge=0, le=1)], 0.75),
        ("float, Gt(10)", A[float, Gt(10)], 10.5),
        ("PositiveFloat", PositiveFloat, 1.5),
        ("float, multiple_of=0.5", A[float, MultipleOf(0.5)], 2.5),
        ("Decimal", Decimal, Decimal("12.50")),
        ("Decimal, max_digits=5, decimal_places=2", condecimal(max_digits=5, decimal_places=2), Decimal("123.45")),
        ("Decimal, 0.1 to 0.3", A[Decimal, Interval(ge=Decimal("0.1"), le=Decimal("0.3"))], Decimal("0.25")),
        ("bool", bool, True, False),
        ("bytes", bytes, b"ab"),
        ("date", date, date(2024, 2, 29)),
        ("PastDate", PastDate, date(2020, 2, 29)),
        ("date, ge=2020-01-01", A[date, Field(ge=date(2020, 1, 1))], date(2024, 2, 29)),
        ("date of one month", A[date, Field(ge=date(2024, 2, 1), lt=date(2024, 3, 1))], date(2024, 2, 29)),
        ("datetime", datetime, _NOON),
        ("AwareDatetime", AwareDatetime, _NOON.replace(tzinfo=UTC)),
        ("NaiveDatetime", NaiveDatetime, _NOON),
        ("time", time, time(12, 30)),
        ("timedelta", timedelta, timedelta(hours=2, minutes=5)),
        ("UUID", UUID, _UUID),
        ("UUID4", UUID4, _UUID),
        ("HttpUrl", HttpUrl, HttpUrl("https://example.org/a?b=1")),
        ("FileUrl", FileUrl, FileUrl("file:///etc/hosts")),
        ("IPv4Address", IPv4Address, IPv4Address("10.0.0.1")),
        ("IPv6Address", IPv6Address, IPv6Address("2001:db8::1")),
        ("IPvAnyAddress", IPvAnyAddress, IPv4Address("10.0.0.1")),
        ("IPv4Network", IPv4Network, IPv4Network("10.0.0.0/8")),
        ("Path", Path, Path("a/b")),
        ("SecretStr", SecretStr),
        ("Enum of texts", Color, Color.DEEP_BLUE),
        ("IntEnum", Level, Level.HIGH),
        ("StrEnum", Mode, Mode.FAST),
        ("Enum of mixed values", Mixed, Mixed.NUMBER, Mixed.YES),
        ("Enum of fractions", Share, Share.HALF),
        ("Literal of texts", Literal["positive", "negative"], "negative"),
        ("Literal of integers", Literal[1, 2, 3], 2),
        ("Literal of truth values", Literal[True], True),
        ("Literal with None", Literal["a", None], None, "a"),
        ('Literal with ""', Literal["", "x"], "", "x"),
        ("Literal of fractions", Literal[0.5, 1.5], 1.5),
        ("Literal of mixed values", Literal["a", 1, True], 1, "a"),
        ("Literal of lines", Literal["one\ntwo", "three"], "one\ntwo"),
        ("Literal of 300 texts", Literal[tuple(f"label {at}" for at in range(300))], "label 299"),  # type: ignore[misc]
        ("int | None", int | None, None, 5),
        ("str | None", A[str, Field(max_length=40)] | None, None, "a"),
        ("Optional pattern", A[str, Field(pattern=r"^\d+ EUR$")] | None, "12 EUR", None),
        ("int | str", int | A[str, Field(max_length=20)], 5, "five"),
        ("date | Literal", date | Literal["unknown"], date(2024, 2, 29), "unknown"),
        ("list[str]", list[A[str, Field(max_length=20)]], ["a", "b"], []),
        ("list[int]", list[int], [1, 998877665544332211]),
        ("list of 1 to 3 texts", A[list[A[str, Field(max_length=20)]], Field(min_length=1, max_length=3)], ["a"]),
        ("list of patterns", list[A[str, Field(pattern=r"^#\w+$")]], ["#a"]),
        ("list of bounded floats", list[A[float, Field(ge=0, le=1)]], [0.5]),
        ("list[Literal]", list[Literal["a", "b"]], ["a", "b"]),
        ("list[list[int]]", list[list[int]], [[1], [2, 3]]),
        ("set[str]", set[Literal["a", "b"]], {"a"}),
        ("frozenset[int]", frozenset[A[int, Field(ge=0, le=9)]], frozenset({1})),
        ("tuple[int, str]", tuple[int, A[str, Field(max_length=20)]], (1, "a")),
        ("tuple[float, ...]", tuple[float, ...], (1.5, 2.0)),
        ("dict[str, int]", dict[str, int], {"a": 1}),
        ("dict[str, list[int]]", dict[str, list[int]], {"a": [1]}),
        ("dict[Literal, float]", dict[Literal["a", "b"], A[float, Field(ge=0, le=1)]], {"a": 0.5}),
        ("dict[int, str]", dict[int, A[str, Field(max_length=20)]], {1: "a"}),
        ("model", Place, Place(street="High St")),
        ("nested model", Person, Person(name="Ada", born=date(1815, 12, 10), home=Place(street="x"))),
        ("model with constraints", Bill, Bill(number="INV-1", total=Decimal("9.99"), share=0.5)),
        ("model with an alias", Renamed, Renamed(kind="a")),
        ("recursive model", Node, Node(value=1, next=Node(value=2))),
        ("discriminated union", Pet, Cat(kind="cat", lives=9)),
        ("list of models", list[Place], [Place(street="a")]),
        ("TypedDict", Row, {"sku": "a", "count": 1}),
        ("dataclass", Spot, Spot(1.5, 2.5)),
        ("NamedTuple", Pair, Pair(1, "a")),
        ("RootModel", Scores, Scores([1, 10])),
        ("Any", Any, {"a": 1}),
        ("dspy.Code", _CODE, _CODE(code="x = 1")),
        ("type", type, int),
    )
)  # fmt: skip


def signature_of(kind: Any) -> type[dspy.Signature]:
    """Return a signature with one text input and one output of the type."""
    fields = {"text": (str, dspy.InputField()), "found": (kind, dspy.OutputField())}
    made: type[dspy.Signature] = dspy.Signature(fields, "Find what is asked for in the text.")
    return made


def row_of(one: OutputType) -> list[str]:
    """Return the cells of a type in the docs."""
    name = one.name.replace("|", "\\|")
    table = PAGE.partition("<!-- table: types -->")[2]
    line = next(line for line in table.splitlines() if line.startswith(f"| {name} | "))
    return [name, *(cell.strip() for cell in line.removeprefix(f"| {name} |").split("|")[:-1])]
