"""What a forked process gives up: objects whose threads it has not."""

import subprocess
import sys
from pathlib import Path

import pytest

# A program in which `freed` is said by whichever process frees the native object.
PROGRAM = """
import gc, os, sys
from tunesmith.lm.engines.llamacpp.forks import given_up_in_forks

class Native:
    def __del__(self):
        os.write(1, b"freed by the child\\n" if os.getpid() != parent else b"freed by the parent\\n")

class Owner:
    def __init__(self):
        self.native = Native()
        given_up_in_forks(self)

    def give_up(self):
        found, self.native = [self.native], None
        return found

parent, owner = os.getpid(), Owner()
gc.disable()
{before}
child = os.fork()
if child == 0:
    {within}
    sys.exit(3)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 3
owner = None
gc.collect()
"""


@pytest.mark.parametrize(
    ("before", "within"),
    [
        ("", "assert owner.native is None"),
        ("", "owner = None"),
        ("owner.itself = owner; owner = None", "gc.collect()"),
    ],
    ids=["in use", "dropped", "no longer referred to"],
)
def test_a_forked_process_never_frees_what_it_has_given_up(before: str, within: str) -> None:
    code = PROGRAM.format(before=before, within=within)
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(__file__).parents[3], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "freed by the parent\n"), done.stderr
