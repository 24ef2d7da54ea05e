"""What a forked process gives up: objects whose threads it has not."""

import subprocess
import sys
from pathlib import Path

FORKS = Path(__file__).parents[3] / "tunesmith" / "lm" / "engines" / "llamacpp" / "forks.py"
# A program in which `freed` is said by whichever process frees the native object.
PROGRAM = """
import gc, os, runpy, sys
given_up_in_forks = runpy.run_path(sys.argv[1])["given_up_in_forks"]  # the file alone: the package takes a second

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

parent = os.getpid()
gc.disable()
"""
CASE = """
owner = Owner()
{before}
child = os.fork()
if child == 0:
    {within}
    sys.exit(3)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 3
owner = None
gc.collect()
"""


CASES = {
    "in use": ("", "assert owner.native is None"),
    "dropped": ("", "owner = None"),
    "no longer referred to": ("owner.itself = owner; owner = None", "gc.collect()"),
}


def test_a_forked_process_never_frees_what_it_has_given_up() -> None:
    """In one process for all cases, which forks one for each."""
    programs = [f"print({name!r}, flush=True)\n{CASE.format(before=a, within=b)}" for name, (a, b) in CASES.items()]
    done = subprocess.run(
        [sys.executable, "-c", "".join([PROGRAM, *programs]), FORKS],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "".join(f"{name}\nfreed by the parent\n" for name in CASES)
