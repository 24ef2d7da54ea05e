"""A loaded program in an app: from threads and event loops at once, with another model."""

import asyncio
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import tunesmith as ts
from tests.serve.front import Triage


def echo() -> ts.LM:
    return ts.FunctionLM(lambda seen: re.search(r"w\d+", seen.text)[0], slots=8)


def test_a_loaded_program_answers_threads_and_event_loops_at_once(tmp_path: Path) -> None:
    ts.save(tmp_path / "a", ts.Predict("text -> word"))
    program = ts.load(tmp_path / "a", lm=echo())

    async def several(start: int) -> list[str]:
        found = await asyncio.gather(*(program.acall(text=f"say w{n}") for n in range(start, start + 20)))
        return [one.word for one in found]

    def loop(start: int) -> list[str]:
        return asyncio.run(several(start))

    def thread(start: int) -> list[str]:
        return [program(text=f"say w{n}").word for n in range(start, start + 20)]

    with ThreadPoolExecutor(8) as pool:
        jobs = [pool.submit(loop if k % 2 else thread, k * 100) for k in range(8)]
        assert [job.result() for job in jobs] == [[f"w{n}" for n in range(k * 100, k * 100 + 20)] for k in range(8)]


def test_a_loaded_program_takes_another_model_in_a_copy(tmp_path: Path) -> None:
    ts.save(tmp_path / "a", ts.ChainOfThought(Triage))
    program = ts.load(tmp_path / "a", lm=ts.ScriptedLM('{"reasoning": "r", "label": "billing"}'))
    other = program.with_lm(ts.ScriptedLM(*['{"reasoning": "r", "label": "other"}'] * 2))
    third = other.with_lm(other.predict.lm)
    assert [p(text="hi").label for p in (program, other, third)] == ["billing", "other", "other"]
    assert third.artifact is program.artifact
