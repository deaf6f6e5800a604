# SPDX-License-Identifier: Apache-2.0
"""CPU time of a server with all its processes."""

import contextlib
import os
import pathlib
import time


def processes(root):
    """The process and all that come from it."""
    parents = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            fields = pathlib.Path("/proc", pid, "stat").read_text().rpartition(")")[2].split()
            parents[int(pid)] = int(fields[1])
    found = [root]
    for pid in found:
        found += [child for child, parent in parents.items() if parent == pid]
    return found


def cpu_seconds(root):
    """By the CPU clocks of the processes: clock_getcpuclockid(3)."""
    total = 0.0
    for pid in processes(root):
        with contextlib.suppress(OSError):
            total += time.clock_gettime(~pid << 3 | 2)
    return total
