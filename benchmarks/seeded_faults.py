"""Do the unit tests notice a wrong token? Twelve faults, seeded one at a time in a copy of the package.

    python benchmarks/seeded_faults.py

Writes benchmarks/seeded_faults.json: for each fault whether `make test-unit`'s tests failed, and at which one.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
OUT = Path(__file__).parent / "seeded_faults.json"

_PYTEST = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider"]

FAULTS = [
    ("data/keys.py", "sort_keys=True", "sort_keys=False"),
    ("evaluation/evaluator.py", "> METRIC_ERROR_LIMIT", ">= METRIC_ERROR_LIMIT"),
    ("evaluation/race.py", "-self.mean(k, 0, n)", "self.mean(k, 0, n)"),
    ("evaluation/statistics.py", "z * z / (4 * n * n)", "z * z / (2 * n * n)"),
    ("evaluation/statistics.py", "[b - a for a, b", "[a - b for a, b"),
    ("lm/meter.py", "used >= limit", "used > limit"),
    ("lm/stack.py", "paid and led", "paid or led"),
    ("compilers/_bootstrap.py", "row.score >= threshold", "row.score > threshold"),
    ("compilers/_search.py", "found > lead", "found < lead"),
    ("compilers/_verdict.py", "gain.low > 0", "gain.low >= 0"),
    ("formats/labelled.py", 'if "\\n" not in text', 'if "\\n" in text'),
    ("signatures/bounds.py", "len(value) != node.get(OWN_LENGTH)", "len(value) == node.get(OWN_LENGTH)"),
]


def noticed(file: str, old: str, new: str, folder: Path) -> str | None:
    """Return the first test that fails with the fault, `None` where none does."""
    copy = folder / "copy"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(".*", "runs", "build", "dist", "*.egg-info"))
    path = copy / "tunesmith" / file
    path.write_text(path.read_text(encoding="utf-8").replace(old, new, 1), encoding="utf-8")
    marks = "not model and not slow and not wheel and not live and not whole"
    found = subprocess.run(
        [*_PYTEST, "-m", marks],
        cwd=copy,
        env={**os.environ, "PYTHONPATH": str(copy)},
        capture_output=True,
        text=True,
        check=False,
    )
    failed = re.search(r"^(?:FAILED|ERROR) (\S+)", found.stdout, re.MULTILINE)
    return failed.group(1) if found.returncode == 1 and failed else None


def _text(file: str) -> str:
    path = ROOT / "tunesmith" / file
    return path.read_text(encoding="utf-8") if path.exists() else ""


def main() -> None:
    """Seed all faults and write what came out."""
    gone = [f"{file}: {old}" for file, old, _ in FAULTS if old not in _text(file)]
    if gone:
        raise SystemExit("Choose other faults, for these lines are not there any more:\n" + "\n".join(gone))
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for file, old, new in FAULTS:
            test = noticed(file, old, new, Path(folder))
            rows.append({"file": file, "was": old, "became": new, "noticed_by": test})
            print(f"{file}: {old} -> {new}: {test or 'NOT NOTICED'}", flush=True)
    count = sum(row["noticed_by"] is not None for row in rows)
    OUT.write_text(json.dumps({"noticed": count, "of": len(rows), "rows": rows}, indent=1) + "\n", encoding="utf-8")
    print(f"{count} of {len(rows)} noticed")


if __name__ == "__main__":
    main()
