"""The hot path as Python sees it: built-in functions bound to the words they work on.

The functions themselves are in `hot`; here they are made callable, without numba where the cache
has them.
"""

import ctypes
import math
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from einjit.kernel.build import Builtin, Kernel
from einjit.kernel.cache import disk
from einjit.kernel.layout import (
    ADMIT,
    AS_SCALAR,
    CALLS,
    CHUNK,
    CLOCK,
    DEBT,
    DEFAULT_HANDLER,
    DRIVER,
    HANDLER,
    HEADER,
    HITS,
    INTO,
    ITEM_SIZE,
    KERNEL,
    LOCK,
    MARK,
    MARK_LENGTH,
    N_INPUTS,
    NDARRAY,
    NEW,
    NONE,
    OUT_DESCR,
    OUT_NDIM,
    PATIENCE,
    PROCESS,
    PROCESS_WORDS,
    RELEASE,
    SCALAR,
    SET_BASE,
    SET_HANDLER,
    STR,
    TILES,
    TIME,
    USAGE,
    WAKE,
    marked,
)
from einjit.kernel.results import LARGE, can_keep, results

Words = npt.NDArray[np.intp]

METH_FASTCALL = 0x80


class _MethodDef(ctypes.Structure):
    _fields_ = [
        ("name", ctypes.c_char_p),
        ("function", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("doc", ctypes.c_char_p),
    ]


class Native:
    """The functions, compiled, and the words they share.

    `calls` is the dictionary that `find` looks in: key → a callable (subscripts, *operands). With
    the output behind the operands it is `find_into` that finds it, with an order one of
    `find_ordered`.
    """

    def __init__(self, calls: dict[Any, Any]) -> None:
        self.calls = calls
        self.process = self._process(calls)
        self._describing = self._process(None)
        self._marked = {order: self._process(calls, marked("", order)) for order in "CFA"}
        self._marked["out"] = self._process(calls, marked("", "K", written=True))
        self._marked["out"][INTO] = 1
        self._builtins = {name: Builtin(name) for name in ("find", "run", "view")}
        if disk().writes and not self._builtins["run"].from_cache:
            Builtin("drive")  # numba is there: the cache gets all that processes share
        self._definitions = {
            name: _MethodDef(name.encode(), builtin.address, METH_FASTCALL, None)
            for name, builtin in self._builtins.items()
        }
        self.find = self._bind("find", self.process)
        self.find_into = self._bind("find", self._marked["out"])
        self.find_ordered = {order: self._bind("find", self._marked[order]) for order in "CFA"}
        self.describe = self._bind("find", self._describing)
        self._check()

    @property
    def clock(self) -> int:
        """Kernels called so far."""
        return int(self.process[CLOCK])

    @property
    def hits(self) -> int:
        """Calls that `find` and its like found."""
        return sum(int(words[HITS]) for words in (self.process, *self._marked.values()))

    @hits.setter
    def hits(self, count: int) -> None:
        for words in self._marked.values():
            words[HITS] = 0
        self.process[HITS] = count

    @property
    def kept(self) -> int:
        """Bytes of memory that large results have left for the next."""
        return results().kept if results.cache_info().currsize else 0

    def let_go(self) -> None:
        """Give that memory back to the system."""
        if results.cache_info().currsize:
            results().let_go()

    def call_back(self, *, wake: Callable[[], None], admit: Callable[[], int]) -> None:
        """Set what large calls call: `wake` once they have gone without the parallel loop for some
        time; `admit` before each launch, which says how many threads it may use."""
        self._called = wake, admit  # compiled code calls them by their addresses
        self.process[WAKE], self.process[ADMIT] = id(wake), id(admit)

    def share_threads(self, driver: int, *, patience: int, lock: int) -> None:
        """Set how large calls run: the parallel loop's address, 0 where there is none yet; how many
        nanoseconds they go without it before they ask for it; a lock for launches."""
        self.process[PATIENCE], self.process[LOCK] = patience, lock
        self.process[DRIVER] = driver  # last: calls in other threads begin to launch now

    @property
    def owed(self) -> int:
        """Nanoseconds that large calls have taken without the parallel loop, the one that asks
        for it included."""
        return int(self.process[DEBT])

    def forgive(self) -> None:
        """Forget how long large calls have gone without the parallel loop."""
        self.process[DEBT] = 0

    @staticmethod
    def _process(calls: dict[Any, Any] | None, mark: str = "") -> Words:
        table = _numpy_api()
        words = np.zeros(PROCESS_WORDS, np.intp)
        words[NONE], words[STR], words[NDARRAY] = id(None), id(str), id(np.ndarray)
        # Places in numpy's C API table, the same since numpy 1.7.
        words[NEW], words[SCALAR], words[SET_BASE] = table[94], table[76], table[282]
        words[SET_HANDLER] = table[304]  # since numpy 1.22
        words[DEFAULT_HANDLER] = ctypes.c_void_p.from_address(table[306]).value or 0
        words[CALLS] = 0 if calls is None else id(calls)
        words[MARK] = int.from_bytes(mark.encode().ljust(8, b"\0"), sys.byteorder)
        words[MARK_LENGTH] = len(mark)
        return words

    def _bind(self, name: str, words: Words, needs: Any = None) -> Callable[..., Any]:
        """A built-in function bound to `words`, which keeps what it `needs` alive."""
        definition = ctypes.addressof(self._definitions[name])
        bound: Callable[..., Any] = _new_builtin(definition, words, (self, needs))
        return bound

    def _check(self) -> None:
        """Compare what is read from a known array with what numpy says of it."""
        array = np.zeros((3, 5), np.int16)[:, ::2]
        key = self.describe("ij", array)
        wanted = np.array([2 | (array.dtype.num << 32), 3, 10, 3, 4], np.intp).tobytes()
        size = ctypes.c_ssize_t.from_address(id(array.dtype) + ITEM_SIZE).value
        if key != np.intp(2).tobytes() + b"ij" + wanted or size != array.itemsize:
            raise ImportError(
                f"numpy {np.__version__} on Python {sys.version.split()[0]} lays out arrays in a "
                "way that einjit does not know"
            )

    def bind_run(
        self,
        *,
        kernel: Kernel,
        tiles: int,
        chunk: int,
        time: int,
        release: bool,
        order: tuple[int, ...],
        dtype: np.dtype[Any],
        shape: tuple[int, ...],
        strides: tuple[int, ...],
        sizes: tuple[int, ...],
        scalar: bool,
        parts: Sequence[Kernel] = (),
    ) -> Callable[..., Any]:
        """A built-in (subscripts, *operands[, out]) that runs a kernel; strides in bytes.

        `order` says which operand the kernel takes first, second and so on. With a `time`, `chunk`
        tiles at a time run in parallel; with `release`, the GIL is given back meanwhile.
        """
        block = self._block(dtype, shape, strides, scalar, (*order, *sizes))
        block[KERNEL], block[USAGE] = kernel.address, _address(kernel.usage)
        block[TILES], block[CHUNK], block[TIME] = tiles, chunk, time
        block[RELEASE], block[N_INPUTS] = release, len(order)
        if dtype.itemsize * math.prod(shape) >= LARGE and can_keep():
            block[HANDLER] = id(results().handler)
        return self._bind("run", block, (kernel, dtype, parts))

    def bind_view(
        self,
        dtype: np.dtype[Any],
        shape: tuple[int, ...],
        strides: tuple[int, ...],
        scalar: bool,
    ) -> Callable[..., Any]:
        """A built-in (subscripts, operand) that makes a view; strides in bytes."""
        return self._bind("view", self._block(dtype, shape, strides, scalar, ()))

    def _block(
        self,
        dtype: np.dtype[Any],
        shape: tuple[int, ...],
        strides: tuple[int, ...],
        scalar: bool,
        sizes: tuple[int, ...],
    ) -> Words:
        block = np.zeros(HEADER, np.intp)
        block[PROCESS], block[OUT_DESCR] = _address(self.process), id(dtype)
        block[OUT_NDIM], block[AS_SCALAR] = len(shape), scalar
        return np.concatenate([block, np.array([*shape, *strides, *sizes], np.intp)])


_new_builtin = ctypes.pythonapi.PyCFunction_NewEx
_new_builtin.restype = ctypes.py_object
_new_builtin.argtypes = [ctypes.c_void_p, ctypes.py_object, ctypes.py_object]


def _address(words: Words) -> int:
    address: int = words.__array_interface__["data"][0]
    return address


def _numpy_api() -> Any:
    """numpy's table of C functions, which `import_array()` gives to compiled extensions."""
    pointer_of = ctypes.pythonapi.PyCapsule_GetPointer
    pointer_of.restype, pointer_of.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    capsule = np._core._multiarray_umath._ARRAY_API  # type: ignore[attr-defined]
    return ctypes.cast(pointer_of(capsule, None), ctypes.POINTER(ctypes.c_void_p))
