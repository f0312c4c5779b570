"""Facts of the CPU that kernels are compiled for."""

import functools
import platform


@functools.cache
def converts_float16() -> bool:
    """Whether the target converts float16 in hardware.

    Where it does not, LLVM calls a function of the compiler's runtime library, which a Python
    process need not have.
    """
    if platform.machine().lower() in ("aarch64", "arm64"):
        return True
    import llvmlite.binding
    import numba

    if numba.config.CPU_FEATURES is not None:
        return "+f16c" in numba.config.CPU_FEATURES
    if numba.config.CPU_NAME == "generic":
        return False
    return bool(llvmlite.binding.get_host_cpu_features().get("f16c"))
