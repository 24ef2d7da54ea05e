"""`/feedback`: keep a wrong answer with the right one, as a row that `tunesmith compile --bad-cases` takes."""

import asyncio
import errno
import fcntl
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from typing import Any, NotRequired

from pydantic_core import to_json
from typing_extensions import TypedDict

from tunesmith.atomic import append_line
from tunesmith.errors import UsageError
from tunesmith.serve.contract import reader_of, typed_object
from tunesmith.serve.desk import Desk
from tunesmith.serve.endpoint import Endpoint, pascal
from tunesmith.serve.predicting import read_inputs
from tunesmith.serve.problem import Refusal
from tunesmith.serve.route import Door
from tunesmith.serve.web import JSONResponse, Request, Response

__all__ = ["UNNAMED", "FeedbackFolder", "feedback_door"]

UNNAMED = "program"
"""The name of the file of the program at the root."""

_BESIDE = ("answered", "remark")  # a program's own field of that name wins, as in `--bad-cases`


class Kept(TypedDict):
    """The answer of `/feedback`."""

    kept: bool


class FeedbackFolder:
    """A folder with a JSONL file for each program. A row is on the disk when its request is answered.

    Args:
        path: made if it is not there.

    Raises:
        UsageError: it cannot be written to.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._lock = path, threading.Lock()
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(
                f"The folder {str(path)!r} for feedback cannot be made: {error.strerror}. Give another one."
            ) from error
        if not os.access(path, os.W_OK):
            raise UsageError(f"The folder {str(path)!r} for feedback cannot be written to. Give another one.")

    def file(self, program: str) -> Path:
        """Return the file of a program, which may not be there yet."""
        return self._path / f"{program or UNNAMED}.jsonl"

    def add(self, program: str, row: Mapping[str, Any]) -> None:
        """Write a row at the end.

        Raises:
            OSError: the disk refuses; what was there is whole.
        """
        with self._lock, self.file(program).open("ab+", buffering=0) as file, _alone(file):
            append_line(file, to_json(row, fallback=str, inf_nan_mode="null"))


@contextmanager
def _alone(file: FileIO) -> Iterator[None]:
    """Keep other services out that write to the same file."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
    except OSError as error:
        if error.errno not in (errno.ENOLCK, errno.ENOTSUP, errno.EINVAL):  # some network file systems have no locks
            raise
    yield  # closing the file gives the lock back


def feedback_door(endpoint: Endpoint, desk: Desk, folder: FeedbackFolder) -> Door:
    """Return the door."""
    contract, name = endpoint.contract, pascal(endpoint.name)
    kinds: dict[str, Any] = {
        "inputs": contract.inputs,
        "outputs": contract.right,
        "answered": NotRequired[Any],
        "remark": NotRequired[str],
    }
    body = typed_object(f"{name}Feedback", kinds, "forbid")
    read = reader_of(body)

    async def feedback(request: Request) -> Response:
        found = await read_inputs(request, desk, read)
        if not found["outputs"]:
            raise Refusal(422, "InvalidInput", "Send the right outputs, at least one.", field="outputs")
        beside = {key: found[key] for key in _BESIDE if found.get(key) is not None}
        row = {**beside, **found["inputs"], **found["outputs"]}
        try:
            await asyncio.to_thread(folder.add, endpoint.name, row)
        except OSError as error:
            desk.log.write("feedback lost", level="error", message=str(error.strerror or error))
            raise Refusal(503, "NotKept", "The feedback cannot be written now. Send it again later.") from error
        return JSONResponse({"kept": True})

    text = "Keep an answer that was wrong: inputs, right outputs, and if wanted what was `answered` and a `remark`."
    return Door(f"{endpoint.prefix}/feedback", feedback, endpoint.name, "feedback", text, body, Kept)
