"""The number of cores that this process may use (by affinity and CPU quota of its cgroup), and default slots."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

__all__ = ["is_large", "slots_for", "usable_cores"]

MOST_SLOTS = 4
LARGE = 1 << 30  # bytes of a weight file


def slots_for(path: Path, threads: int | None = None) -> int:
    """Return the default number of concurrent calls for a weight file: one per core, at most 4, and 1 if it is large.

    Each slot needs its own context in memory. Above 1 GB memory bandwidth limits the speed, because every token reads
    all weights. A second context then costs much memory and gains little.

    Args:
        path: the GGUF file.
        threads: computing threads; default one per core that this process may use.
    """
    return 1 if is_large(path) else min(threads or usable_cores(), MOST_SLOTS)


def is_large(path: Path) -> bool:
    """Return whether a weight file is larger than 1 GB; false if it is missing, because loading reports that error."""
    try:
        return path.stat().st_size > LARGE
    except OSError:
        return False


def usable_cores(root: Path = Path("/")) -> int:
    """Return the number of cores that this process may use, at least one.

    A quota of 1.5 cores counts as one, because the kernel would pause two threads in turn.

    Args:
        root: parent folder of `proc` and `sys`.
    """
    affinity = getattr(os, "sched_getaffinity", None)  # not on macOS
    cores = len(affinity(0)) if affinity is not None else os.cpu_count() or 1
    return max(1, int(min([float(cores), *_quotas(root)])))


def _quotas(root: Path) -> Iterator[float]:
    """Yield the limits, in cores, of this process's control group and of its parents."""
    with contextlib.suppress(OSError):
        for line in (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers in ("", "cpu", "cpu,cpuacct", "cpuacct,cpu"):
                base = root / "sys/fs/cgroup" / controllers
                # In a container the path may be the host's. The limit is then in the top folder.
                for part in (PurePosixPath(path), *PurePosixPath(path).parents):
                    yield from _quota(base / str(part).lstrip("/"))


def _quota(group: Path) -> Iterator[float]:
    with contextlib.suppress(OSError, ValueError, ZeroDivisionError):
        if (group / "cpu.max").exists():  # version 2: "max 100000" or "150000 100000"
            quota, period = (group / "cpu.max").read_text(encoding="ascii").split()
        else:
            quota, period = ((group / f"cpu.cfs_{name}_us").read_text(encoding="ascii") for name in ("quota", "period"))
        if quota.strip() != "max" and int(quota) > 0:  # version 1 has -1 for no limit
            yield int(quota) / int(period)
