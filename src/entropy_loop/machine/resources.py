"""The cores and the memory that this process may use."""

from __future__ import annotations

from pathlib import Path

import psutil

CGROUP = Path("/sys/fs/cgroup")
OWN_CGROUP = Path("/proc/self/cgroup")


def cores() -> int:
    """CPU cores that this process may use, at least 1: its affinity, and the CPU quota of its control group, which
    limits containers and batch jobs."""
    process = psutil.Process()
    allowed = len(process.cpu_affinity() or ()) if hasattr(process, "cpu_affinity") else psutil.cpu_count() or 1
    quota, _, period = _limit("cpu.max").partition(" ")
    return max(1, min(allowed, int(quota) // int(period)) if quota.isdecimal() else allowed)


def idle_cores(seconds: float = 0.5) -> float:
    """How many of these cores were idle, measured over so many seconds."""
    usage = psutil.cpu_percent(seconds, percpu=True)
    return min(float(cores()), sum(100 - used for used in usage) / 100)


def memory() -> int:
    """Bytes of memory that are free: those of the machine, and of the control group's limit."""
    available = int(psutil.virtual_memory().available)
    limit, used = _limit("memory.max"), _limit("memory.current")
    return max(0, min(available, int(limit) - int(used))) if limit.isdecimal() and used.isdecimal() else available


def _limit(name: str) -> str:
    """A limit of this process's control group (version 2); empty if there is none."""
    try:
        group = OWN_CGROUP.read_text().strip().rpartition("::/")[2]
    except OSError:
        return ""
    files = (folder / name for folder in (CGROUP / group, CGROUP))
    return next((file.read_text().strip() for file in files if file.is_file()), "")
