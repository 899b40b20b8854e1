"""Limits the number of cores that the host's models use, by the CPU affinity and the container's limit."""

from __future__ import annotations

import math
import os
from pathlib import Path

_LIMIT = Path("/sys/fs/cgroup/cpu.max")  # cgroup v2, as seen from inside a container


def share_cores() -> None:
    """Limit torch's threads to the usable cores, unless OMP_NUM_THREADS or MKL_NUM_THREADS is set."""
    import torch

    from modelenv.host.folder import chosen_threads

    if chosen_threads() is None:
        torch.set_num_threads(max(1, min(torch.get_num_threads(), usable_cores())))


def usable_cores(limit: Path = _LIMIT) -> int:
    """Return the number of cores that this process can use: its CPU affinity, within its container's limit."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = limit.read_text(encoding="ascii").split()
    except (OSError, ValueError):  # no such limit on this system
        return cores
    return cores if quota == "max" else min(cores, math.ceil(int(quota) / int(period)))
