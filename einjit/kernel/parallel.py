"""Threads: one parallel loop over tiles serves every kernel."""

import functools
from typing import Any

import numba
from numba import prange
from numba.core import types

from einjit.kernel.build import compile_c, compile_parallel
from einjit.kernel.intrinsics import minimum
from einjit.kernel.memory import call4

DRIVER = types.void(types.intp, types.intp, types.intp, types.intp, types.intp)


def drive(kernel, tiles, chunk, operands, sizes):  # type: ignore[no-untyped-def]
    """Run `chunk` tiles an iteration. Which thread runs which changes no bit of the result."""
    for task in prange((tiles + chunk - 1) // chunk):
        first = task * chunk
        call4(kernel, (first, minimum(tiles, first + chunk), operands, sizes))


def launches_at_once() -> bool:
    """Whether several threads may launch at once: `workqueue` ends a process that tries."""
    return str(numba.threading_layer()) != "workqueue"


@functools.cache
def driver() -> Any:
    """The parallel loop, compiled when the first large call wants it."""
    parallel = compile_parallel(drive, DRIVER)

    def enter(kernel, tiles, chunk, operands, sizes):  # type: ignore[no-untyped-def]
        parallel(kernel, tiles, chunk, operands, sizes)

    return compile_c(enter, DRIVER)
