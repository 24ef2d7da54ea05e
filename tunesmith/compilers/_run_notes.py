"""What `tunesmith runs show` needs beside the ledger: which examples select and test, and what each candidate is."""

import contextlib
from typing import Any

from tunesmith.compilers._job import Job
from tunesmith.data import example_key
from tunesmith.errors import ArtifactError
from tunesmith.evaluation import CANDIDATES, RunFolder
from tunesmith.metrics import metric_name
from tunesmith.modules import Candidate, class_name

__all__ = ["RunNotes"]


class RunNotes:
    """Keeps `candidates.json` in a run's folder. A disk that refuses costs the notes, never the run.

    It holds keys of examples, and of candidates the format, the number of demos and, if another one is tried, the
    beginning of the instruction; no demo and no output.
    """

    def __init__(self, folder: RunFolder, job: Job) -> None:
        self._folder, self._given = folder, Candidate.of(job.program)
        splits = {"validation": job.val, "test": job.test or ()}
        parts = {"training": job.train, **splits}
        self._notes: dict[str, Any] = {
            "about": {
                "program": class_name(job.program),
                "metric": metric_name(job.metric),
                "model": job.lm.model,
                "examples": ", ".join(f"{len(part)} {name}" for name, part in parts.items()),
            },
            "splits": {name: sorted({example_key(example) for example in part}) for name, part in splits.items()},
            "given": self._given.key,
            "candidates": {},
            "chosen": None,
        }
        self._write()

    def begin(self, candidate: Candidate) -> None:
        """Note a candidate that is evaluated for the first time."""
        known = self._notes["candidates"]
        if candidate.key not in known and candidate != self._given:
            known[candidate.key] = {"number": len(known) + 1, "differs": candidate.differences(self._given)}
            self._write()

    def choose(self, candidate: Candidate) -> None:
        """Note what the search returns."""
        self._notes["chosen"] = candidate.key
        self._write()

    def _write(self) -> None:
        with contextlib.suppress(ArtifactError):
            self._folder.write(CANDIDATES, self._notes)
