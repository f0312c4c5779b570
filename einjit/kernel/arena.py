"""Scratch memory for packed boxes: a few slots that every call in the process takes turns with.

A slot is its lock, a cache line, and then the room. Pages that nothing has touched cost nothing;
those that were used stay warm for the next call, whichever thread makes it.
"""

import functools
import mmap
import os

import numpy as np

from einjit.kernel.layout import SLOT_HEADER
from einjit.plan.packed import SCRATCH
from einjit.target import cores

ROOM = SCRATCH + SLOT_HEADER
"""Bytes of a slot, its lock included."""


class Arena:
    """`words` tell compiled code where the slots are: their number, the first one's address, and
    the bytes from one to the next."""

    def __init__(self) -> None:
        n = 2 * cores() + 8  # a thread that finds none free waits for one
        # A child gets a copy: it must not write into what its parent computes with.
        flags = getattr(mmap, "MAP_PRIVATE", 0) | getattr(mmap, "MAP_ANONYMOUS", 0)
        # Vectors are read past the end of a short row, and so of the last slot's last one.
        size = n * ROOM + mmap.PAGESIZE
        self._memory = mmap.mmap(-1, size, **({"flags": flags} if flags else {}))
        if hasattr(mmap, "MADV_HUGEPAGE"):
            self._memory.madvise(mmap.MADV_HUGEPAGE)
        room = np.frombuffer(self._memory, np.intp)
        self._locks = room[: n * ROOM // room.itemsize : ROOM // room.itemsize]
        self.words = np.array([n, room.ctypes.data, ROOM], np.intp)
        self.address: int = self.words.ctypes.data
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._free)

    def _free(self) -> None:
        """In a child the threads are gone that held slots."""
        self._locks[:] = 0


@functools.cache
def arena() -> Arena:
    """The process's arena."""
    return Arena()
