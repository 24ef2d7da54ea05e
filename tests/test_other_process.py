"""What is the same in another process, whatever its hashes, and what no process loads that does not need it."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import dspy
import pytest

from tests.artifacts.programs import saved
from tests.compilers.test_contract import keys
from tests.compilers.test_study import HERE, asked
from tests.metrics.test_composition import METRICS
from tests.scale import FULL
from tests.scripts import benchmark
from tunesmith.data import example_key
from tunesmith.metrics import metric_fingerprint

compiled = benchmark("landscape").compiled
CELLS = [("random-search", "near", 100, 0.3, 2), ("bootstrap-few-shot", "three", 200, 1.0, 3)]

EXAMPLE = "dspy.Example(q='é', tags={'b', 'a'}, n=1.5)"

# One process answers all questions: it takes longer to start than to answer. It looks at what is loaded before the
# tests' own files load more.
THERE = f"""
import json, sys
import dspy
import tunesmith as ts
from tunesmith.data import example_key

loaded = {{"data": sorted({{"pandas", "pyarrow", "optuna"}} & set(sys.modules))}}
found = {{"key": example_key({EXAMPLE})}}

rows = [dspy.Example(text=f"text {{n}}", label=True).with_inputs("text") for n in range(8)]
ts.compile(
    ts.Predict("text -> label: bool"),
    metric=lambda example, prediction, trace=None: example.label == prediction.label,
    trainset=rows,
    lm=ts.ScriptedLM(*["true"] * 1000),
)
loaded["compile"] = sorted({{"litellm"}} & set(sys.modules))

from tests.test_other_process import answers
print(json.dumps({{"loaded": loaded, **found, **answers(sys.argv[1])}}))
"""


def answers(folder: str) -> dict[str, Any]:
    """Return what must not depend on the process; an artifact goes below `folder`."""
    artifact = saved(Path(folder) / "artifact")
    return {
        "candidates": keys(),
        "asks": {sampler: asked(sampler, 3, 25) for sampler in HERE if sampler != "gp"},
        "landscape": [{**compiled(cell), "cpu": 0} for cell in CELLS],
        "metrics": [metric_fingerprint(metric) for metric in METRICS],
        "files": {path.name: path.read_text(encoding="utf-8") for path in sorted(artifact.path.iterdir())},
    }


@pytest.fixture(scope="module", params=["0", "1"] if FULL else ["7"])
def there(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The answers of a process with hashes of its own."""
    done = subprocess.run(
        [sys.executable, "-c", THERE, str(tmp_path_factory.mktemp("there"))],
        cwd=Path(__file__).parents[1],
        env={**os.environ, "PYTHONHASHSEED": request.param},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_reading_data_loads_no_extra(there: dict[str, Any]) -> None:
    assert there["loaded"]["data"] == []


def test_compiling_and_predicting_never_load_litellm(there: dict[str, Any]) -> None:
    assert there["loaded"]["compile"] == []


def test_keys_fingerprints_candidates_asks_and_artifacts_are_the_same(there: dict[str, Any], tmp_path: Path) -> None:
    here = answers(str(tmp_path))
    assert there["key"] == example_key(dspy.Example(q="é", tags={"b", "a"}, n=1.5))
    assert {name: there[name] for name in here} == here
    assert len(set(here["candidates"])) > 5
    assert len(set(here["metrics"])) == len(METRICS)
    assert sorted(here["files"]) == ["manifest.json", "state.json"]
