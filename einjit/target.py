"""Facts of the CPU that kernels are compiled for."""

import functools
import os
import platform
from pathlib import Path

from einjit.settings import settings


@functools.cache
def cpu() -> tuple[str, str]:
    """Name and features of the CPU compiled for, as LLVM spells them."""
    asked = dict(settings.numba_settings)
    if settings.cpu == "generic":
        return "generic", ""
    import llvmlite.binding

    name = asked.get("NUMBA_CPU_NAME") or llvmlite.binding.get_host_cpu_name()
    features = asked.get("NUMBA_CPU_FEATURES")
    if features is None:
        features = "" if name == "generic" else llvmlite.binding.get_host_cpu_features().flatten()
    return name, features


@functools.cache
def converts_float16() -> bool:
    """Whether the target converts float16 in hardware.

    Where it does not, LLVM calls a function of the compiler's runtime library, which a Python
    process need not have.
    """
    if platform.machine().lower() in ("aarch64", "arm64"):
        return True
    return "+f16c" in cpu()[1].split(",")


@functools.cache
def vector_bytes() -> int:
    """Bytes of the target's vector registers."""
    features = cpu()[1].split(",")
    if "+avx512f" in features and "+avx512vl" in features:
        return 64
    return 32 if "+avx2" in features else 16


@functools.cache
def vector_registers() -> int:
    """Vector registers of the target."""
    wide = vector_bytes() == 64 or platform.machine().lower() in ("aarch64", "arm64")
    return 32 if wide else 16


def masks() -> bool:
    """Whether the target reads and writes parts of vectors of any element in one instruction."""
    return vector_bytes() == 64


@functools.cache
def multiplies_bytes() -> bool:
    """Whether the target adds four products of bytes to each lane in one instruction."""
    features = cpu()[1].split(",")
    return "+avxvnni" in features or ("+avx512vnni" in features and "+avx512vl" in features)


@functools.cache
def multiplies_words() -> bool:
    """Whether the target multiplies vectors of integers of 8 bytes in one instruction."""
    return "+avx512dq" in cpu()[1].split(",") and vector_bytes() == 64


@functools.cache
def multiplies_and_adds_integers() -> bool:
    """Whether the target multiplies vectors of integers and adds them in one instruction."""
    return platform.machine().lower() in ("aarch64", "arm64")


@functools.cache
def cores() -> int:
    """Cores that this process may run on."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


@functools.cache
def caches() -> tuple[int, int]:
    """Bytes of a core's L1 data cache and L2 cache, as the system tells; else usual ones."""
    found = _cache_sizes()
    return found[1], found[2]


@functools.cache
def last_cache() -> int:
    """Bytes of the cache before the memory."""
    return max(_cache_sizes().values())


def is_far(n: int) -> bool:
    """Whether an operand of so many bytes comes from memory: the last cache has others to hold."""
    return n > last_cache() // 2


@functools.cache
def _cache_sizes() -> dict[int, int]:
    """Bytes of the caches of each level."""
    found = {1: 32 << 10, 2: 512 << 10}
    for folder in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        try:
            level, kind, size = (
                (folder / name).read_text().strip() for name in ("level", "type", "size")
            )
            if kind != "Instruction":
                found[int(level)] = int(size.rstrip("K")) << 10
        except (OSError, ValueError):
            continue
    return found
