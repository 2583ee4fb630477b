"""The cores and the memory that this process may use."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psutil

CGROUPS = Path("/sys/fs/cgroup")
OWN_CGROUPS = Path("/proc/self/cgroup")


def cores() -> int:
    """CPU cores that this process may use, at least 1: its affinity, and the CPU quotas of its control groups, which
    limit containers and batch jobs."""
    quotas = [quota for group in _groups("cpu") if (quota := _quota(group))]
    return max(1, int(min([len(_affinity()), *quotas])))


def idle_cores(seconds: float = 0.5) -> float:
    """How many of these cores were idle, measured over so many seconds."""
    usage = psutil.cpu_percent(seconds, percpu=True)
    idle = sum(100 - used for core, used in enumerate(usage) if core in _affinity()) / 100
    return min(float(cores()), idle)


def memory() -> int:
    """Bytes of memory that are free: those of the machine, and what the limits of the control groups leave."""
    left = [free for group in _groups("memory") if (free := _left(group)) is not None]
    return max(0, min([int(psutil.virtual_memory().available), *left]))


def _affinity() -> set[int]:
    process = psutil.Process()
    if hasattr(process, "cpu_affinity"):  # not on macOS
        return set(process.cpu_affinity() or ())
    return set(range(psutil.cpu_count() or 1))


def _groups(controller: str) -> Iterator[Path]:
    """This process's control groups of version 2 and 1, each with those above it: a batch system often sets its limit
    above. Linux, man 7 cgroups."""
    try:
        lines = OWN_CGROUPS.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        number, controllers, path = line.split(":", 2)
        if number == "0" or controller in controllers.split(","):
            top = CGROUPS if number == "0" else CGROUPS / controller
            for name in (path, *map(str, Path(path).parents)):
                yield top / name.lstrip("/")


def _quota(group: Path) -> float | None:
    """A control group's quota in cores; None if it has none."""
    quota, _, period = _read(group / "cpu.max").partition(" ")
    quota, period = quota or _read(group / "cpu.cfs_quota_us"), period or _read(group / "cpu.cfs_period_us")
    return int(quota) / int(period) if quota.isdecimal() and period.isdecimal() else None


def _left(group: Path) -> int | None:
    """Bytes that a control group's limit leaves; None if it has no limit. Cached files do not count: they are given up
    when memory is needed."""
    limit = _read(group / "memory.max") or _read(group / "memory.limit_in_bytes")
    used = _read(group / "memory.current") or _read(group / "memory.usage_in_bytes")
    if not (limit.isdecimal() and used.isdecimal()):
        return None
    rows = dict(row.split() for row in _read(group / "memory.stat").splitlines())
    cached = rows.get("inactive_file", "0") if "total_inactive_file" not in rows else rows["total_inactive_file"]
    return int(limit) - int(used) + int(cached)


def _read(file: Path) -> str:
    try:
        return file.read_text().strip()
    except OSError:
        return ""
