"""Did `make test-slow` pass on the package and tests as they are now?

    python benchmarks/slow_current.py

Exits 0 where benchmarks/slow.json records runs of all tests without a failure, on a commit since which `tunesmith/` and
`tests/` are unchanged, the working tree included; else 1, saying what is wrong.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
SLOW = Path(__file__).parent / "slow.json"


def complaint() -> str | None:
    """Return what is wrong, `None` where nothing is."""
    if not SLOW.is_file():
        return "benchmarks/slow.json is not there: run `make test-slow` in a clean clone."
    found = json.loads(SLOW.read_text(encoding="utf-8"))
    runs: dict[str, dict[str, Any]] = found.get("runs", {})
    if not any(f"not ({markers})" in runs for markers in runs):
        return f"only a part of the tests ran: those marked {list(runs)}. Run `make test-slow`."
    for markers, run in runs.items():
        if run["exit_status"] != 0 or run["tests"]["failed"] or run["tests"]["error"] or not run["tests"]["passed"]:
            return f"the run of {markers!r} did not pass: {run['tests']}"
    if found["changed"]:
        return f"the run was on {found['commit']} with changes that are in no commit: {found['changed']}"
    for since in ([found["commit"], "HEAD"], ["HEAD"]):
        same = subprocess.run(["git", "diff", "--quiet", *since, "--", "tunesmith", "tests"], cwd=ROOT, check=False)
        if same.returncode != 0:
            return f"tunesmith/ or tests/ changed since {since[0]}: run `make test-slow` again."
    return None


if __name__ == "__main__":
    wrong = complaint()
    print(wrong or "benchmarks/slow.json is current")
    sys.exit(wrong is not None)
