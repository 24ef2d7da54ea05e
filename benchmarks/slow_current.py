"""Did `make test-slow` pass on the package and tests as they are now?

    python benchmarks/slow_current.py

Exits 0 where benchmarks/slow.json records a run without a failure, on a commit since which `tunesmith/` and `tests/`
are unchanged, the working tree included; else 1, saying what is wrong.
"""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
SLOW = Path(__file__).parent / "slow.json"


def complaint() -> str | None:
    """Return what is wrong, `None` where nothing is."""
    if not SLOW.is_file():
        return "benchmarks/slow.json is not there: run `make test-slow` in a clean clone."
    found = json.loads(SLOW.read_text(encoding="utf-8"))
    if found["exit_status"] != 0 or found["tests"]["failed"] or found["tests"]["error"] or not found["tests"]["passed"]:
        return f"the run did not pass: {found['tests']}"
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
