"""Facts of the CPU that kernels are compiled for."""

import functools
import platform

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
