"""Compile: the one place that hands functions to numba."""

import linecache
import sys
import time
from types import ModuleType
from typing import Any, Protocol

import numpy as np
from numba import cfunc, njit
from numba.core import types

from einjit.source.module import Source

WORDS = types.CPointer(types.intp)
KERNEL = types.void(types.intp, types.intp, WORDS, WORDS)
"""(first tile, past the last, addresses of the operands, sizes)"""

FASTMATH = {"contract", "reassoc"}
"""Sums may be reordered into lanes and fused with products. Without "nsz" LLVM takes nothing out
of brackets (a·b + a·c stays), so NaN and infinity come out as they do in numpy, and 0 + -0 is 0."""


class Kernel:
    """A compiled nest: its source, its address, what it cost, and how it is used.

    `usage` holds two words that the native call updates: how often it was called, and when last.
    """

    def __init__(self, source: Source) -> None:
        start = time.perf_counter()
        self.source = source
        module = _module_of(source)
        self._compiled = compile_c(module.contract, KERNEL, fastmath=FASTMATH)
        _enter(module, source.text)
        self.address = self._compiled.address
        self.seconds = time.perf_counter() - start
        self.usage = np.zeros(2, np.intp)

    @property
    def calls(self) -> int:
        """How often the kernel was called."""
        return int(self.usage[0])

    @property
    def last_use(self) -> int:
        """When it was last called, by the clock that counts calls of kernels."""
        return int(self.usage[1])

    @last_use.setter
    def last_use(self, clock: int) -> None:
        self.usage[1] = clock

    def __repr__(self) -> str:
        return f"<Kernel {self.source.nest} {self.source.nest.compute}, {self.calls} calls>"


class CompiledC(Protocol):
    """A compiled function with the C calling convention."""

    @property
    def address(self) -> int:
        """Where the function starts, for as long as this object lives."""


def compile_c(function: Any, signature: Any, *, fastmath: Any = False) -> CompiledC:
    """Compile a function for the C calling convention."""
    compiled: CompiledC = cfunc(signature, fastmath=fastmath, error_model="numpy")(function)
    return compiled


def compile_parallel(function: Any, signature: Any) -> Any:
    """A numba function whose pranges run in parallel, for other compiled code to call."""
    return njit(signature, parallel=True, error_model="numpy")(function)


def _module_of(source: Source) -> Any:
    module = ModuleType(source.module)
    module.__file__ = f"<{source.module}>"
    exec(compile(source.text, module.__file__, "exec"), module.__dict__)
    return module


def _enter(module: ModuleType, text: str) -> None:
    """Enter a module where Python and tracebacks look for it."""
    lines = text.splitlines(keepends=True)
    name = str(module.__file__)
    linecache.cache[name] = (len(text), None, lines, name)
    sys.modules[module.__name__] = module
