"""The hot path where nothing is compiled: calls in plain Python, for breakpoints and prints.

What `native` and `hot` do, without threads. An exception in generated source is the caller's.
"""

from collections.abc import Callable, Hashable, Sequence
from typing import Any

import numpy as np

from einjit.equation.operands import Array
from einjit.kernel.arena import arena
from einjit.kernel.build import Kernel
from einjit.kernel.meanings import call, reachable


class PlainNative:
    """`calls` is the dictionary that `find` looks in: key → a callable (subscripts, *operands)."""

    def __init__(self, calls: dict[Any, Any]) -> None:
        self.calls = calls
        self.clock = 0
        self.hits = 0

    def find(self, *arguments: Any) -> Callable[..., Any] | None:
        """The call for (subscripts, *operands), or None: unseen, or not plain ndarrays."""
        key = self.describe(*arguments)
        found = None if key is None else self.calls.get(key)
        self.hits += found is not None
        return found

    def describe(self, *arguments: Any) -> Hashable:
        """The key: the text, and each operand's type, shape and strides; None where there is no
        text or not only plain ndarrays."""
        text, operands = arguments[:1], arguments[1:]
        if not text or type(text[0]) is not str or not all(map(_is_plain, operands)):
            return None
        return text[0], *((o.dtype.num, o.shape, o.strides) for o in operands)

    def call_back(self, **functions: Callable[[], Any]) -> None:
        """Nothing: there are no threads to ask for."""

    def share_threads(self, driver: int, **options: int) -> None:
        """Nothing: there are no threads."""

    def bind_run(
        self,
        *,
        kernel: Kernel,
        tiles: int,
        order: tuple[int, ...],
        dtype: np.dtype[Any],
        shape: tuple[int, ...],
        strides: tuple[int, ...],
        sizes: tuple[int, ...],
        scalar: bool,
        parts: Sequence[Kernel] = (),
        **unused: int,
    ) -> Callable[..., Any]:
        """A function (subscripts, *operands[, out]) that runs a kernel; strides in bytes."""

        def run(subscripts: str, *arguments: Array) -> Any:
            given = arguments[len(order) :]
            made = given[0] if given else np.ndarray(shape, dtype, strides=strides)
            arrays = [*(arguments[i] for i in order), made]
            self.clock += 1
            kernel.usage[:] = kernel.calls + 1, self.clock
            scratch = [arena().room] if parts else []
            with reachable([*arrays, *scratch]), np.errstate(all="ignore"):
                call(kernel.address, (0, tiles, [a.ctypes.data for a in arrays], sizes))
            return made[()] if scalar and not given else made

        return run

    def bind_view(
        self,
        dtype: np.dtype[Any],
        shape: tuple[int, ...],
        strides: tuple[int, ...],
        scalar: bool,
    ) -> Callable[..., Any]:
        """A function (subscripts, operand) that makes a view; strides in bytes."""

        def view(subscripts: str, operand: Array) -> Any:
            writeable = operand.flags.writeable
            made = np.lib.stride_tricks.as_strided(operand, shape, strides, writeable=writeable)
            return made[()] if scalar else made

        return view


def _is_plain(operand: Any) -> bool:
    return type(operand) is np.ndarray and operand.flags.aligned and operand.dtype.isnative
