"""Kernels that carry out one call of a table, compiled and as plain Python."""

import ctypes
import functools
from dataclasses import dataclass

import numpy as np

from einjit.kernel.build import Kernel
from einjit.kernel.plain import PlainKernel
from einjit.source.module import CALLED, Source
from einjit.target import vector_bytes

WORDS = "abcdefghijk"

ARGUMENTS = ("which", "x", "y", "z", *WORDS)


@dataclass(frozen=True)
class Probe:
    """The structure of such a kernel: its dtype, and its text."""

    dtype: str
    text: str

    kind = "probe"
    arguments = ARGUMENTS

    @property
    def dtypes(self):
        return (self.dtype,)


class Table:
    """What is carried out, by a name: X, Y and Z are memory, the small letters words. All of it is
    one kernel of a dtype: one compilation."""

    def __init__(self, rooms, calls):
        self.rooms, self.calls = rooms, calls
        self.compiled = functools.cache(self.kernel)
        self.plain = functools.cache(lambda dtype: PlainKernel(self.source(dtype)).contract)

    def source(self, dtype, note=""):
        lines = [
            f"from numba.types import {', '.join(sorted({'int64', dtype}))}",
            "from einjit.kernel.intrinsics import pointer, scratch",
            *(f"from einjit.kernel.{room} import {', '.join(CALLED[room])}" for room in self.rooms),
            f"def contract({', '.join(ARGUMENTS)}):",
            *(f"    {name} = pointer({name.lower()}, {dtype})" for name in "XYZ"),
        ]
        for number, call in enumerate(self.calls.values()):
            lines += [
                f"    if which == {number}:",
                f"        {call.format(lanes=lanes_of(dtype), dtype=dtype)}",
            ]
        source = Source(Probe(dtype, "\n".join([*lines, note]) + "\n"))
        source.text = source.nest.text
        return source

    def kernel(self, dtype, note=""):
        """The kernel; with a note, a comment, it is another in the cache."""
        kernel = Kernel(self.source(dtype, note))
        function = ctypes.CFUNCTYPE(None, *[ctypes.c_ssize_t] * len(ARGUMENTS))(kernel.address)
        function.kernel = kernel  # lives as long
        return function

    def carry_out(self, function, call, x, y, z, *words):
        padded = (*words, *[0] * (len(WORDS) - len(words)))
        number = list(self.calls).index(call)
        with np.errstate(all="ignore"):
            function(number, *(array.ctypes.data for array in (x, y, z)), *padded)
        return x


def lanes_of(dtype):
    return vector_bytes() // np.dtype(dtype).itemsize
