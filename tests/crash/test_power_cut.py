"""A power cut at any moment: no row that was told of is lost, and the resume ends in the same artifact."""

import random
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dspy
import pytest

import tunesmith as ts
from tests.crash.power import Disk, Recorded
from tests.scale import scaled
from tunesmith.evaluation import Ledger, ledger_file, read_entries
from tunesmith.lm import FunctionLM
from tunesmith.sqlite import connect

CUTS = 200


@dataclass
class Told:
    """How many rows a compile had told of after so many events of the disk."""

    disk: Disk
    moments: list[int]

    def __call__(self, text: str, done: int, total: int) -> None:
        if total:
            self.moments.append(len(self.disk.events))

    def before(self, moment: int) -> int:
        return sum(told <= moment for told in self.moments)


def right(example: Any, prediction: Any, trace: object = None) -> bool:
    return bool(prediction.answer == example.answer)


def examples(count: int, start: int) -> list[dspy.Example]:
    return [
        dspy.Example(question=f"number {n}", answer=str(n % 3)).with_inputs("question")
        for n in range(start, start + count)
    ]


def compiled(folder: Path, calls: list[str], progress: Any = None) -> ts.CompileResult:
    def answer(seen: Any) -> str:
        calls.append(seen.messages[-1][1])
        number = int(seen.messages[-1][1].split("number ")[1].split()[0])
        return str(number % 3) if len(seen.messages) > 1 and number % 5 else "0"  # demos help

    return ts.compile(
        ts.Predict("question -> answer"),
        metric=right,
        trainset=examples(8, 0),
        valset=examples(20, 20),
        testset=examples(14, 50),
        compiler=ts.LabeledFewShot(k=4, metric=right),
        lm=FunctionLM(answer),
        run=folder,
        progress=progress,
        mirror=False,
    )


def test_no_row_that_was_told_of_is_lost_and_the_resume_ends_in_the_same_artifact(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk, calls = Disk(), list[str]()
    told = Told(disk, [])

    def recorded(path: Path, *, readonly: bool = False) -> Any:
        return Recorded(path, disk) if path.name == "run.db" and not readonly else connect(path, readonly=readonly)

    with monkeypatch.context() as patch:
        patch.setattr(ledger_file, "connect", recorded)
        whole = compiled(tmp_path / "whole", calls, told)
    assert whole.artifact is not None
    assert len(told.moments) == len(calls) == 68
    assert len({*told.moments}) < len(calls) / 2  # rows that finish together were synced together

    rng = random.Random(0)
    for number in range(scaled(CUTS)):
        moment = rng.randrange(len(disk.events) + 1)
        folder = tmp_path / f"cut {number}"
        folder.mkdir()
        shutil.copy(tmp_path / "whole" / "run.json", folder)
        for name, data in disk.at(moment, rng if number % 2 else None).items():
            (folder / name).write_bytes(data)

        with Ledger(folder / "run.db") as ledger:
            assert ledger.damage == ()
            assert len(ledger) >= told.before(moment)
            assert [entry.seq for entry in read_entries(ledger.path)] == list(range(1, len(ledger) + 1))
            left = len(calls) - len(ledger)
        again = list[str]()
        resumed = compiled(folder, again)

        assert resumed.artifact is not None
        assert resumed.artifact.sha256 == whole.artifact.sha256
        assert len(again) == left
