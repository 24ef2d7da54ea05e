"""How many cores this process may use, and how many calls at once are chosen from that."""

import os
from pathlib import Path

import pytest

from tunesmith.lm.engines.llamacpp.cores import LARGE, MOST_SLOTS, is_large, slots_for, usable_cores

ALL = usable_cores()


def system(folder: Path, cgroup: str, **files: str) -> Path:
    """Return a root with these files under `sys/fs/cgroup`, a `:` in a name standing for a `/`."""
    (folder / "proc/self").mkdir(parents=True)
    (folder / "proc/self/cgroup").write_text(cgroup)
    for name, text in files.items():
        path = folder / "sys/fs/cgroup" / name.replace(":", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def test_a_quota_of_version_2_counts(tmp_path: Path) -> None:
    assert usable_cores(system(tmp_path, "0::/work/job\n", **{"work:job:cpu.max": "100000 100000\n"})) == 1


def test_a_quota_of_a_group_around_it_counts(tmp_path: Path) -> None:
    root = system(tmp_path, "0::/work/job\n", **{"work:cpu.max": "150000 100000\n", "work:job:cpu.max": "max 100000\n"})
    assert usable_cores(root) == 1


def test_a_quota_of_version_1_counts(tmp_path: Path) -> None:
    files = {"cpu,cpuacct:box:cpu.cfs_quota_us": "50000\n", "cpu,cpuacct:box:cpu.cfs_period_us": "100000\n"}
    root = system(tmp_path, "3:cpuset:/box\n4:cpu,cpuacct:/box\n", **files)
    assert usable_cores(root) == 1, "never less than one"


def test_inside_a_container_the_limit_stands_at_the_top(tmp_path: Path) -> None:
    assert usable_cores(system(tmp_path, "0::/outside/box\n", **{"cpu.max": "100000 100000\n"})) == 1


@pytest.mark.parametrize("text", ["max 100000\n", "900000000 100000\n", "nonsense\n", "1 0\n", ""])
def test_no_limit_a_wide_one_and_a_strange_file_leave_all_cores(tmp_path: Path, text: str) -> None:
    assert usable_cores(system(tmp_path, "0::/\n", **{"cpu.max": text})) == ALL


def test_a_quota_of_minus_one_is_no_limit(tmp_path: Path) -> None:
    files = {"cpu:cpu.cfs_quota_us": "-1\n", "cpu:cpu.cfs_period_us": "100000\n"}
    assert usable_cores(system(tmp_path, "1:cpu:/\n", **files)) == ALL


def test_without_control_groups_all_cores_count(tmp_path: Path) -> None:
    assert usable_cores(tmp_path) == ALL


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the system has no affinity")
def test_a_process_that_is_held_to_one_core_has_one() -> None:
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        assert usable_cores() == 1
    finally:
        os.sched_setaffinity(0, before)


def test_there_is_one_slot_per_core_and_at_most_four(tmp_path: Path) -> None:
    path = tmp_path / "small.gguf"
    path.write_bytes(b"GGUF")
    assert [slots_for(path, threads) for threads in (1, 2, 3, 64)] == [1, 2, 3, MOST_SLOTS]
    assert slots_for(path) == min(ALL, MOST_SLOTS)


def test_a_large_file_has_one_slot(tmp_path: Path) -> None:
    path = tmp_path / "large.gguf"
    with path.open("wb") as file:
        file.truncate(LARGE + 1)  # takes no room on the disk
    assert is_large(path)
    assert slots_for(path, 8) == 1


def test_a_missing_file_is_not_large_so_that_loading_reports_it(tmp_path: Path) -> None:
    assert not is_large(tmp_path / "gone.gguf")
