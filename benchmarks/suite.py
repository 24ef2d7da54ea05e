"""How long the tests take in a new clone of the last commit, installation and the model included.

    python benchmarks/suite.py           `make test`; the figure of `make test-slow` stays, with its commit
    python benchmarks/suite.py --slow    `make test-slow` as well: 40 minutes

Writes benchmarks/suite.json. Nothing else should run.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from measure import ENVIRONMENT, ROOT, Row, git, report

OUT = Path(__file__).with_suffix(".json")
PASSED = re.compile(r"\b\d+ passed.* in ([\d.]+)s")


def timed(clone: Path, target: str, home: Path) -> tuple[float, list[float]]:
    """Return the seconds of a target of the Makefile, and of each run of pytest in it."""
    start = time.monotonic()
    environment = {**ENVIRONMENT, "TUNESMITH_HOME": str(home)}
    done = subprocess.run(
        ["make", "-C", clone, target], env=environment, stdout=subprocess.PIPE, text=True, check=False
    )
    seconds = time.monotonic() - start
    if done.returncode != 0:
        sys.exit(f"`make {target}` failed:\n{done.stdout[-2000:]}")
    return seconds, [float(one) for one in PASSED.findall(done.stdout)]


def measured(*, slow: bool) -> Iterator[Row]:
    with tempfile.TemporaryDirectory(prefix="tunesmith-suite-") as folder:
        clone, home = Path(folder) / "clone", Path(folder) / "home"
        subprocess.run(["git", "clone", "--quiet", ROOT, clone], check=True)
        whole, parts = timed(clone, "test", home)
        details = {"parts": parts, "cores": os.cpu_count()}
        yield Row("suite", "seconds of `make test` in a new clone", whole, 360, details=details)
        yield Row("suite_unit", "seconds of its part without the model", parts[0], 75, details=details)
        if slow:
            seconds, parts = timed(clone, "test-slow", home)
            details = {"parts": parts, "commit": git("rev-parse", "HEAD")}
            yield Row("suite_slow", "seconds of `make test-slow`", seconds, 1500, details=details)


def kept() -> list[Row]:
    """Return the row of `make test-slow` as it stands in the file."""
    rows = json.loads(OUT.read_text(encoding="utf-8"))["rows"] if OUT.exists() else []
    return [
        Row(row["name"], row["what"], row["figure"], row["limit"], details=row["details"])
        for row in rows
        if row["name"] == "suite_slow"
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--slow", action="store_true", help="`make test-slow` too")
    slow = parser.parse_args().slow
    return report(chain(measured(slow=slow), [] if slow else kept()), OUT)


if __name__ == "__main__":
    sys.exit(main())
