"""Generated source as plain Python: what runs under `NUMBA_DISABLE_JIT=1`, for breakpoints.

Kernels and calls here stand in for those of `build` and `native`; nothing is compiled, nothing runs
in parallel, and the instructions of vectors are the loops of `meanings`.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from einjit.equation.operands import Array
from einjit.kernel.build import Kernel
from einjit.kernel.meanings import FUNCTIONS, MEANINGS
from einjit.kernel.modules import enter, module_of
from einjit.source.module import Source


class PlainKernel(Kernel):
    """The function of a generated module. Its address is its place among `meanings.FUNCTIONS`."""

    def __init__(self, source: Source) -> None:
        start = time.perf_counter()
        self.source = source
        self.from_cache = False
        module = module_of(source)
        names = module.__dict__
        names.update({name: MEANINGS[name] for name in MEANINGS.keys() & names.keys()})
        enter(module, source.text)
        self.contract: Callable[..., None] = module.contract
        self.address = len(FUNCTIONS)
        FUNCTIONS.append(self.contract)
        self.seconds = time.perf_counter() - start
        self.usage = np.zeros(2, np.intp)


class PlainNative:
    """The functions of `native.Native` in Python."""

    def __init__(self) -> None:
        self.clock = 0
        self.hits = 0
        self.kept = 0
        self.find_into = self.find
        self.find_ordered: dict[str, Callable[..., Any]] = {}

    def let_go(self) -> None:
        """numpy has all memory."""

    def find(self, *arguments: Any) -> None:
        """None: each call takes the long way, which finds it by what `describe` says of it."""

    def describe(self, subscripts: str, *operands: Array) -> Any:
        """A key of the subscripts and the operands' layouts."""
        return subscripts, *((x.dtype.str, x.shape, x.strides) for x in operands)

    def call_back(self, **functions: Callable[[], Any]) -> None:
        """Nothing is called: no call is large enough for threads."""

    def share_threads(self, driver: int, **facts: int) -> None:
        """No call runs in parallel."""

    def forgive(self) -> None:
        """Nothing is owed."""

    def bind_run(
        self,
        *,
        kernel: PlainKernel,
        tiles: int,
        order: tuple[int, ...],
        dtype: np.dtype[Any],
        shape: tuple[int, ...],
        strides: tuple[int, ...],
        sizes: Sequence[int],
        scalar: bool,
        **others: Any,
    ) -> Callable[..., Any]:
        """A function (subscripts, *operands[, out]) that runs a kernel."""

        def run(subscripts: str, *arguments: Array) -> Any:
            self.clock += 1
            kernel.usage[:] = kernel.usage[0] + 1, self.clock
            out = arguments[len(order) :]
            made = out[0] if out else np.ndarray(shape, dtype, strides=strides)
            arrays = [*(arguments[i] for i in order), made]
            with np.errstate(all="ignore"):  # integers wrap
                kernel.contract(0, tiles, [x.ctypes.data for x in arrays], sizes)
            return made[()] if scalar and not out else made

        return run

    def bind_view(
        self,
        dtype: np.dtype[Any],
        shape: tuple[int, ...],
        strides: tuple[int, ...],
        scalar: bool,
    ) -> Callable[..., Any]:
        """A function (subscripts, operand) that makes a view."""

        def view(subscripts: str, operand: Array) -> Any:
            writeable = operand.flags.writeable
            seen = np.lib.stride_tricks.as_strided(operand, shape, strides, writeable=writeable)
            return seen[()] if scalar else seen

        return view
