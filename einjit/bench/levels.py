"""The levels of memory: how large the caches are, and what work fits which."""

import functools
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

MEMORY = "mem"
LEVELS = ("L1", "L2", "L3", MEMORY)

USUAL = {"L1": 32 << 10, "L2": 1 << 20, "L3": 16 << 20}
"""Bytes of the caches where the system does not tell."""

LARGEST = 256 << 20
"""Bytes of operands and result of a case in memory, where no cache holds half of that."""

SHARES = {"L1": 2, "L2": 2, "L3": 4}
"""The part of a cache that a case fills: the rest is for stacks, tables and other processes."""

PRIVATE = ("L1", "L2")
"""The caches that each core has for itself."""


@functools.cache
def caches() -> Mapping[str, int]:
    """Bytes of one cache of each level, as the system tells."""
    if sys.platform == "linux":
        return _linux() or USUAL
    if sys.platform == "darwin":
        return _darwin() or USUAL
    return USUAL


def footprints() -> dict[str, int]:
    """Bytes of operands and result that stand for each level this machine has."""
    parts = {level: size // SHARES[level] for level, size in caches().items()}
    return {**parts, MEMORY: max(LARGEST, 2 * max(caches().values()))}


def level_of(size: int, threads: int) -> str:
    """The level that holds so many bytes, spread over the cores of all threads."""
    for level, room in caches().items():
        if size <= room * (threads if level in PRIVATE else 1):
            return level
    return MEMORY


def _linux() -> dict[str, int]:
    found = {}
    for folder in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*"):
        try:
            level, kind, size = ((folder / name).read_text() for name in ("level", "type", "size"))
        except OSError:
            continue
        if kind.strip() != "Instruction":
            scale = {"K": 1 << 10, "M": 1 << 20}[size.strip()[-1]]
            found[f"L{level.strip()}"] = int(size.strip()[:-1]) * scale
    return {level: found[level] for level in LEVELS if level in found}


def _darwin() -> dict[str, int]:
    found = {}
    for level, name in (("L1", "l1dcachesize"), ("L2", "l2cachesize"), ("L3", "l3cachesize")):
        command = ["sysctl", "-n", f"hw.{name}"]
        told = subprocess.run(command, capture_output=True, text=True, check=False)
        if told.returncode == 0 and int(told.stdout or 0):
            found[level] = int(told.stdout)
    return found
