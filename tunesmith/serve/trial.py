"""A second artifact beside the first: a canary answers a share of the requests, a shadow is only compared."""

import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tunesmith.artifacts import Artifact
from tunesmith.errors import UsageError, kind_of, shown
from tunesmith.lm import BaseLM, Call, as_lm, metered
from tunesmith.modules import Module, copy_program, forgetful
from tunesmith.serve.contract import Contract, written
from tunesmith.serve.log import Log
from tunesmith.serve.workers import Workers

__all__ = ["Second", "Trial", "artifact_of", "sha256_of"]

_OF_ALL = 2**64


@dataclass(frozen=True, slots=True)
class Second:
    """A program that is tried beside the one that is served under the same name.

    Attributes:
        program: takes and returns the same fields.
        lm: its model.
        share: of the requests that it answers, from 0 to 1. At 0 it is a shadow: it is run after each answer, and the
            log says whether it said the same.

    Raises:
        UsageError: the share is not from 0 to 1.
    """

    program: Module
    lm: BaseLM
    share: float = 0.0

    def __post_init__(self) -> None:
        if isinstance(self.share, bool) or not isinstance(self.share, int | float) or not 0 <= self.share <= 1:
            raise UsageError(f"The share of a canary is a number from 0 to 1. Given: {shown(self.share)}.")


class Trial:
    """A second program in its place.

    Args:
        name: under which both are served.
        second: the program.
        first: what the program in the first place takes and returns.
        log: gets an event for each comparison of a shadow.
        count: is called for each comparison with its outcome: `same`, `other` or `failed`.

    Attributes:
        arm: `canary` or `shadow`.

    Raises:
        UsageError: the second program takes or returns other fields.
    """

    def __init__(
        self, name: str, second: Second, first: Contract, log: Log, count: Callable[[str], None] = lambda _: None
    ) -> None:
        self._name, self._log, self._count, self._share = name, log, count, second.share
        self.arm = "canary" if second.share else "shadow"
        self.program, self.lm = copy_program(second.program), as_lm(second.lm)
        other = Contract.of(second.program, name, longest=2**31)
        for kind in ("inputs", "outputs"):
            wanted, given = (_fields(getattr(one, kind)) for one in (first, other))
            if wanted != given:
                raise UsageError(
                    f"The second artifact of {name or 'the program'} has other {kind}: {given}, not {wanted}. Serve it "
                    "under a name of its own."
                )
        self._workers = None if second.share else Workers(1)
        self._waiting = 0

    def takes(self, draw: str) -> bool:
        """Return whether a request is the canary's; the same `draw`, such as a request's id, always is or is not."""
        return int.from_bytes(hashlib.sha256(draw.encode()).digest()[:8]) < self._share * _OF_ALL

    def follow(self, draw: str, inputs: Mapping[str, Any], answer: Any) -> None:
        """Run a shadow on what was just answered, and log whether it said the same. Nobody waits for it.

        If it is still busy with an earlier request, this one is left out.
        """
        if self._workers is None or self._waiting:
            return
        self._waiting = 1
        self._workers.submit(lambda: self._compared(draw, inputs, answer))

    def _compared(self, draw: str, inputs: Mapping[str, Any], answer: Any) -> None:
        began, calls = time.perf_counter(), list[Call]()
        same, problem = None, None
        try:
            with forgetful(lm=self.lm), metered(sink=calls.append):
                found = self.program(**inputs)
            same = written(found.items()) == written(answer.items())
        except Exception as error:  # noqa: BLE001 - a shadow may fail as it likes
            problem = kind_of(error)
        finally:
            self._waiting = 0
        self._count("failed" if same is None else "same" if same else "other")
        self._log.write(
            "shadow",
            id=draw,
            program=self._name or None,
            same=same,
            error=problem,
            ms=round((time.perf_counter() - began) * 1000, 2),
            lm_calls=len(calls),
            output_tokens=sum(call.output_tokens or 0 for call in calls if call.paid),
        )


def artifact_of(program: Module) -> Artifact | None:
    """Return the artifact that a program was loaded from, `None` without one."""
    found = program.__dict__.get("artifact")
    return found if isinstance(found, Artifact) else None


def sha256_of(artifact: Artifact | None) -> str | None:
    """Return the name of an artifact's content, `None` without one."""
    return None if artifact is None else artifact.sha256


def _fields(kind: Any) -> str:
    return ", ".join(sorted(kind.__annotations__)) or "any"
