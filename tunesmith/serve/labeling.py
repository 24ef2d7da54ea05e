"""The service of the page on which a person accepts, fixes or rejects the rows of a data file."""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal, NotRequired, TypeVar

from pydantic import Field as Described
from typing_extensions import TypedDict

from tunesmith.data import Labeling, looks_like_labels
from tunesmith.errors import RowError, TunesmithError
from tunesmith.serve.contract import reader_of, typed_object, written
from tunesmith.serve.desk import Desk
from tunesmith.serve.form import Field, form_fields
from tunesmith.serve.front import App
from tunesmith.serve.limits import Limits
from tunesmith.serve.log import Log
from tunesmith.serve.pages import page_answer
from tunesmith.serve.problem import Refusal
from tunesmith.serve.reading import checked_json, read_body
from tunesmith.serve.route import Door
from tunesmith.serve.web import Request, Response
from tunesmith.signatures import field_description, field_names, input_types, output_types

__all__ = ["LabelService"]

_MARKS = {None: ".", "accept": "a", "fix": "f", "reject": "r"}
_KINDS: dict[type, str] = {str: "text", bool: "boolean", int: "number", float: "number"}
_MOST_BUTTONS = 20  # values of a field without a signature that get a button each
_LONGEST = 10_000_000  # characters of a text: a row may be a whole document
T = TypeVar("T")


class Told(TypedDict):
    """How far it is: a mark for each row, `.` for one that nothing is decided about, else `a`, `f` or `r`."""

    marks: str
    counts: dict[str, int]
    out: str


class Started(Told):
    """What the page begins with; `order` has the rows as they are shown, and `outputs` the fields with labels."""

    file: str
    instruction: str
    fields: list[Field]
    outputs: list[str]
    order: list[int]


class Decided(TypedDict):
    """The answer after a decision, or after one was taken back; `place` is the row, `None` if there was none.

    `taken` is false if nothing was done, because the row is no longer as it was seen.
    """

    place: int | None
    mark: str
    counts: dict[str, int]
    taken: bool


class Shown(TypedDict):
    """A row: its fields, those that the signature does not have, and why it cannot be accepted as it is."""

    place: int
    mark: str
    counts: dict[str, int]
    line: int
    values: dict[str, Any]
    rest: dict[str, Any]
    problem: str | None
    verdict: str | None
    remark: str | None


class Written(TypedDict):
    """The answer of `/-/write`: the file, `None` if nothing is decided yet."""

    out: str | None
    rows: int


Decide = typed_object(
    "Decide",
    {
        "place": int,
        "verdict": Literal["accept", "reject"],
        "values": NotRequired[dict[str, Any]],
        "seen": NotRequired[str],  # the mark that the page shows: another tab may have decided about the row
    },
    "forbid",
)
Place = typed_object("Place", {"place": int}, "forbid")
Nothing = typed_object("Nothing", {}, "forbid")


class LabelService(App):
    """An ASGI app with the page.

    Args:
        labeling: the rows and their decisions.
        token: what the page sends; it is in the page's address.
        hosts: as for a `Service`.
        order: places of the rows that are shown first.
        remarks: what is known about a row, by its place.
    """

    def __init__(
        self,
        labeling: Labeling,
        *,
        token: str,
        hosts: Sequence[str] | None = None,
        order: Sequence[int] = (),
        remarks: Mapping[int, str] | None = None,
    ) -> None:
        super().__init__(Desk(Limits(text=_LONGEST, body_bytes=4 * _LONGEST), Log()), token=token, hosts=hosts)
        self._labeling, self._remarks = labeling, dict(remarks or {})
        first = dict.fromkeys(order)
        self._order = [*first, *(place for place in range(len(labeling.file.rows)) if place not in first)]
        self._fields = _fields(labeling)
        self._alone = asyncio.Lock()
        self.take(self._doors())

    def _doors(self) -> list[Door]:
        return [
            Door("/", _page, "", "page", "The web page to decide about rows.", method="GET", media_type="text/html"),
            self._door("start", "Return the fields, the order and the marks.", Nothing, Started, self._start),
            self._door("row", "Return a row.", Place, Shown, self._row),
            self._door(
                "decide", "Decide about a row; it is written down when this answers.", Decide, Decided, self._decide
            ),
            self._door("undo", "Take the last decision back.", Nothing, Decided, self._undo),
            self._door("write", "Write the accepted and fixed rows.", Nothing, Written, self._write),
        ]

    def _door(self, name: str, text: str, body: Any, result: Any, work: Callable[[Any], Mapping[str, Any]]) -> Door:
        read = reader_of(body)

        async def answer(request: Request) -> Response:
            raw = await read_body(request, self.desk.limits)
            checked_json(raw, self.desk.limits)
            given = read(raw)
            async with self._alone:
                found = await asyncio.to_thread(_told, lambda: work(given))
            return Response(written(found.items()), media_type="application/json")

        return Door(f"/-/{name}", answer, "", name, text, body, result)

    def _start(self, _: Any) -> Mapping[str, Any]:
        labeling = self._labeling
        signature = labeling.signature
        return {
            "file": labeling.file.path.name,
            "instruction": "" if signature is None else signature.instructions,
            "fields": self._fields,
            "outputs": _outputs(labeling),
            "order": self._order,
            "marks": "".join(map(self._mark, range(len(self._order)))),
            "counts": labeling.counts,
            "out": labeling.out.name,
        }

    def _row(self, given: Any) -> Mapping[str, Any]:
        labeling, place = self._labeling, self._checked(given["place"])
        values, decision = labeling.values(place), labeling.decision(place)
        return {
            "place": place,
            "mark": self._mark(place),
            "counts": labeling.counts,
            "line": labeling.file.rows[place].line,
            "values": {name: values[name] for name in labeling.fields if name in values},
            "rest": {name: value for name, value in values.items() if name not in labeling.fields},
            "problem": None if decision is not None else labeling.problem(place),
            "verdict": None if decision is None else decision.verdict,
            "remark": self._remarks.get(place),
        }

    def _decide(self, given: Any) -> Mapping[str, Any]:
        place = given["place"]
        if "seen" in given and given["seen"] != self._mark(self._checked(place)):
            return self._decided(place, taken=False)
        self._labeling.decide(place, given["verdict"], given.get("values"))
        return self._decided(place)

    def _undo(self, _: Any) -> Mapping[str, Any]:
        return self._decided(self._labeling.undo())

    def _write(self, _: Any) -> Mapping[str, Any]:
        out = self._labeling.write()
        counts = self._labeling.counts
        return {"out": None if out is None else out.name, "rows": counts.get("accept", 0) + counts.get("fix", 0)}

    def _decided(self, place: int | None, *, taken: bool = True) -> Mapping[str, Any]:
        mark = "" if place is None else self._mark(place)
        return {"place": place, "mark": mark, "counts": self._labeling.counts, "taken": taken}

    def _mark(self, place: int) -> str:
        decision = self._labeling.decision(place)
        return _MARKS[None if decision is None else decision.verdict]

    def _checked(self, place: int) -> int:
        if not 0 <= place < len(self._order):
            raise Refusal(422, "InvalidInput", f"There is no row {place}.", field="place")
        return place


async def _page(_: Request) -> Response:
    return page_answer("labeling.html")


def _told(work: Callable[[], T]) -> T:
    """Return what `work` returns; an error is told, because it is about the user's own file."""
    try:
        return work()
    except RowError as error:
        text = error.problem if error.field is None else f"`{error.field}`: {error.problem}"
        raise Refusal(422, "RowError", text, field=error.field) from error
    except TunesmithError as error:
        raise Refusal(409, type(error).__name__, str(error)) from error


def _outputs(labeling: Labeling) -> list[str]:
    """Return the fields that say what the row is labelled with; without a signature those that look like it."""
    if labeling.signature is not None:
        return list(field_names(labeling.signature).outputs)
    return list(looks_like_labels(labeling.file.rows, labeling.file.fields))


def _fields(labeling: Labeling) -> list[Field]:
    signature = labeling.signature
    if signature is None:
        outputs = _outputs(labeling)
        return [_guessed(labeling, name, buttons=name in outputs) for name in labeling.fields]
    kinds = {**input_types(signature), **output_types(signature)}
    known = {name: kind for name, kind in kinds.items() if name in labeling.fields}
    texts = {name: field_description(info) for name, info in signature.fields.items()}
    described = {
        name: kind if texts.get(name) is None else Annotated[kind, Described(description=texts[name])]
        for name, kind in known.items()
    }
    found = form_fields(typed_object("Row", described))
    return found or [_plain(name, "json") for name in known]


def _guessed(labeling: Labeling, name: str, *, buttons: bool) -> Field:
    """Return a field of rows without a signature; a value that no row has yet may be typed beside the buttons."""
    values = [row.value.get(name) for row in labeling.file.rows]
    seen = Counter(value for value in values if value not in (None, "")) if buttons else Counter[Any]()
    types = {type(value) for value in values if value is not None}
    kind = _KINDS.get(types.pop(), "json") if len(types) == 1 else "json"
    choices = [value for value, _ in seen.most_common(_MOST_BUTTONS)]
    return {**_plain(name, kind), "choices": choices, "nullable": None in values}


def _plain(name: str, kind: str) -> Field:
    return Field(name=name, description="", kind=kind, choices=[], required=True, nullable=False)
