"""Memory of large results, as numpy sees it: the handler that allocates and releases it (NEP 49).

The pages of a large new array are first touched while a kernel writes it, and that takes several
times what the writing does. So what a result leaves when it is dropped is kept for the next one of
its size; the system may take the pages of what lies idle for long (MADV_FREE). The arrays own their
memory, as any.
"""

import ctypes
import functools
import mmap
import sys
from typing import Any

import numpy as np

from einjit.kernel.build import Builtin
from einjit.kernel.layout import (
    ALLOCATE,
    HUGE,
    IDLE,
    IDLE_BYTES,
    KEPT,
    LEND,
    LIMIT,
    MAP,
    MOST_IDLE,
    PROTECTION,
    RELEASED,
)
from einjit.settings import settings

LARGE = 4 << 20
"""Bytes of a result from which its memory is kept: the C library keeps what is smaller, by and by,
and numpy asks for huge pages from here on."""

WORDS = KEPT + 2 * MOST_IDLE
"""Words of the pool."""


class _Handler(ctypes.Structure):
    """`PyDataMem_Handler`, version 1."""

    _fields_ = [
        ("name", ctypes.c_char * 127),
        ("version", ctypes.c_uint8),
        ("context", ctypes.c_void_p),
        *((name, ctypes.c_void_p) for name in ("malloc", "calloc", "realloc", "free")),
    ]


class Results:
    """The pool of a process, and its `handler`: the capsule that numpy takes."""

    def __init__(self) -> None:
        self._pool = np.zeros(WORDS, np.intp)
        address = self._pool.ctypes.data
        names = ("allocate", "clear", "reallocate", "release")
        self._functions = {name: Builtin(name, "pool") for name in names}
        self._pool[ALLOCATE] = self._functions["allocate"].address
        self._pool[RELEASED] = self._functions["release"].address
        self._pool[LIMIT] = settings.keep
        self._pool[PROTECTION] = mmap.PROT_READ | mmap.PROT_WRITE
        self._pool[MAP] = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
        self._pool[HUGE] = getattr(mmap, "MADV_HUGEPAGE", 0)
        self._pool[LEND] = getattr(mmap, "MADV_FREE", 0)
        addresses = [self._functions[name].address for name in names]
        self._handler = _Handler(b"einjit", 1, address, *addresses)
        new_capsule = ctypes.pythonapi.PyCapsule_New
        new_capsule.restype = ctypes.py_object
        new_capsule.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
        self.handler: Any = new_capsule(ctypes.addressof(self._handler), b"mem_handler", None)
        # Arrays live on while the interpreter takes itself apart: this outlives them.
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(self))

    @property
    def kept(self) -> int:
        """Bytes that lie idle."""
        return int(self._pool[IDLE_BYTES])

    def let_go(self) -> None:
        """Give what lies idle back to the system."""
        munmap = ctypes.pythonapi.munmap
        munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
        idle = self._pool[KEPT:].reshape(-1, 2)[: self._pool[IDLE]].copy()
        self._pool[IDLE] = self._pool[IDLE_BYTES] = 0
        for block, capacity in idle.tolist():
            munmap(block, capacity)


@functools.cache
def results() -> Results:
    """The pool, made and its functions loaded by the first plan with a large result."""
    return Results()


def can_keep() -> bool:
    """Whether memory of results is kept: asked for, and possible here."""
    has_gil = getattr(sys, "_is_gil_enabled", lambda: True)()
    return settings.keep > 0 and hasattr(mmap, "MAP_ANONYMOUS") and has_gil
