"""A large call whose kernel is a Python function: it writes down who runs it, on how many threads.

What a launch does is seen without a clock: a call that runs serially is one run over all tiles, one
that is launched is a run for each chunk of them, and numba's number of threads is what it was
launched with.
"""

import ctypes
import threading

import numba
import numpy as np

from einjit.registry import registry

TILES = 64
NEST = ctypes.CFUNCTYPE(None, ctypes.c_ssize_t, ctypes.c_ssize_t, ctypes.c_void_p, ctypes.c_void_p)


class Watched:
    """A call, and the runs of its kernel: (first tile, past the last, thread, numba's number)."""

    def __init__(self):
        self.runs = []
        self._callback = NEST(self._run)
        self.address = ctypes.cast(self._callback, ctypes.c_void_p).value
        self.usage = np.zeros(2, np.intp)
        native = registry.native
        registry.fetch_threads()
        facts = {"order": (), "shape": (), "strides": (), "sizes": (), "scalar": False}
        self._call = native.bind_run(
            kernel=self,
            tiles=TILES,
            chunk=1,
            time=10**6,
            release=True,
            dtype=np.dtype("i8"),
            **facts,
        )

    def _run(self, first, last, operands, sizes):
        self.runs.append((first, last, threading.get_native_id(), numba.get_num_threads()))

    def __call__(self):
        """Make the call; how many threads it was launched on, 1 where it ran in the caller's."""
        self.runs.clear()
        self._call("")
        assert sorted(tile for first, last, *_ in self.runs for tile in range(first, last)) == list(
            range(TILES)
        )
        if len(self.runs) == 1:
            assert self.runs[0][2] == threading.get_native_id()
            return 1
        (n,) = {number for *_, number in self.runs}
        assert len({thread for _, _, thread, _ in self.runs}) <= n
        return n
